"""Which captioners this computer can use, and the server that can write captions. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ltx_wizard.app.captioner_measures import (
    Measure,
    measure_for,
    measured_on_processor,
    own_rate,
)
from ltx_wizard.app.settings import read_app_settings, set_caption_server
from ltx_wizard.app.system import first_gpu, memory_gib
from ltx_wizard.core.errors import NotFound, NotReady, WizardError
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import GIB, bytes_text, plural
from ltx_wizard.models.captioner_models import (
    CAPTIONER_MODELS,
    CaptionerModel,
    Precision,
    captioner_model,
)
from ltx_wizard.models.stored import delete_stored, stored_bytes
from ltx_wizard.models.weights import missing_parts

# ruff: noqa: PLC0415 - the video library is loaded where it is used

SERVER = "server"
NOT_MEASURED = "speed not measured yet"
_USABLE_RAM = 0.7
_PRECISION_WORDS: dict[Precision, str] = {"float32": "", "bf16": " in 16 bits", "nf4": " in 4 bits"}


@dataclass(frozen=True)
class CaptionerChoice:
    """A captioner as a page offers it.

    fits: this computer can hold it; reason: why, or why not. downloaded: nothing has to be fetched first;
    else download_gib is about how much, and app/downloads takes `name` as the model. ready: it can start now;
    else `reason` or the download is in the way. proposed: the best that fits. speed: clips per minute, and
    where that was measured; empty where it depends on somebody else. on_disk_gib: size of its files here.
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
    on_disk_gib: float = 0.0


@dataclass(frozen=True)
class ServerSettings:
    """The server that writes captions. address empty: none is set. The key itself is not shown."""

    address: str
    model: str
    has_key: bool


def choices(project: Project | None = None) -> list[CaptionerChoice]:
    """Every captioner, in the order in which they are offered. Asks no server. project: how quick captioners
    were here before is taken from its jobs.
    """
    from ltx_wizard.captioning.captioner import CAPTIONERS

    proposed = proposed_captioner()
    return [
        _choice(name, entry.title, entry.needs, entry.model, name == proposed, project)
        for name, entry in CAPTIONERS.items()
    ]


def proposed_captioner() -> str:
    """The largest vision model that the card holds; without a card the small model for single pictures."""
    if _vram_gib():
        fitting = [model.id for model in CAPTIONER_MODELS if model.family == "qwen3vl" and _fits(model)]
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


def check_server(offered: Sequence[str] | None = None) -> str:
    """Say in a sentence that all is well with the server. offered: what it offers, where it was asked
    already. Raises WizardError.
    """
    from ltx_wizard.captioning.openai_api import chosen_model

    offered = server_models() if offered is None else offered
    settings = server()
    model = chosen_model(settings.address, settings.model, offered)
    told = f"offers {plural(len(offered), 'model')}" if offered else "does not list its models"
    return f"{settings.address} answers and {told}. Captions will come from {model}."


def delete_model(name: str) -> str:
    """Delete the files of a captioner's model from the hub's cache, and say so. Raises NotFound, or what the
    system refuses.
    """
    model = captioner_model(name)
    if model is None or not (size := stored_bytes(model)):
        raise NotFound(problem="There are no files of this captioner here.", remedy="Reload the page.")
    delete_stored(model)
    return f"The files of {model.title} are deleted: {bytes_text(size)} are free again."


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
    name: str,
    title: str,
    needs: str,
    model: CaptionerModel | None,
    proposed: bool,
    project: Project | None,
) -> CaptionerChoice:
    if model is None:
        reason = _server_reason() if name == SERVER else "Works on every computer, without a download."
        ready = name != SERVER or bool(server().address)
        speed = _own_speed(project, name)
        return CaptionerChoice(name, title, needs, True, reason, True, 0.0, proposed, ready, speed)
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
        speed=(_own_speed(project, name) or _recorded_speed(model)) if fits else "",
        on_disk_gib=stored_bytes(model) / GIB if downloaded else 0.0,
    )


def _server_reason() -> str:
    now = server()
    return f"Asks {now.address}." if now.address else "Set the address of a server first."


def _vram_gib() -> float:
    """0 without a card."""
    card = first_gpu()
    return card.vram_gib if card else 0.0


def _measure(model: CaptionerModel) -> Measure | None:
    """What was measured of it on a card like this one, with the precision that it has here."""
    card = first_gpu()
    precision = model.precision_for(card.vram_gib) if card else None
    return measure_for(model.id, precision, card.vram_gib, card.name) if card and precision else None


def _fits(model: CaptionerModel) -> bool:
    vram_gib = _vram_gib()
    if not vram_gib:
        return model.need_gib("float32") <= _USABLE_RAM * memory_gib()[1]
    measure = _measure(model)
    return model.precision_for(vram_gib) is not None and not (measure and measure.error)


def _reason(model: CaptionerModel) -> str:
    """What it takes of this computer: measured where it was, else estimated from the size of its weights."""
    vram_gib, measure = _vram_gib(), _measure(model)
    if not vram_gib:
        return _reason_without_card(model)
    precision = model.precision_for(vram_gib)
    if precision is None:
        least = model.need_gib("nf4" if model.nf4_gib else "bf16")
        return f"Needs about {least:.0f} GB on the card (estimated); yours has {vram_gib:.0f}."
    if measure and measure.error:
        return f"Did not fit when it was measured on {measure.place}; your card has {vram_gib:.0f} GB."
    need, how = (measure.peak_gib, "measured") if measure else (model.need_gib(precision), "estimated")
    return f"Takes {need:.1f} of your card's {vram_gib:.0f} GB{_PRECISION_WORDS[precision]} ({how})."


def _reason_without_card(model: CaptionerModel) -> str:
    need, have = model.need_gib("float32"), memory_gib()[1]
    if not _fits(model):
        most = _USABLE_RAM * have
        return (
            f"Needs about {need:.0f} GB of memory without a card (estimated); of your {have:.0f} GB at most "
            f"{most:.0f} are free for it."
        )
    slow = " Expect a minute or more for each clip." if model.family == "qwen3vl" else ""
    return f"Without a card: about {need:.0f} GB of memory (estimated), and slow.{slow}"


def _is_here(model: CaptionerModel) -> bool:
    try:
        return not missing_parts(model)
    except WizardError:
        return False


def _own_speed(project: Project | None, name: str) -> str:
    """How quick it was when this project was captioned with it."""
    rate = own_rate(project, name) if project is not None else 0.0
    return f"{_rate(rate)} (measured here, on your clips)" if rate else ""


def _recorded_speed(model: CaptionerModel) -> str:
    """From the benchmark's records of a card like this one."""
    card = first_gpu()
    found = _measure(model) if card else measured_on_processor(model.id)
    if found is None or found.error:
        return NOT_MEASURED
    if card is None:
        return f"{_rate(found.clips_per_minute)} (measured on another computer without a card)"
    if found.card == card.name:
        return f"{_rate(found.clips_per_minute)} (measured on this kind of card)"
    return f"{_rate(found.clips_per_minute)} (measured on {found.place}; yours may be slower)"


def _rate(clips_per_minute: float) -> str:
    return f"{clips_per_minute:.{0 if clips_per_minute >= 10 else 1}f} clips a minute"
