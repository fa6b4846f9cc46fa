"""Which captioners this computer can use, and the server that can write captions. No torch here."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ltx_wizard.app.settings import read_app_settings, set_caption_server
from ltx_wizard.app.system import first_gpu, memory_gib
from ltx_wizard.core import places
from ltx_wizard.core.errors import NotReady, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import plural
from ltx_wizard.models.captioner_models import CAPTIONER_MODELS, CaptionerModel, Precision
from ltx_wizard.models.weights import missing_parts

# ruff: noqa: PLC0415 - the video library is loaded where it is used

SERVER = "server"
NOT_MEASURED = "not measured yet"
_USABLE_RAM = 0.7
_PRECISION_WORDS: dict[Precision, str] = {"float32": "", "bf16": " in 16 bits", "nf4": " in 4 bits"}


@dataclass(frozen=True)
class CaptionerChoice:
    """A captioner as a page offers it.

    fits: this computer can hold it; reason: why, or why not. downloaded: nothing has to be fetched first;
    else download_gib is about how much, and app/downloads takes `name` as the model. ready: it can start now;
    else `reason` or the download is in the way. proposed: the best that fits. speed: clips per minute with
    the card that measured it, or 'not measured yet'.
    """

    name: str
    title: str
    needs: str
    fits: bool
    reason: str
    downloaded: bool
    download_gib: float
    proposed: bool
    ready: bool
    speed: str


@dataclass(frozen=True)
class ServerSettings:
    """The server that writes captions. address empty: none is set. The key itself is not shown."""

    address: str
    model: str
    has_key: bool


def choices(project: Project | None = None) -> list[CaptionerChoice]:
    """Every captioner, in the order in which they are offered. Asks no server."""
    from ltx_wizard.captioning.captioner import CAPTIONERS

    del project  # the same for all projects so far
    proposed = proposed_captioner()
    return [
        _choice(name, entry.title, entry.needs, entry.model, name == proposed)
        for name, entry in CAPTIONERS.items()
    ]


def proposed_captioner() -> str:
    """The largest vision model that the card holds; without a card the small model for single pictures."""
    vram_gib = _vram_gib()
    if vram_gib:
        sees = [model for model in CAPTIONER_MODELS if model.family == "qwen3vl"]
        fitting = [model.id for model in sees if model.precision_for(vram_gib)]
        if fitting:
            return fitting[-1]
    smallest = CAPTIONER_MODELS[0]
    return smallest.id if _fits(smallest) else "motion"


def set_server(address: str, model: str, key: str = "") -> None:
    """Keep address and model in the user's settings. key: kept in a private file of its own; empty leaves
    the key that is there. Raises BadSetting, BadInput.
    """
    from ltx_wizard.captioning.server_key import checked_address, store_key

    checked = checked_address(address) if address.strip() else ""
    if checked and key.strip():
        store_key(checked, key)
    set_caption_server(checked, model.strip())


def forget_key() -> None:
    """Delete the key of the server that is set."""
    from ltx_wizard.captioning.server_key import store_key

    store_key(server().address, "")


def server() -> ServerSettings:
    from ltx_wizard.captioning.server_key import has_key

    settings = read_app_settings()
    address = settings.caption_server
    return ServerSettings(address, settings.caption_model, bool(address) and has_key(address))


def server_for_job(address: str, model: str) -> tuple[str, str]:
    """Address and model to ask: those given, else those in the settings. Raises NotReady, BadSetting."""
    from ltx_wizard.captioning.server_key import checked_address

    now = server()
    if not address.strip() and not now.address:
        raise NotReady(
            problem="No caption server is set.",
            remedy="Enter its address in the step Captions, or give it with --server.",
        )
    checked = checked_address(address or now.address)
    return checked, model.strip() or (now.model if checked == now.address else "")


def server_models() -> list[str]:
    """Names of the models that the server offers. Raises WizardError with what to do."""
    from ltx_wizard.captioning.openai_api import list_models
    from ltx_wizard.captioning.server_key import checked_address, key_for

    address = checked_address(server().address)
    return list_models(address, key_for(address))


def check_server() -> str:
    """Ask the server what it offers, and say in a sentence that all is well. Raises WizardError."""
    from ltx_wizard.captioning.openai_api import chosen_model

    offered = server_models()
    settings = server()
    model = chosen_model(settings.address, settings.model, offered)
    told = f"offers {plural(len(offered), 'model')}" if offered else "does not list its models"
    return f"{settings.address} answers and {told}. Captions will come from {model}."


def instruction(project: Project) -> str:
    """What vision models are asked for: the project's own words, or ours."""
    from ltx_wizard.captioning.captioner import INSTRUCTION

    return project.read_settings().caption_instruction.strip() or INSTRUCTION


