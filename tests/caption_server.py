"""A server on this computer that speaks OpenAI's protocol, and breaks, lies and refuses on demand. It
remembers what was asked.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

MODEL = "qwen3-vl:4b"
CAPTION = "A dog runs to the left over wet sand while the camera pans with it. The light is warm."


@dataclass(frozen=True)
class Answer:
    """status, body and headers of an answer. after_s: how long it takes."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    after_s: float = 0.0


@dataclass
class CaptionServer:
    """models: what it lists; None: it has no list. next_answers: given once each; then `always`. key: asked
    for, if set.
    """

    models: list[str] | None = field(default_factory=lambda: [MODEL])
    key: str = ""
    next_answers: list[Answer] = field(default_factory=list)
    always: Answer | Callable[[dict], Answer] | None = None
    asked: list[dict] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer_to(self, body: dict) -> Answer:
        with self.lock:
            self.asked.append(body)
            self.times.append(time.monotonic())
            chosen = self.next_answers.pop(0) if self.next_answers else self.always
        return chosen(body) if callable(chosen) else chosen or said(CAPTION)


def said(text: str | None, after_s: float = 0.0, **message: object) -> Answer:
    """An answer of a model."""
    found = {"choices": [{"message": {"role": "assistant", "content": text, **message}}]}
    return Answer(200, json.dumps(found).encode(), after_s=after_s)


def refused(status: int, message: str, *headers: tuple[str, str]) -> Answer:
    body = json.dumps({"error": {"message": message, "type": "error"}}).encode()
    return Answer(status, body, (("Content-Type", "application/json"), *headers))


PAGE = Answer(200, b"<!DOCTYPE html><html>Please log in</html>", (("Content-Type", "text/html"),))


def pictures_of(body: dict) -> list[tuple[str, Image.Image]]:
    """(text before it, decoded picture) of every picture in a question; fails for what is no JPEG."""
    found: list[tuple[str, Image.Image]] = []
    content = body["messages"][0]["content"]
    for before, part in itertools.pairwise(content):
        if part["type"] == "image_url":
            head, data = part["image_url"]["url"].split(",", 1)
            assert head == "data:image/jpeg;base64"
            image = Image.open(io.BytesIO(base64.b64decode(data, validate=True)))
            assert image.format == "JPEG"
            found.append((before.get("text", ""), image.convert("RGB")))
    return found


@contextmanager
def serving(server: CaptionServer) -> Iterator[CaptionServer]:
    """Serve at a free port until the end."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_address[1]}/v1"
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def _handler(server: CaptionServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != "/v1/models" or server.models is None:
                self._send(refused(404, "not found"))
            elif self._may():
                listed = {"object": "list", "data": [{"id": name} for name in server.models]}
                self._send(Answer(200, json.dumps(listed).encode()))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                self._send(refused(404, "not found"))
            elif self._may():
                with server.lock:
                    server.at_once += 1
                    server.most_at_once = max(server.most_at_once, server.at_once)
                answer = server.answer_to(body)
                time.sleep(answer.after_s)
                with server.lock:
                    server.at_once -= 1
                self._send(answer)

        def _may(self) -> bool:
            server.keys.append(self.headers.get("Authorization", ""))
            if server.key and server.keys[-1] != f"Bearer {server.key}":
                self._send(refused(401, f"Incorrect API key provided: {server.keys[-1][7:]}"))
                return False
            return True

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            try:
                self.wfile.write(answer.body)
            except OSError:  # who asked has gone
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
