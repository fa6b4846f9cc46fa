"""Keys of caption servers: in a file of the user's folder that only the user may read, and nowhere else.

A key belongs to one address, and is sent to no other. LTX_WIZARD_CAPTION_KEY, where it is set, goes to
whichever server is asked.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from ltx_wizard.core import places
from ltx_wizard.core.documents import Document, read_document
from ltx_wizard.core.errors import BadDocument, BadInput, BadSetting, NotFound, explain_os_error

ENVIRONMENT = "LTX_WIZARD_CAPTION_KEY"


class _Keys(Document):
    keys: dict[str, str] = Field(default_factory=dict, repr=False)


def checked_address(text: str) -> str:
    """The address of a server as it was typed, tidied up: 'localhost:11434' becomes
    'http://localhost:11434/v1'. Raises BadSetting.
    """
    typed = text.strip()
    typed = typed if typed.endswith("://") else typed.rstrip("/")
    typed = typed.removesuffix("/chat/completions").removesuffix("/models")
    if typed and "://" not in typed:
        typed = f"{'http' if _is_near(typed.split('/')[0].rsplit(':', 1)[0]) else 'https'}://{typed}"
    try:
        parts = urlsplit(typed)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good, parts = False, urlsplit("")
    if not good or parts.query or parts.fragment or any(letter.isspace() for letter in typed):
        raise BadSetting(
            problem=f"'{text.strip()[:80]}' is not the address of a server."
            if typed
            else "No server is set.",
            remedy="Give one such as http://localhost:11434/v1 (Ollama) or http://localhost:1234/v1 "
            "(LM Studio).",
        )
    if parts.username or parts.password:
        raise BadSetting(
            problem="The address of the server has a name or password in it.",
            remedy="Leave them out, and enter the key in its own field.",
        )
    return typed if parts.path else f"{typed}/v1"


def key_for(address: str) -> str:
    """The key for this server; empty: none. Raises BadSetting where it could be read on the way."""
    key = os.environ.get(ENVIRONMENT, "").strip() or _read().keys.get(address, "")
    if key and not keeps_secrets(address):
        raise BadSetting(
            problem=f"{address} is not reached over https, so your key could be read on the way.",
            remedy="Give an address that begins with https://, or remove the key.",
        )
    return key


def has_key(address: str) -> bool:
    return bool(os.environ.get(ENVIRONMENT, "").strip() or _read().keys.get(address))


def store_key(address: str, key: str) -> None:
    """Keep a key for an address; empty: forget it. Raises BadInput, BadSetting, or what the disk refuses."""
    clean = key.strip()
    if clean and (not clean.isascii() or not clean.isprintable() or " " in clean):
        raise BadInput(problem="That is not a key.", remedy="Copy it whole, without spaces or line breaks.")
    if clean and not keeps_secrets(address):
        raise BadSetting(
            problem=f"{address} is not reached over https, so your key could be read on the way.",
            remedy="Give an address that begins with https://.",
        )
    keys = {name: value for name, value in _read().keys.items() if name != address}
    _write(_Keys(keys={**keys, address: clean} if clean else keys))


def keeps_secrets(address: str) -> bool:
    """Whether a key may be sent there: over https, or inside this computer or its own network."""
    parts = urlsplit(address)
    return parts.scheme == "https" or _is_near(parts.hostname or "")


def is_this_computer(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".local", ".lan", ".home.arpa")))


def _file() -> Path:
    return places.home() / "caption-keys.json"


def _read() -> _Keys:
    try:
        return read_document(_file(), _Keys)
    except (NotFound, BadDocument):
        return _Keys()


def _write(keys: _Keys) -> None:
    """The file is private from its first byte on."""
    path = _file()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(keys.model_dump_json(indent=2) + "\n")
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)
