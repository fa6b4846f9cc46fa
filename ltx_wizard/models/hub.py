"""The hub as this program sees it: its address, the token, what a repository holds, and what its refusals
mean. No torch here.

The token stays with the hub's library: it keeps the token in its own store, and only `token_for` asks for it.
"""

from __future__ import annotations

import ipaddress
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ltx_wizard.core.errors import BadInput, BadSetting, DownloadFailed, NoPermission, NotFound, WizardError

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo

TIMEOUT_S = 15.0
"""A hub that says nothing for so long is not there. Not measured."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")

TOKENS_PAGE = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. sha256 is empty for small files, which the hub knows by their git id only."""

    repository: str
    path: str
    size: int
    sha256: str
    git_id: str
    commit: str = ""

    @property
    def blob(self) -> str:
        """Its name in the cache."""
        return self.sha256 or self.git_id


def hub_address(endpoint: str = "") -> str:
    """The address in use, without '/' at its end: the mirror that was set, or the library's (HF_ENDPOINT)."""
    from huggingface_hub import constants

    return (endpoint or constants.ENDPOINT).rstrip("/")


def checked_endpoint(text: str) -> str:
    """The address of a mirror as it was typed, tidied up; empty: none. Raises BadSetting."""
    typed = text.strip().rstrip("/")
    if not typed:
        return ""
    try:
        parts = urlsplit(typed)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good or parts.query or parts.fragment or any(character.isspace() for character in typed):
        raise BadSetting(
            problem=f"'{typed}' is not the address of a mirror.",
            remedy="Give one that begins with https://, such as https://hub.example.com",
        )
    if parts.username or parts.password:
        raise BadSetting(
            problem="The address of the mirror has a name or password in it.",
            remedy="Leave them out: LTX Wizard does not store secrets. Use a token instead.",
        )
    return typed


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return constants.is_offline_mode()


def has_token() -> bool:
    """Whether the hub's library knows a token."""
    from huggingface_hub import get_token

    return bool(get_token())


def token_for(endpoint: str) -> str | bool:
    """The stored token for requests to this address; False: none.

    A token is sent over https, or to this very computer, and never in the clear.
    """
    from huggingface_hub import get_token

    return (_keeps_secrets(endpoint) and get_token()) or False


def list_files(repository: str, endpoint: str = "") -> tuple[HubFile, ...]:
    """What a repository holds now. Raises WizardError."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=hub_address(endpoint), token=token_for(endpoint))
    with explained(repository, endpoint):
        try:
            found = api.model_info(repository, files_metadata=True, timeout=TIMEOUT_S)
            files = tuple(_files(repository, found))
            for file in files:
                refuse_as_names(file.sha256, file.git_id, file.commit)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("That is no description of a model.") from error
    return files


def _files(repository: str, found: ModelInfo) -> Iterator[HubFile]:
    """Without those whose path could lead out of the repository."""
    return (
        HubFile(
            repository=repository,
            path=item.rfilename,
            size=item.size if item.lfs is None else item.lfs.size,
            sha256=item.lfs.sha256 if item.lfs else "",
            git_id=item.blob_id or "",
            commit=found.sha or "",
        )
        for item in found.siblings or ()
        if item.size is not None and _stays_inside(item.rfilename)
    )


def _stays_inside(path: str) -> bool:
    return "\\" not in path and not {"", ".", ".."}.intersection(path.split("/"))


def refuse_as_names(*names: str | None) -> None:
    """Commits and contents are folders and files of the cache. Raises ValueError for one that could lie
    elsewhere: a mirror may answer what it likes.
    """
    for name in names:
        if name and not _NAME.fullmatch(name):
            raise ValueError(f"{name[:80]!r} is no name of a commit or a content.")


def http_library() -> ModuleType:
    """What the hub's library asks with, for its errors: httpx2, or httpx with its older version."""
    from huggingface_hub import get_session

    return sys.modules[type(get_session()).__module__.partition(".")[0]]