def set_instruction(project: Project, text: str) -> None:
    """Keep the project's own words; ours, or nothing, brings ours back. Raises BadDocument if too long."""
    from ltx_wizard.captioning.captioner import INSTRUCTION

    own = "" if text.strip() == INSTRUCTION.strip() else text.strip()
    project.change_settings(caption_instruction=own)


def _choice(
    name: str, title: str, needs: str, model: CaptionerModel | None, proposed: bool
) -> CaptionerChoice:
    if model is None:
        reason = _server_reason() if name == SERVER else "Works on every computer, at once."
        ready = name != SERVER or bool(server().address)
        return CaptionerChoice(name, title, needs, True, reason, True, 0.0, proposed, ready, _speed(name))
    fits, downloaded = _fits(model), _is_here(model)
    return CaptionerChoice(
        name=name,
        title=title,
        needs=needs,
        fits=fits,
        reason=_reason(model),
        downloaded=downloaded,
        download_gib=0.0 if downloaded else model.download_gib,
        proposed=proposed,
        ready=fits and downloaded,
        speed=_speed(name),
    )


def _server_reason() -> str:
    now = server()
    return f"Asks {now.address}." if now.address else "Set the address of a server first."


def _vram_gib() -> float:
    """0 without a card."""
    card = first_gpu()
    return card.vram_gib if card else 0.0


def _fits(model: CaptionerModel) -> bool:
    vram_gib = _vram_gib()
    if vram_gib:
        return model.precision_for(vram_gib) is not None
    return model.need_gib("float32") <= _USABLE_RAM * memory_gib()[1]


def _reason(model: CaptionerModel) -> str:
    """Computed sizes, and says so."""
    vram_gib = _vram_gib()
    if not vram_gib:
        need, have = model.need_gib("float32"), memory_gib()[1]
        if not _fits(model):
            return f"Needs about {need:.0f} GB of memory without a card (computed); there are {have:.0f}."
        slow = " Expect a minute or more for each clip." if model.family == "qwen3vl" else ""
        return f"Without a card: about {need:.0f} GB of memory (computed), and slow.{slow}"
    precision = model.precision_for(vram_gib)
    if precision is None:
        least = model.need_gib("nf4" if model.nf4_gib else "bf16")
        return f"Needs about {least:.0f} GB on the card (computed); yours has {vram_gib:.0f}."
    words = _PRECISION_WORDS[precision]
    return f"About {model.need_gib(precision):.1f} of your card's {vram_gib:.0f} GB{words} (computed)."


def _is_here(model: CaptionerModel) -> bool:
    try:
        return not missing_parts(model)
    except WizardError:
        return False


def _speed(name: str) -> str:
    """From the benchmark's records: the fastest, with its card."""
    try:
        records = json.loads(places.CAPTIONER_MEASURES.read_text(encoding="utf-8"))
        known = [
            (float(record["clips_per_minute"]), str(record["card"]))
            for record in records
            if record["captioner"] == name and record["ok"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return NOT_MEASURED
    if not known:
        return NOT_MEASURED
    rate, card = max(known)
    return f"{rate:.0f} clips a minute on {card} (measured)"
