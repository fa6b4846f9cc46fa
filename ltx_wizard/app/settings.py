"""What the app remembers between starts: the recent projects."""

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
    _change(lambda paths: (str(folder), *(path for path in paths if path != str(folder)))[:_MOST_RECENT])


def forget_project(folder: Path) -> None:
    """Take a project off the recent list; its folder stays."""
    _change(lambda paths: tuple(path for path in paths if path != str(folder)))


def _change(change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
    try:
        places.home().mkdir(parents=True, exist_ok=True)
        with FileLock(places.home() / ".settings.lock", timeout=10):
            settings = read_app_settings()
            write_document(
                _file(), settings.model_copy(update={"recent_projects": change(settings.recent_projects)})
            )
    except OSError as error:
        raise explain_os_error(error, places.home()) from error


def _is_project(folder: Path) -> bool:
    try:
        return is_file(folder / PROJECT_FILE)
    except WizardError:
        return False


def _file() -> Path:
    return places.home() / "settings.json"
