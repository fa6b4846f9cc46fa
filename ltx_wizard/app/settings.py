"""What the app remembers between starts: recent projects, whether to heed the memory plan, how to reach the
hub, which server writes captions. Never a token or a key: those have stores of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from ltx_wizard.core import places
from ltx_wizard.core.documents import Document, is_file, read_document, write_document
from ltx_wizard.core.errors import BadDocument, NotFound, WizardError, explain_os_error
from ltx_wizard.core.project import PROJECT_FILE

_MOST_RECENT = 20


class AppSettings(Document):
    """The content of settings.json in the user's LTX Wizard folder."""

    recent_projects: tuple[str, ...] = ()
    ignore_memory_plan: bool = False
    hub_endpoint: str = ""
    hub_offline: bool = False
    caption_server: str = ""
    caption_model: str = ""


def read_app_settings() -> AppSettings:
    """Settings that are missing or damaged are the defaults: they hold nothing that the user made."""
    try:
        return read_document(_file(), AppSettings)
    except (NotFound, BadDocument):
        return AppSettings()


def recent_projects() -> list[Path]:
    """Newest first; only those that are still there and may be read."""
    return [Path(text) for text in read_app_settings().recent_projects if _is_project(Path(text))]


def remember_project(folder: Path) -> None:
    """Put a project at the top of the recent list."""
    _change_recent(
        lambda paths: (str(folder), *(path for path in paths if path != str(folder)))[:_MOST_RECENT]
    )


def forget_project(folder: Path) -> None:
    """Take a project off the recent list; its folder stays."""
    _change_recent(lambda paths: tuple(path for path in paths if path != str(folder)))


def set_ignore_memory_plan(ignore: bool) -> None:
    """Whether training starts although the plan says that the card cannot hold it."""
    _change(lambda settings: settings.model_copy(update={"ignore_memory_plan": ignore}))


def set_hub(endpoint: str, offline: bool) -> None:
    """The address of a mirror, empty for none, and whether to leave the network alone."""
    _change(lambda settings: settings.model_copy(update={"hub_endpoint": endpoint, "hub_offline": offline}))


def set_caption_server(address: str, model: str) -> None:
    """Where captions are asked for, and from which model."""
    _change(lambda settings: settings.model_copy(update={"caption_server": address, "caption_model": model}))


def _change_recent(change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
    _change(
        lambda settings: settings.model_copy(update={"recent_projects": change(settings.recent_projects)})
    )


def _change(change: Callable[[AppSettings], AppSettings]) -> None:
    try:
        places.home().mkdir(parents=True, exist_ok=True)
        with FileLock(places.home() / ".settings.lock", timeout=10):
            write_document(_file(), change(read_app_settings()))
    except OSError as error:
        raise explain_os_error(error, places.home()) from error


def _is_project(folder: Path) -> bool:
    try:
        return is_file(folder / PROJECT_FILE)
    except WizardError:
        return False


def _file() -> Path:
    return places.home() / "settings.json"
