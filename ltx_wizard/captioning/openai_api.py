"""A captioner on a server that speaks OpenAI's protocol: Ollama, LM Studio, vLLM, llama.cpp, a cloud service.

Two requests: GET /models and POST /chat/completions. Frames go as JPEG data URLs, each after its time: the
one form that all of these servers take. The key goes in a header and nowhere else.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from ltx_wizard.captioning.captioner import ToCaption
from ltx_wizard.captioning.frames import frames_for, jpeg, sample_stills
from ltx_wizard.captioning.server_key import checked_address, is_this_computer, key_for
from ltx_wizard.core.clip import MediaKind
from ltx_wizard.core.errors import CaptionerFailed, JobFailed, WizardError

PARALLEL = 4
"""Requests at once. Local servers queue what they cannot do at once."""

WAITS_S = (1.0, 2.0, 4.0, 8.0)
"""Before each new try after a refusal that may pass; a server that says how long is heeded."""

LONGEST_WAIT_S = 120.0
CONNECT_S, ANSWER_S = 10.0, 300.0
"""A model may have to be loaded before the first answer comes."""

_FRAMES = (6, 12)
_LONG_SIDE_PX = 512
"""8 frames of 512 px are about 300 KB."""

_MAX_TOKENS = 600
_CHECK_S = 10.0
_TRIES_OF_A_LATE_ANSWER = 2
_PASSING = (httpx.ReadTimeout, httpx.WriteTimeout, httpx.RemoteProtocolError, httpx.ReadError)
_PATIENT_STATUSES = (408, 425, 429, 500, 502, 503, 504, 529)
_THOUGHT = re.compile(r"<think>.*?</think>|^.*?</think>", re.DOTALL | re.IGNORECASE)
_NO_PICTURES = re.compile(r"image|vision|multi-?modal|content.*(?:string|list|array)", re.IGNORECASE)
_NO_MODEL = re.compile(r"model", re.IGNORECASE)
_NO_MONEY = re.compile(r"quota|credit|billing|balance", re.IGNORECASE)


class ServerCaptioner:
    """Asks a model on a server. address, model: as the user set them; model empty: the only one there is."""

    name = "server"
    title = "The model on the server"
    batch = 1
    parallel = PARALLEL
    remote = True

    def __init__(self, address: str, model: str) -> None:
        self._address = checked_address(address)
        self._model = model.strip()
        self._closing = threading.Event()
        self._client: httpx.Client | None = None
        self._key = ""

    def load(self) -> None:
        """Asks which models there are: that shows early what is wrong with address, key or model."""
        self._key = key_for(self._address)
        self._model = chosen_model(self._address, self._model, list_models(self._address, self._key))
        self._client = _client(self._address, self._key, ANSWER_S)

    def caption(self, clips: Sequence[ToCaption]) -> list[str]:
        return [self._caption(clip) for clip in clips]

    def close(self) -> None:
        self._closing.set()
        if self._client is not None:
            self._client.close()

    def _caption(self, clip: ToCaption) -> str:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": _content(clip)}],
            "max_tokens": _MAX_TOKENS,
            "temperature": 0,
            "stream": False,
        }
        return _text_of(self._patiently(body))

    def _patiently(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask, and ask again after what may pass. Raises WizardError."""
        late = 0
        for pause in (*WAITS_S, None):
            try:
                answer = self._post(body)
            except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: the client was closed
                late += isinstance(error, httpx.TimeoutException)
                passes = isinstance(error, _PASSING) and late < _TRIES_OF_A_LATE_ANSWER
                if pause is None or not passes or self._closing.is_set():
                    raise _unreachable(error, self._address) from error
                self._wait(pause)
                continue
            if answer.status_code == 400 and _adapt(body, answer.text):
                continue
            if answer.status_code in _PATIENT_STATUSES and pause is not None and not _is_final(answer):
                self._wait(_asked_pause_s(answer, pause))
                continue
            return _json_of(answer, self._address, self._model, self._key)
        raise JobFailed(
            problem="The server refuses one setting after the other.", remedy="Choose another model there."
        )

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        assert self._client is not None, "load comes first"
        return self._client.post("chat/completions", json=body)

    def _wait(self, seconds: float) -> None:
        if seconds > LONGEST_WAIT_S:
            raise CaptionerFailed(
                problem=f"The server asks to wait {seconds / 60:.0f} minutes.",
                remedy="Start again later, or choose another server.",
            )
        if self._closing.wait(seconds):
            raise JobFailed("Stopped.", "")


