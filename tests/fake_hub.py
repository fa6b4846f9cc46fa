"""A hub on this computer, as huggingface_hub sees one: listing, addresses of files, redirects to a store
of large files at another host, ranges, accounts. It can break, lie and refuse on demand, and remembers what
was asked.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from ltx_wizard.models.spec import ModelSpec
from ltx_wizard.models.weights import hub_parts

_CHUNK = 16 * 1024


@dataclass(frozen=True)
class Asked:
    """One request. first: the byte that it starts from."""

    server: str
    method: str
    path: str
    token: str
    first: int


@dataclass
class FakeHub:
    """repositories: name, then path, then content. Files of at least large_bytes lie in the other store.

    tokens: those that are known. gated: only for tokens in accepted. breaks: for a path, after how many
    bytes each of the next answers breaks off. corrupt, refuse: for a path, how many of the next answers have
    a wrong byte, and their statuses. bytes_per_s: 0 is as fast as it goes. etag: of large files; empty: as
    it should be. page: as in a hotel, every address answers with it.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large_bytes: int = 10_000
    tokens: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    gated: set[str] = field(default_factory=set)
    private: set[str] = field(default_factory=set)
    breaks: dict[str, list[int]] = field(default_factory=dict)
    corrupt: dict[str, int] = field(default_factory=dict)
    refuse: dict[str, list[int]] = field(default_factory=dict)
    shown_size: dict[str, int] = field(default_factory=dict)
    ignores_ranges: bool = False
    page: bytes = b""
    bytes_per_s: float = 0.0
    commit: str = "c" * 40
    etag: str = ""
    asked: list[Asked] = field(default_factory=list)
    address: str = ""
    store: str = ""

    def fill(self, spec: ModelSpec, weights_bytes: int = 200_000) -> None:
        """All that this model takes, with weights that are noise."""
        for part, repository, inside in hub_parts(spec):
            files = self.repositories.setdefault(repository, {"README.md": b"about"})
            if inside.endswith(".safetensors"):
                files[inside] = noise(inside, weights_bytes)
                continue
            for name in _FOLDERS.get(part, ()):
                files[f"{inside}/{name}"] = f"{part} {name}".encode()
            if part not in ("tokenizer", "scheduler"):
                shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
                index = {"weight_map": {f"layer.{n}": shard for n, shard in enumerate(shards)}}
                files[f"{inside}/config.json"] = b'{"of": "%s"}' % part.encode()
                files[f"{inside}/model.safetensors.index.json"] = json.dumps(index).encode()
                files[f"{inside}/unused.bin"] = b"a pickle"
                for shard in shards:
                    files[f"{inside}/{shard}"] = noise(f"{repository}{inside}{shard}", weights_bytes)

    def fetched(self, path: str) -> list[Asked]:
        """Requests for the content of a file, at whichever server gave it."""
        return [asked for asked in self.asked if asked.method == "GET" and asked.path.endswith(path) and (
            asked.server == "store" or not self._is_large(path)
        )]  # fmt: skip

    def _is_large(self, path: str) -> bool:
        return any(
            len(content) >= self.large_bytes
            for files in self.repositories.values()
            for name, content in files.items()
            if name.endswith(path)
        )


_FOLDERS = {
    "tokenizer": ("tokenizer_config.json", "spiece.model"),
    "scheduler": ("scheduler_config.json",),
}