@contextmanager
def explained(repository: str, endpoint: str) -> Iterator[None]:
    """What goes wrong between here and the hub becomes a WizardError; errors of the disk pass."""
    from huggingface_hub.errors import (
        FileMetadataError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    http = http_library()
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise offline_error() from error
    except HfHubHTTPError as error:
        raise _explain_answer(error, repository, endpoint) from error
    except LocalEntryNotFoundError as error:  # the library's word for any trouble with the connection
        raise _explain_connection(error.__cause__ or error, endpoint) from error
    except HFValidationError as error:
        raise BadInput(
            problem=f"'{repository}' is not the name of a model on the hub.",
            remedy="Give it as owner/name, such as Lightricks/LTX-Video.",
        ) from error
    except (FileMetadataError, ValueError) as error:
        raise DownloadFailed(
            problem=f"{hub_address(endpoint)} does not answer as the hub does.",
            remedy="Check the mirror in Hub settings, and whether this network asks you to log in first.",
        ) from error
    except (http.HTTPError, http.InvalidURL) as error:
        raise _explain_connection(error, endpoint) from error


def offline_error() -> WizardError:
    return DownloadFailed(
        problem="LTX Wizard is offline: HF_HUB_OFFLINE is set.",
        remedy="Start it without HF_HUB_OFFLINE to download, or choose a model folder on this computer.",
    )


def model_page(repository: str) -> str:
    """Where terms are accepted: a mirror has no such page."""
    return f"https://huggingface.co/{repository}"


def _explain_answer(error: Exception, repository: str, endpoint: str) -> WizardError:
    """By status and by the hub's own error code."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
    )

    assert isinstance(error, HfHubHTTPError)
    status = error.response.status_code
    if isinstance(error, GatedRepoError):
        return _explain_gate(status, repository)
    if status == 401:
        return _explain_unauthorised(repository, endpoint)
    if status == 403:
        return NoPermission(
            problem=f"The hub does not let you read {repository} (403).",
            remedy=f"Look at {model_page(repository)} with the account of your token, and check that the "
            "token may read it.",
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return NotFound(
            problem=f"A file of {repository} is not there any more (404).",
            remedy="Choose another variant of this model, or get a newer LTX Wizard.",
        )
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return NotFound(
            problem=f"{hub_address(endpoint)} has no {repository} (404), or does not show it to you.",
            remedy="Check its name and the mirror in Hub settings. A private model needs your token.",
        )
    if status == 429:
        return DownloadFailed(
            problem="The hub asks to slow down (429).",
            remedy="Wait a few minutes, then press Download again. With a token it allows more.",
        )
    return DownloadFailed(
        problem=f"The hub has trouble ({status}).",
        remedy="Try again in a few minutes: the download goes on where it stopped.",
    )


def _explain_gate(status: int, repository: str) -> WizardError:
    page = model_page(repository)
    if status == 401:
        return NoPermission(
            problem=f"{repository} asks for an account that has accepted its terms.",
            remedy=f"Accept them at {page}, then enter a token of that account in Hub settings.",
        )
    return NoPermission(
        problem=f"You have not accepted the terms of {repository} yet, or its makers have not agreed.",
        remedy=f"Accept them at {page} with the account of your token, then press Download again.",
    )


def _explain_unauthorised(repository: str, endpoint: str) -> WizardError:
    if not token_for(endpoint):
        return NoPermission(
            problem=f"The hub shows {repository} only to people it knows (401).",
            remedy=f"Make a token at {TOKENS_PAGE} and enter it in Hub settings. "
            "If that does not help, there is no such model.",
        )
    if os.environ.get("HF_TOKEN"):
        return NoPermission(
            problem="The hub does not accept the token in HF_TOKEN (401).",
            remedy="Correct HF_TOKEN, or start LTX Wizard without it and enter a token in Hub settings.",
        )
    return NoPermission(
        problem=f"The hub does not accept your token for {repository} (401).",
        remedy=f"Make a new one at {TOKENS_PAGE} and enter it in Hub settings.",
    )


def _explain_connection(error: BaseException, endpoint: str) -> WizardError:
    http = http_library()
    host = urlsplit(hub_address(endpoint)).netloc
    again = "then press Download again: it goes on where it stopped."
    if isinstance(error, http.TimeoutException):
        return DownloadFailed(problem=f"{host} does not answer.", remedy=f"Check the connection, {again}")
    if isinstance(error, http.ProxyError):
        return DownloadFailed(
            problem=f"The proxy does not let LTX Wizard reach {host}.",
            remedy=f"Check HTTPS_PROXY or the proxy's settings, {again}",
        )
    if isinstance(error, http.ConnectError):
        return DownloadFailed(
            problem=f"There is no connection to {host}.",
            remedy=f"Check the network, or set a mirror in Hub settings, {again}",
        )
    return DownloadFailed(
        problem=f"The connection to {host} broke ({type(error).__name__}).",
        remedy=f"Check the network, {again}",
    )


def _keeps_secrets(endpoint: str) -> bool:
    parts = urlsplit(hub_address(endpoint))
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_WORDS = {0: "", 2: "refused", 3: "unreachable", 4: "organisation"}


def store_token(token: str, endpoint: str = "") -> None:
    """Have the hub check a token and its library store it. Raises BadInput, or DownloadFailed.

    In a process of its own: the library reads the hub's address once, when it is imported. The token goes
    there by standard input, so it stands in no command line.
    """
    clean = token.strip()
    if not clean or not clean.isascii() or any(character.isspace() for character in clean):
        raise BadInput(
            problem="That is not a token.",
            remedy=f"Copy it whole from {TOKENS_PAGE}. It begins with hf_",
        )
    if not _keeps_secrets(endpoint):
        raise BadInput(
            problem="The mirror is not reached over https, so a token could be read on the way.",
            remedy="Set a mirror that begins with https://, or none.",
        )
    environment = {**os.environ, "HF_ENDPOINT": hub_address(endpoint)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOGIN],
            input=clean,
            text=True,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        outcome = _WORDS.get(done.returncode, "failed")
    except subprocess.TimeoutExpired:
        outcome = "unreachable"
    if outcome:
        raise _login_error(outcome, endpoint)


_LOGIN = """
import sys
from huggingface_hub import login
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
try:
    login(token=sys.stdin.read())
except HfHubHTTPError as error:
    sys.exit(2 if error.response.status_code in (401, 403) else 3)
except (HfHubHTTPError.__bases__[0], OfflineModeIsEnabled):  # HTTPError of httpx2, or of httpx
    sys.exit(3)
except ValueError:
    sys.exit(4)
"""


def _login_error(outcome: str, endpoint: str) -> WizardError:
    host = urlsplit(hub_address(endpoint)).netloc
    if outcome == "refused":
        return BadInput(
            problem="The hub does not know this token.",
            remedy=f"Copy it whole, or make a new one at {TOKENS_PAGE}",
        )
    if outcome == "organisation":
        return BadInput(
            problem="This is a token of an organisation.", remedy=f"Make one of your own at {TOKENS_PAGE}"
        )
    if outcome == "unreachable":
        return DownloadFailed(
            problem=f"The token could not be checked: {host} does not answer.",
            remedy="Check the connection and the mirror, then enter it again. It is not stored.",
        )
    return DownloadFailed(
        problem="The token could not be stored.",
        remedy="Check that you may write in the folder of HF_HOME, or run: hf auth login",
    )
