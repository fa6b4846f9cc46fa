"""Errors that a person can act on: each names the problem and the remedy.

WizardError
├── BadInput              something the user gave cannot be used
│   ├── BadMediaFile      a video or image that cannot be read
│   ├── BadDocument       a project, recipe or caption file that cannot be read
│   └── BadSetting        a setting outside its range, or unknown
├── NotReady              a step is missing before this one can start
├── NotFound              a path, project, run or model that is not there
├── NoSpace               the disk is full
├── NoPermission          the operating system refused
├── Busy                  a port, a project or a GPU is in use
├── DownloadFailed        a model could not be fetched from the hub
├── OutOfGpuMemory        the run does not fit on the card
├── CaptionerFailed       no clip can be captioned: server, model or memory is not there
└── JobFailed             the worker stopped without finishing
"""

from __future__ import annotations

import errno
from pathlib import Path


class WizardError(Exception):
    """A failure with something to do about it.

    problem: one sentence, what is wrong. remedy: one sentence, what to do now.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} {remedy}")
        self.problem = problem
        self.remedy = remedy


class BadInput(WizardError):
    """Something that the user gave cannot be used."""


class BadMediaFile(BadInput):
    """A video or an image that cannot be read."""


class BadDocument(BadInput):
    """A file of the project or a recipe that cannot be read."""


class BadSetting(BadInput):
    """A setting that is unknown or outside its range."""


class NotReady(WizardError):
    """An earlier step is missing."""


class NotFound(WizardError):
    """Something that was asked for is not there."""


class NoSpace(WizardError):
    """The disk is full."""


class NoPermission(WizardError):
    """The operating system refused to read or write."""


class Busy(WizardError):
    """Something that is needed is in use."""


class DownloadFailed(WizardError):
    """A model could not be fetched from the hub."""


class OutOfGpuMemory(WizardError):
    """The run does not fit on the card."""


class CaptionerFailed(WizardError):
    """What stands against captioning this clip stands against all of them."""


class JobFailed(WizardError):
    """The worker process ended without finishing its job."""


def explain_os_error(error: OSError, path: Path) -> WizardError:
    """Turn an error of the operating system into one that says what to do.

    Use as: raise explain_os_error(error, path) from error.
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(
            problem=f"The disk that holds {path} is full.",
            remedy="Free some space, then do this again. What was saved before is unchanged.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NoPermission(
            problem=f"This computer does not let LTX Wizard use {path}.",
            remedy="Change the permissions of that folder, or choose another folder.",
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(
            problem=f"{path} does not exist.",
            remedy="Check the spelling, and that the drive is connected.",
        )
    if error.errno == errno.ENAMETOOLONG:
        return BadInput(
            problem=f"The name of {path.name[:40]}... is too long for this disk.",
            remedy="Give it a shorter name.",
        )
    return WizardError(
        problem=f"{path} could not be read or written: {error.strerror or error}.",
        remedy="Check the disk, then try again.",
    )