def list_models(address: str, key: str) -> list[str]:
    """Names of the models that a server offers; empty where it does not tell. Raises WizardError."""
    try:
        with _client(address, key, _CHECK_S) as client:
            answer = client.get("models")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreachable(error, address) from error
    if answer.status_code in (404, 405, 501) and not _is_page(answer):
        return []  # some servers answer questions and nothing else
    found = _json_of(answer, address, "", key).get("data")
    items: list[object] = found if isinstance(found, list) else []
    return [str(item["id"]) for item in items if isinstance(item, dict) and item.get("id")]


def chosen_model(address: str, model: str, offered: Sequence[str]) -> str:
    """The model to ask for. Raises CaptionerFailed naming those that there are."""
    names = _some(offered)
    if not model:
        if len(offered) == 1:
            return offered[0]
        raise CaptionerFailed(
            problem=f"No model of {address} is chosen.",
            remedy=f"Choose one that sees pictures: {names}." if offered else "Enter the name of a model.",
        )
    if offered and not any(name in (model, f"{model}:latest", f"models/{model}") for name in offered):
        raise CaptionerFailed(
            problem=f"{address} has no model {model}.",
            remedy=f"Choose one of: {names}. Or load it there first.",
        )
    return model


def _client(address: str, key: str, answer_s: float) -> httpx.Client:
    """trust_env: the proxy of the system is for servers elsewhere, not for this computer."""
    return httpx.Client(
        base_url=f"{address}/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(answer_s, connect=CONNECT_S),
        trust_env=not is_this_computer(address),
        limits=httpx.Limits(max_connections=PARALLEL),
    )


def _content(clip: ToCaption) -> list[dict[str, object]]:
    """The instruction, then each frame after its time."""
    duration_s = clip.facts.duration_s if clip.facts else 4.0
    stills = sample_stills(clip.path, frames_for(duration_s, *_FRAMES), _LONG_SIDE_PX)
    content: list[dict[str, object]] = [{"type": "text", "text": clip.instruction}]
    for still in stills:
        if clip.kind is MediaKind.VIDEO:
            content.append({"type": "text", "text": f"Frame at {still.time_s:.1f} s:"})
        picture = base64.b64encode(jpeg(still.picture)).decode("ascii")
        content.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}})
    return content


def _text_of(answer: dict[str, Any]) -> str:
    """The caption in an answer. Raises JobFailed for one without."""
    if answer.get("error") and not answer.get("choices"):  # some servers fail with status 200
        raise JobFailed(
            problem=f"The server failed{_told(answer['error'])}",
            remedy="Look at its own log, then start again.",
        )
    try:
        message = answer["choices"][0]["message"]
        content = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise JobFailed(
            problem="The server's answer holds no text.",
            remedy="Check that its address ends in /v1 and that it speaks OpenAI's protocol.",
        ) from error
    if isinstance(content, list):
        content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    text = str(content or "").strip()
    told = _THOUGHT.sub("", text).strip()
    thought = message.get("reasoning_content") or message.get("reasoning")
    if (text or thought) and (not told or told.lower().startswith("<think>")):
        raise JobFailed(
            problem="The model only thought aloud and gave no caption.",
            remedy="Choose a model that does not reason (an 'Instruct' one), or turn its thinking off.",
        )
    if not told:
        raise JobFailed(
            problem="The model gave an empty answer.",
            remedy="Check that it sees pictures, and that its context holds about 6,000 tokens.",
        )
    return told


def _json_of(answer: httpx.Response, address: str, model: str, key: str) -> dict[str, Any]:
    """The object in an answer. Raises what its status says."""
    if answer.status_code >= 400:
        raise _refusal(answer, address, model, key)
    if answer.is_redirect:
        raise CaptionerFailed(
            problem=f"{address} sends LTX Wizard to another address.",
            remedy=f"Use that one: {str(answer.headers.get('location', 'see the server'))[:120]}",
        )
    try:
        found = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if isinstance(found, dict):
        return found
    raise CaptionerFailed(
        problem=f"{address} answers with a web page." if _is_page(answer) else f"{address} answers no JSON.",
        remedy="Check the address: it often ends in /v1. Or this network asks you to log in first.",
    )


