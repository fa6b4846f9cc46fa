from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ltx_wizard.core import errors
from ltx_wizard.core.errors import (
    BadDocument,
    BadInput,
    BadMediaFile,
    BadSetting,
    NoPermission,
    NoSpace,
    NotFound,
    WizardError,
    explain_os_error,
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EACCES, NoPermission),
        (errno.EPERM, NoPermission),
        (errno.EROFS, NoPermission),
        (errno.ENOENT, NotFound),
        (errno.ENOTDIR, NotFound),
        (errno.ENAMETOOLONG, BadInput),
        (errno.EIO, WizardError),
        (errno.EISDIR, WizardError),
    ],
)
def test_errors_of_the_system_say_what_to_do(code: int, kind: type[WizardError]) -> None:
    explained = explain_os_error(OSError(code, os.strerror(code)), Path("videos/holiday.mp4"))
    assert type(explained) is kind
    assert "holiday.mp4" in explained.problem
    for sentence in (explained.problem, explained.remedy):
        assert sentence[0].isupper() or sentence.startswith("videos")
        assert sentence.endswith(".")
        assert "Errno" not in sentence


def test_an_error_without_a_number_is_still_explained() -> None:
    assert "odd" in explain_os_error(OSError("something odd"), Path("x")).problem


def test_the_text_of_an_error_is_problem_and_remedy() -> None:
    error = BadSetting(problem="Too big.", remedy="Take less.")
    assert (error.problem, error.remedy, str(error)) == ("Too big.", "Take less.", "Too big. Take less.")


def test_everything_that_the_user_gave_can_be_caught_as_one() -> None:
    assert all(issubclass(kind, BadInput) for kind in (BadMediaFile, BadDocument, BadSetting))


def test_every_error_stands_in_the_tree_at_the_top_of_the_file() -> None:
    kinds = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, WizardError)
    }
    assert len(kinds) > 10
    assert all(name in (errors.__doc__ or "") for name in kinds)
