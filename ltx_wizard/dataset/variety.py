"""How the clips of a dataset differ from each other: counts, and what they mean in one plain sentence.

What all clips share is learnt along with what is wanted; what differs is left free.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.lint import Part, coverage
from ltx_wizard.core.project import Goal
from ltx_wizard.dataset.finding import Dataset
from ltx_wizard.dataset.quality import ClipQuality

STILL_SHARE = 0.003
"""Less of the picture changes within half a second: a photograph, with the noise of its compression."""

SLOW, FAST = 0.03, 0.15
"""How far the picture moves in a second, in shares of its width."""

DARK, BRIGHT = 0.25, 0.65
"""Mean brightness, 0 to 1."""

NEARLY_ALL, MOST = 0.9, 0.6
FEWEST_TO_JUDGE = 8
"""With fewer clips, that they are alike says nothing."""

_NAMED_PARTS = {
    Part.ACTION: "what moves",
    Part.APPEARANCE: "what it looks like",
    Part.BACKGROUND: "the place",
    Part.CAMERA: "the camera",
    Part.LIGHT: "the light",
    Part.TIME: "what happens one after the other",
}
_LENGTHS = ((2, "under 2 s"), (4, "2 to 4 s"), (6, "4 to 6 s"), (8.01, "6 to 8 s"))


@dataclass(frozen=True)
class Tally:
    """One respect in which clips differ. counts: how many clips for each value, the most first. said: what
    that means, in a sentence. note: whether it is worth a thought. measure: how the values are told apart.
    """

    title: str
    counts: tuple[tuple[str, int], ...]
    said: str = ""
    note: bool = False
    measure: str = ""
    total: int = 0


def variety(dataset: Dataset) -> list[Tally]:
    """Sources, sizes and lengths, captions, and of clips that were looked at, camera, light and motion.

    Only clips that show what is to be learnt count, unless there are no others.
    """
    clips = dataset.learnt or list(dataset.clips)
    if not clips:
        return []
    rows = [
        (clip, row)
        for clip in clips
        if (row := dataset.measured.get(clip.id)) is not None and not row.problem
    ]
    videos = [row for clip, row in rows if clip.kind is MediaKind.VIDEO]
    tallies = [
        _sources(clips, dataset.names),
        _tally("Sizes", (f"{clip.width} × {clip.height}" for clip in clips), len(clips)),
        _tally("Lengths", (_length(clip) for clip in clips), len(clips)),
        _camera(videos, dataset.settings.goal),
        _light(rows, dataset.settings.goal),
        _motion(videos, dataset.settings.goal),
        _captions(dataset.captioned),
    ]
    return [tally for tally in tallies if tally is not None and tally.counts]


def light_of(row: ClipQuality) -> str:
    return "dark" if row.brightness < DARK else "bright" if row.brightness > BRIGHT else "medium"


def pace_of(row: ClipQuality) -> str:
    if row.changing < STILL_SHARE:
        return "still"
    return "slow" if row.motion < SLOW else "fast" if row.motion > FAST else "medium"


def _sources(clips: Sequence[Clip], names: Mapping[str, str]) -> Tally:
    tally = _tally(
        "Videos and images", (names.get(clip.source_id, clip.source_id) for clip in clips), len(clips)
    )
    return _judged(
        tally,
        "come from {value}",
        "Its place and its people are learnt along; clips from another video would set them free.",
        "Every clip comes from another file." if len(tally.counts) == len(clips) > 1 else "",
    )


def _camera(videos: Sequence[ClipQuality], goal: Goal) -> Tally | None:
    if not videos:
        return None
    moves = (move for row in videos for move in (row.camera or ("not sure",)))
    measure = "Measured by optical flow; 'not sure' where it is not clear."
    tally = _tally("Camera", moves, len(videos), measure)
    unsure = dict(tally.counts).get("not sure", 0)
    if unsure >= MOST * len(videos):
        return _with(tally, f"In {_share(unsure, len(videos))} the camera's move is not clear enough to say.")
    if goal is Goal.MOTION:
        return _with(tally, _mostly(tally))
    move = tally.counts[0][0]
    still = move in ("static", "handheld")
    filmed = f"are filmed with a {move} camera" if still else f"are filmed with a camera that {move}"
    return _judged(tally, filmed, "The LoRA learns to film like that.")


def _light(rows: Sequence[tuple[Clip, ClipQuality]], goal: Goal) -> Tally | None:
    if not rows:
        return None
    measure = f"Mean brightness: dark under {100 * DARK:.0f} %, bright over {100 * BRIGHT:.0f} %."
    tally = _tally("Light", (light_of(row) for _, row in rows), len(rows), measure)
    if goal is Goal.MOTION or tally.counts[0][0] == "medium":
        return _with(tally, _mostly(tally))
    return _judged(tally, "are {value}", "The LoRA learns that light along.")


def _motion(videos: Sequence[ClipQuality], goal: Goal) -> Tally | None:
    if not videos:
        return None
    measure = (
        f"How far the picture moves in a second: slow under {100 * SLOW:.0f} % of its width, "
        f"fast over {100 * FAST:.0f} %."
    )
    tally = _tally("Motion", (pace_of(row) for row in videos), len(videos), measure)
    if goal is Goal.MOTION:
        return _with(tally, _mostly(tally))
    return _judged(tally, "move at a {value} pace", "Videos made with the LoRA tend to it.")


def _captions(captioned: Sequence[Clip]) -> Tally | None:
    """How many captions name each of the six parts, in the guide's order. In a short clip not much happens
    one after the other: that part is counted and not judged.
    """
    if not captioned:
        return None
    named = Counter(part for clip in captioned for part in coverage(clip.caption))
    counts = tuple((_NAMED_PARTS[part], named[part]) for part in Part)
    part = min((part for part in Part if part is not Part.TIME), key=lambda part: named[part])
    total, without = len(captioned), len(captioned) - named[part]
    tally = Tally("Captions name", counts, measure="Found by the words of each caption.", total=total)
    if named[part] >= NEARLY_ALL * total:
        return _with(tally, "Nearly every caption names what moves, its looks, place, camera and light.")
    said = f"{_share(without, total)} do not name {_NAMED_PARTS[part]}: it is tied to what you teach."
    return _with(tally, said, note=named[part] < MOST * total)


def _judged(tally: Tally, alike: str, why: str, otherwise: str = "") -> Tally:
    """Says so where nearly all are alike; else which value most have."""
    value, count = tally.counts[0]
    if len(tally.counts) == 1 and tally.total < FEWEST_TO_JUDGE:
        return _with(tally, otherwise or _mostly(tally))
    if count >= NEARLY_ALL * tally.total and tally.total >= FEWEST_TO_JUDGE:
        who = "All clips" if count == tally.total else "Nearly all clips"
        return _with(tally, f"{who} {alike.format(value=value)}. {why}", note=True)
    return _with(tally, otherwise or _mostly(tally))


def _mostly(tally: Tally) -> str:
    value, count = tally.counts[0]
    if len(tally.counts) == 1:
        return f"All {value}."
    if count >= MOST * tally.total:
        return f"Mostly {value}, with {tally.total - count} others."
    return f"Well mixed: {len(tally.counts)} kinds, the most frequent in {_share(count, tally.total)}."


def _share(count: int, total: int) -> str:
    return f"{count} of {total} clips"


def _with(tally: Tally, said: str, note: bool = False) -> Tally:
    return Tally(tally.title, tally.counts, said, note, tally.measure, tally.total)


def _tally(title: str, values: Iterable[str], total: int, measure: str = "") -> Tally:
    tally = Tally(title, tuple(Counter(values).most_common()), measure=measure, total=total)
    return _with(tally, _mostly(tally)) if tally.counts else tally


def _length(clip: Clip) -> str:
    if clip.kind is MediaKind.IMAGE:
        return "image"
    return next((words for limit, words in _LENGTHS if clip.duration_s < limit), "over 8 s")