def _refusal(answer: httpx.Response, address: str, model: str, key: str) -> WizardError:
    status, said = answer.status_code, _said(answer, key)
    if status in (401, 403):
        return CaptionerFailed(
            problem=f"{address} {'does not accept your key' if key else 'asks for a key'} ({status}).",
            remedy="Enter the key of that server again." if key else "Enter the key of that server.",
        )
    if status == 402 or (status == 429 and _NO_MONEY.search(said)):
        return CaptionerFailed(
            problem=f"Your account at {address} has no credit left ({status}).",
            remedy="Add credit there, or choose another server.",
        )
    if status == 429:
        return CaptionerFailed(
            problem=f"{address} asks to slow down, again and again (429).",
            remedy="Wait a few minutes and start again.",
        )
    if status == 404 and model and _NO_MODEL.search(said):
        return CaptionerFailed(
            problem=f"{address} has no model {model} (404).",
            remedy="Load it there first, or choose another one from its list.",
        )
    if status in (404, 405):
        return CaptionerFailed(
            problem=f"There is nothing at this address ({status}): {address}",
            remedy="Check it: it often ends in /v1, such as http://localhost:11434/v1.",
        )
    if status == 413:
        return CaptionerFailed(
            problem=f"{address} does not take so much at once (413).",
            remedy="Allow larger requests there, or choose another server.",
        )
    if status >= 500:
        return JobFailed(
            problem=f"The server failed ({status}){said}", remedy="Look at its own log, then start again."
        )
    if _NO_PICTURES.search(said):
        return CaptionerFailed(
            problem=f"{model or 'The model'} does not take pictures ({status}){said}",
            remedy="Choose a model that sees, such as qwen3-vl.",
        )
    return JobFailed(
        problem=f"The server refused the request ({status}){said}",
        remedy="Check the model's settings there, such as the size of its context.",
    )


def _adapt(body: dict[str, Any], said: str) -> bool:
    """Newer cloud models want another name for the length, and no temperature. Gives whether that helps."""
    if "max_completion_tokens" in said and "max_tokens" in body:
        body["max_completion_tokens"] = body.pop("max_tokens")
        return True
    if "temperature" in said and "temperature" in body:
        del body["temperature"]
        return True
    return False


def _said(answer: httpx.Response, key: str) -> str:
    """': what the server said', on one line and without the key; '.' for nothing to read."""
    text: object = "" if _is_page(answer) else answer.text
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(answer.text)
        text = found.get("error", found.get("message", found)) if isinstance(found, dict) else found
    return _told(text, key)


def _told(error: object, key: str = "") -> str:
    """As _said, of the text or object that tells the error."""
    text = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    clean = " ".join((text.replace(key, "***") if key else text).split())[:200].rstrip(".")
    return f": {clean}." if clean else "."


def _is_final(answer: httpx.Response) -> bool:
    """A 429 for an empty account does not pass."""
    return answer.status_code == 429 and _NO_MONEY.search(answer.text) is not None


def _asked_pause_s(answer: httpx.Response, usual: float) -> float:
    """What Retry-After asks for, in seconds or as a date; else the usual pause."""
    given = answer.headers.get("retry-after", "").strip()
    with suppress(ValueError):
        return max(0.0, float(given))
    with suppress(ValueError, TypeError):
        moment = parsedate_to_datetime(given)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return max(0.0, (aware - datetime.fromtimestamp(time.time(), timezone.utc)).total_seconds())
    return usual


def _is_page(answer: httpx.Response) -> bool:
    kind = answer.headers.get("content-type", "")
    return "html" in kind or answer.content.lstrip()[:15].lower().startswith((b"<!doctype", b"<html"))


def _unreachable(error: BaseException, address: str) -> WizardError:
    if isinstance(error, httpx.ConnectError):
        return CaptionerFailed(
            problem=f"No server answers at {address}.",
            remedy="Start it (Ollama: ollama serve; LM Studio: Start server), or check the address.",
        )
    if isinstance(error, httpx.ConnectTimeout):
        return CaptionerFailed(
            problem=f"{address} does not answer.", remedy="Check the address and the network."
        )
    if isinstance(error, httpx.TimeoutException):
        return JobFailed(
            problem="The server took too long for this clip.",
            remedy="Choose a smaller model there, or one that fits on its card.",
        )
    return CaptionerFailed(
        problem=f"The connection to {address} broke ({type(error).__name__}).",
        remedy="Check that the server still runs, then start again.",
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown
