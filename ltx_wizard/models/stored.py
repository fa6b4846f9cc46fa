"""The files of a captioner's model in the hub's cache: how much they take, and deleting them. No torch here.

Deleting is how damaged files are got anew: the cache takes a file that has its size for whole, and a snapshot
deleted alone would be linked to the same damaged file again.
"""

from __future__ import annotations

import shutil

from ltx_wizard.core.errors import explain_os_error
from ltx_wizard.models.captioner_models import CaptionerModel
from ltx_wizard.models.download_plan import storage


def stored_bytes(model: CaptionerModel) -> int:
    """What its repository takes on the disk; 0: nothing of it is here."""
    place = storage(model.repository)
    sizes = (path.lstat() for path in place.rglob("*") if not path.is_symlink() and path.is_file())
    try:
        return sum(found.st_size for found in sizes)
    except OSError:  # deleted meanwhile
        return 0


def delete_stored(model: CaptionerModel) -> None:
    """Delete it from the cache, with half-fetched files. Raises WizardError where the system refuses."""
    place = storage(model.repository)
    try:
        shutil.rmtree(place)
    except FileNotFoundError:
        return
    except OSError as error:
        raise explain_os_error(error, place) from error