def noise(seed: str, size: int) -> bytes:
    """The same bytes for the same seed."""
    return hashlib.shake_128(seed.encode()).digest(size)


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve at two free ports until the end."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, name)) for name in ("hub", "store")]
    ports = [server.server_address[1] for server in servers]
    # The store is another host, as on the hub: an older huggingface_hub takes one of two ports for the same.
    hub.address, hub.store = f"http://127.0.0.1:{ports[0]}", f"http://localhost:{ports[1]}"
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def _handler(hub: FakeHub, server_name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def end_headers(self) -> None:
            self.send_header("Connection", "close")
            super().end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.close_connection = True
            path = unquote(urlsplit(self.path).path)
            spoken = self.headers.get("Authorization", "").removeprefix("Bearer ")
            first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            hub.asked.append(Asked(server_name, self.command, path, spoken, first))
            if hub.page:
                return self._page()
            statuses = next((left for end, left in hub.refuse.items() if path.endswith(end)), [])
            if statuses:
                return self._refuse(statuses.pop(0))
            if spoken and spoken not in hub.tokens and server_name == "hub":
                return self._refuse(401, message="Invalid credentials in Authorization header")
            if path == "/api/whoami-v2":
                return self._who(spoken)
            if path.startswith("/api/models/"):
                return self._listing(path.removeprefix("/api/models/").split("/revision/")[0], spoken)
            return self._file(path.lstrip("/"), spoken, first)

        def _page(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(hub.page)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(hub.page)

        def _who(self, spoken: str) -> None:
            if not spoken:
                return self._refuse(401)
            name = {"name": "somebody", "auth": {"accessToken": {"displayName": "mine", "role": "read"}}}
            return self._json(name)

        def _listing(self, repository: str, spoken: str) -> None:
            files = hub.repositories.get(repository)
            if files is None or (repository in hub.private and not spoken):
                return self._refuse(401 if files else 404, "RepoNotFound")
            siblings = [_sibling(hub, path, content) for path, content in files.items()]
            return self._json({"id": repository, "sha": hub.commit, "siblings": siblings})

        def _file(self, path: str, spoken: str, first: int) -> None:
            repository, _, rest = path.partition("/resolve/")
            name = rest.partition("/")[2]
            content = hub.repositories.get(repository, {}).get(name)
            if server_name == "store":
                assert content is not None
                return self._bytes(content, name, first)
            if repository in hub.gated and spoken not in hub.accepted:
                return self._refuse(403 if spoken else 401, "GatedRepo")
            if content is None:
                return self._refuse(
                    404, "EntryNotFound" if repository in hub.repositories else "RepoNotFound"
                )
            if len(content) < hub.large_bytes:
                return self._bytes(content, name, first)
            self.send_response(302)
            self._name_it(content, name)
            self.send_header("Location", f"{hub.store}/{path}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def _name_it(self, content: bytes, name: str) -> None:
            self.send_header("X-Repo-Commit", hub.commit)
            if len(content) >= hub.large_bytes:
                self.send_header("X-Linked-Size", str(hub.shown_size.get(name, len(content))))
                self.send_header("X-Linked-Etag", f'"{hub.etag or hashlib.sha256(content).hexdigest()}"')
                self.send_header("ETag", '"of-the-pointer"')
            else:
                self.send_header("ETag", f'"{_git_id(content)}"')

        def _bytes(self, content: bytes, name: str, first: int) -> None:
            if hub.ignores_ranges:
                first = 0
            self.send_response(206 if first else 200)
            self._name_it(content, name)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            if self.command == "GET":
                self._send(content, name, first)

        def _send(self, content: bytes, name: str, first: int) -> None:
            if hub.corrupt.get(name, 0) > 0:
                hub.corrupt[name] -= 1
                content = content[:-1] + bytes([content[-1] ^ 1])
            breaks = hub.breaks.get(name, [])
            last = min(len(content), first + breaks.pop(0)) if breaks else len(content)
            for start in range(first, last, _CHUNK):
                piece = content[start : min(start + _CHUNK, last)]
                try:
                    self.wfile.write(piece)
                except OSError:
                    return  # whoever asked has left
                if hub.bytes_per_s:
                    self.wfile.flush()
                    time.sleep(len(piece) / hub.bytes_per_s)

        def _json(self, value: object) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refuse(self, status: int, code: str = "", message: str = "") -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            if message:
                self.send_header("X-Error-Message", message)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


def _sibling(hub: FakeHub, path: str, content: bytes) -> dict[str, object]:
    size = hub.shown_size.get(path, len(content))
    found: dict[str, object] = {"rfilename": path, "size": size, "blobId": _git_id(content)}
    if len(content) >= hub.large_bytes:
        found["lfs"] = {"size": size, "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 134}
    return found


def _git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
