"""Checks of what the pictures show: copies of the same clip, stillness, black, blur, bars, cuts, variety.

All look at what was measured once for each file; see quality.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.project import Goal
from ltx_wizard.core.units import plural, timecode_text
from ltx_wizard.dataset.augment import names_side, names_text
from ltx_wizard.dataset.doubles import Double, find_doubles, is_same, related
from ltx_wizard.dataset.finding import Dataset, Finding
from ltx_wizard.dataset.held_out import divided, held_out_clips, undivided
from ltx_wizard.dataset.quality import ClipQuality
from ltx_wizard.dataset.variety import STILL_SHARE, light_of

BLURRED = 0.06
BLACK_SHARE = 0.1

_UNUSUAL_TIMES = 3.0
_UNUSUAL_FROM = 8
_ALIKE_SHARE = 0.9
_NAMED = 3


def clip_label(clip: Clip, names: Mapping[str, str]) -> str:
    """What its file was called, and when the clip begins there. names: of files, by id of the source.

    Without a name: the clip's id, less the hash that tells files of one name apart.
    """
    name = names.get(clip.source_id, "")
    if not name:
        return re.sub(r"-[0-9a-f]{10}(?=-|$)", "", clip.id)
    return name if clip.kind is MediaKind.IMAGE else f"{name} at {timecode_text(clip.start_s)}"


def note_of(finding_id: str, clip: Clip, row: ClipQuality) -> str:
    """What was measured of one clip of a finding, in a few words; empty where its picture says it all."""
    if finding_id == "cuts":
        return f"cut at {_cut_times(clip, row)}"
    if finding_id == "black":
        return f"{row.black:.0%} of it black"
    if finding_id == "still":
        return f"{row.changing:.1%} of the picture changes"
    if finding_id == "unusual_motion":
        return f"moves {row.motion:.1%} of its width a second"
    if finding_id == "readable":
        return row.problem
    return ""


def check_measured(dataset: Dataset) -> Finding | None:
    if dataset.project is None:
        return None
    unknown = [clip for clip in dataset.clips if clip.id not in dataset.measured]
    if not unknown:
        return None
    return Finding(
        id="measured",
        level="should",
        title=f"{plural(len(unknown), 'clip')} not looked at yet",
        why="Copies, black bars, cuts, blur and stillness are only found by looking at every frame.",
        remedy="It takes a second or two for each clip and is done once.",
        clip_ids=_ids(unknown),
        fix="check_clips",
        fix_label=f"Look at {plural(len(unknown), 'clip')}",
    )


def check_readable(dataset: Dataset) -> Finding | None:
    broken = [clip for clip in dataset.known if dataset.measured[clip.id].problem]
    if not broken:
        return None
    return Finding(
        id="readable",
        level="should",
        title=f"{plural(len(broken), 'clip')} that cannot be read",
        why=dataset.measured[broken[0].id].problem,
        remedy="Leave them out, or cut them again in the step Scenes.",
        clip_ids=_ids(broken),
        fix="leave_out",
        fix_label=f"Leave {plural(len(broken), 'clip')} out",
    )


def check_doubles(dataset: Dataset) -> Finding | None:
    doubles = [double for double in find_doubles(dataset) if is_same(dataset, double)]
    if not doubles:
        return _good(dataset, "doubles", "No clip is there twice")
    return Finding(
        id="doubles",
        level="should",
        title=f"{plural(len(doubles), 'clip')} showing the same as another",
        why="What is there twice counts twice, and a copy among the clips kept for validation hides learning "
        "by heart.",
        remedy=f"{_pairs(doubles, dataset)} The larger one stays.",
        clip_ids=_ids(double.other for double in doubles),
        fix="leave_out",
        fix_label=f"Leave {plural(len(doubles), 'clip')} out",
    )


def check_alike(dataset: Dataset) -> Finding | None:
    alike = [double for double in find_doubles(dataset) if not is_same(dataset, double)]
    if not alike:
        return None
    return Finding(
        id="alike",
        level="should",
        title=f"{plural(len(alike), 'clip')} looking almost like another",
        why="The place and the framing are the same; the LoRA learns them along with what you want.",
        remedy=f"{_pairs(alike, dataset, 'like')} Keep the best of them if you have enough clips.",
        clip_ids=_ids(double.other for double in alike),
    )


def check_held_out(dataset: Dataset) -> Finding | None:
    """Clips that are kept for validation beside ones that are trained and tell of them."""
    clips = [clip for clip in dataset.clips if clip.id in dataset.plan.assignment]
    groups = related(dataset)
    kept = held_out_clips(clips, dataset.data.held_out_share, groups)
    twins = divided(clips, kept, groups)
    if not twins:
        return None
    can_swap = bool(undivided(clips, kept, groups))
    pairs = _pairs([Double(twins[clip.id], clip) for clip in clips if clip.id in twins], dataset, "like")
    return Finding(
        id="held_out",
        level="should" if can_swap else "fine",
        title=f"{plural(len(twins), 'clip')} kept for validation like clips that are trained",
        why="They look alike or come from the same few seconds, so the validation loss falls even where the "
        "LoRA only learns by heart.",
        remedy=f"{pairs} Keep others in their place, or leave the copies out."
        if can_swap
        else f"{pairs} No other choice is better: leave copies out, or add other videos.",
        clip_ids=tuple(twins),
        fix="swap_held_out" if can_swap else "",
        fix_label="Keep others for validation" if can_swap else "",
    )


def check_still(dataset: Dataset) -> Finding | None:
    still = [clip for clip in dataset.seen_videos if dataset.measured[clip.id].changing < STILL_SHARE]
    if not still:
        return _good(dataset, "still", "Something moves in every video") if dataset.seen_videos else None
    return Finding(
        id="still",
        level="should",
        title=f"{plural(len(still), 'clip')} in which nothing moves",
        why="A LoRA that is trained on stills in the length of videos makes videos that stand still.",
        remedy="Leave them out. If one is wanted for its looks, import a picture of it in its place.",
        clip_ids=_ids(still),
        fix="leave_out",
        fix_label=f"Leave {plural(len(still), 'clip')} out",
    )


def check_black(dataset: Dataset) -> Finding | None:
    black = [clip for clip in dataset.seen if dataset.measured[clip.id].black >= BLACK_SHARE]
    if not black:
        return None
    return Finding(
        id="black",
        level="should",
        title=f"{plural(len(black), 'clip')} with black frames",
        why="A tenth or more of the clip shows nothing, and the LoRA would learn to go black.",
        remedy="Leave them out, or move their cuts in the step Scenes.",
        clip_ids=_ids(black),
        fix="leave_out",
        fix_label=f"Leave {plural(len(black), 'clip')} out",
    )


def check_blurred(dataset: Dataset) -> Finding | None:
    blurred = [clip for clip in dataset.seen if 0 < dataset.measured[clip.id].sharpness < BLURRED]
    if not blurred:
        return _good(dataset, "blurred", "Every clip is sharp for its size")
    return Finding(
        id="blurred",
        level="should",
        title=f"{plural(len(blurred), 'clip')} with less detail than the size allows",
        why="Out of focus, or enlarged: the LoRA learns that blur.",
        remedy="Use a sharper copy, or leave them out. Keep them if the softness is the style.",
        clip_ids=_ids(blurred),
        fix="leave_out",
        fix_label=f"Leave {plural(len(blurred), 'clip')} out",
    )


def check_bars(dataset: Dataset) -> Finding | None:
    barred = [clip for clip in dataset.seen if dataset.measured[clip.id].picture is not None]
    if not barred:
        return _good(dataset, "bars", "No clip has black bars")
    return Finding(
        id="bars",
        level="should",
        title=f"{plural(len(barred), 'clip')} with black bars",
        why="The LoRA would learn the bars as part of the picture.",
        remedy="Crop them away: the clips are written again from your originals, which stay as they are. "
        "The way back is under 'Fine'.",
        clip_ids=_ids(barred),
        fix="crop_bars",
        fix_label=f"Crop {plural(len(barred), 'clip')}",
    )


def check_cropped(dataset: Dataset) -> Finding | None:
    """The way back: what was taken for a bar may have been night."""
    cropped = [clip for clip in dataset.clips if clip.crop]
    if not cropped:
        return None
    return Finding(
        id="cropped",
        level="fine",
        title=f"{plural(len(cropped), 'clip')} cropped",
        why="The black bars that were found are not part of the picture any more.",
        remedy="Where that took too much, bring the whole picture back: it is written from your originals.",
        clip_ids=_ids(cropped),
        fix="uncrop",
        fix_label="Whole picture",
    )


def check_cuts(dataset: Dataset) -> Finding | None:
    cut = [clip for clip in dataset.seen_videos if dataset.measured[clip.id].cuts]
    if not cut:
        return _good(dataset, "cuts", "No video has a cut inside") if dataset.seen_videos else None
    return Finding(
        id="cuts",
        level="should",
        title=f"{plural(len(cut), 'clip')} with a cut inside",
        why="One caption cannot describe two shots, and the LoRA learns to jump.",
        remedy=f"{_where(cut, dataset)} Split them there: each part needs its own caption. "
        f"Parts under {dataset.settings.scenes.min_clip_s:g} s are left out.",
        clip_ids=_ids(cut),
        fix="split_at_cuts",
        fix_label=f"Split {plural(len(cut), 'clip')}",
    )


def check_unusual_motion(dataset: Dataset) -> Finding | None:
    unusual = unusual_motion(dataset)
    if not unusual:
        return None
    fast, slow = (sum(1 for _, quick in unusual if quick is wanted) for wanted in (True, False))
    words = [f"{count} {word}" for count, word in ((fast, "much faster"), (slow, "much slower")) if count]
    return Finding(
        id="unusual_motion",
        level="should" if dataset.settings.goal is Goal.MOTION else "fine",
        title=f"{plural(len(unusual), 'clip')} with unusual motion",
        why=f"{' and '.join(words)} than the others: welcome variety, or a clip that does not belong.",
        remedy="Look at them once in the step Captions.",
        clip_ids=_ids(clip for clip, _ in unusual),
    )


def check_variety(dataset: Dataset) -> Finding | None:
    """Of many clips nearly all alike in one respect: the LoRA takes that for a part of what is learnt."""
    clips = [clip for clip in dataset.seen if not clip.regularisation]
    if len(clips) < _UNUSUAL_FROM or dataset.settings.goal is Goal.MOTION:
        return None
    rows = [dataset.measured[clip.id] for clip in clips]
    alike: list[str] = []
    source, count = Counter(clip.source_id for clip in clips).most_common(1)[0]
    if count >= _ALIKE_SHARE * len(clips) and source:
        alike.append("come from the same video")
    light, count = Counter(light_of(row) for row in rows).most_common(1)[0]
    if count >= _ALIKE_SHARE * len(rows) and light != "medium":
        alike.append(f"are {light}")
    if not alike:
        return None
    return Finding(
        id="variety",
        level="fine",
        title="Little variety",
        why=f"Nearly all clips {' and '.join(alike)}. What they share is learnt along with what you want.",
        remedy="Add clips that differ in it, unless it is what you want to teach.",
    )


def check_mirroring(dataset: Dataset) -> Finding | None:
    """Only where the recipe mirrors every clip: then captions with sides and writing matter."""
    if dataset.data.mirror != "all":
        return None
    text = [clip for clip in dataset.learnt if names_text(clip.caption)]
    sides = [clip for clip in dataset.learnt if names_side(clip.caption)]
    if not text and not sides:
        return None
    found = {clip.id: clip for clip in [*text, *sides]}
    why = (
        [f"{plural(len(text), 'caption')} may speak of writing, which is reversed in a mirror."]
        if text
        else []
    )
    if sides:
        why.append(f"In {plural(len(sides), 'caption')} left and right are exchanged for the mirrored copy.")
    return Finding(
        id="mirroring",
        level="should" if text else "fine",
        title=f"{plural(len(found), 'clip')} mirrored that should perhaps not be",
        why=" ".join(why),
        remedy="Set 'Mirror' to safe in the step Recipe, so that these are not mirrored.",
        clip_ids=tuple(found),
    )


QUALITY_CHECKS = (
    check_measured,
    check_readable,
    check_doubles,
    check_alike,
    check_held_out,
    check_bars,
    check_cropped,
    check_cuts,
    check_black,
    check_blurred,
    check_still,
    check_unusual_motion,
    check_variety,
    check_mirroring,
)


def unusual_motion(dataset: Dataset) -> list[tuple[Clip, bool]]:
    """Clips that move three times as much or as little as the spread of the others allows; True: more."""
    clips = [
        clip
        for clip in dataset.seen_videos
        if not clip.regularisation and dataset.measured[clip.id].changing >= STILL_SHARE
    ]
    if len(clips) < _UNUSUAL_FROM:
        return []
    amounts = np.log([max(dataset.measured[clip.id].motion, 1e-4) for clip in clips])
    middle = float(np.median(amounts))
    spread = max(1.4826 * float(np.median(np.abs(amounts - middle))), 0.25)
    off = (amounts - middle) / spread
    return [
        (clip, bool(value > 0)) for clip, value in zip(clips, off, strict=True) if abs(value) > _UNUSUAL_TIMES
    ]


def _pairs(doubles: Sequence[Double], dataset: Dataset, word: str = "=") -> str:
    named = [
        f"{clip_label(double.other, dataset.names)} {word} {clip_label(double.kept, dataset.names)}"
        for double in doubles[:_NAMED]
    ]
    more = len(doubles) - len(named)
    return f"{', '.join(named)}{f' and {more} more' if more > 0 else ''}."


def _where(clips: Sequence[Clip], dataset: Dataset) -> str:
    named = [
        f"{clip_label(clip, dataset.names)}, after {_cut_times(clip, dataset.measured[clip.id])}"
        for clip in clips[:_NAMED]
    ]
    more = len(clips) - len(named)
    return f"{'; '.join(named)}{f'; and {more} more' if more > 0 else ''}."


def _cut_times(clip: Clip, row: ClipQuality) -> str:
    return ", ".join(f"{frame / max(clip.fps, 1):.1f} s" for frame in row.cuts[:_NAMED])


def _good(dataset: Dataset, finding_id: str, title: str) -> Finding | None:
    """Said only once every clip was looked at."""
    if not dataset.measured or any(clip.id not in dataset.measured for clip in dataset.clips):
        return None
    return Finding(id=finding_id, level="fine", title=title, why="")


def _ids(clips: Iterable[Clip]) -> tuple[str, ...]:
    return tuple(clip.id for clip in clips)
