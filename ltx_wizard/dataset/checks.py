"""Checks: what stands between this dataset and a good LoRA, and what to do about it.

A check is one function that takes a Dataset and gives one finding, and one line in CHECKS. Grids, rates and
lengths come from the model's spec; what belongs to the craft is named here, with its source: "the guide" is
the LTX LoRA training guide that this project follows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ltx_wizard.core.caption import MAX_WORDS, MIN_WORDS, flatten, has_markup, has_slots, unmarked, word_count
from ltx_wizard.core.clip import CaptionState, Clip, told_apart
from ltx_wizard.core.errors import BadInput, WizardError
from ltx_wizard.core.lint import no_caption
from ltx_wizard.core.project import (
    Goal,
    Project,
    ProjectSettings,
    TriggerPlacement,
    has_trigger,
)
from ltx_wizard.core.recipe import DataSettings, parse_bucket
from ltx_wizard.core.units import plural
from ltx_wizard.dataset.buckets import BucketPlan, grid_words, needs_conforming, used_s
from ltx_wizard.dataset.dataset import caption_changes, read_clips, read_sources, remove_clips, update_clips
from ltx_wizard.dataset.finding import Dataset, Finding, Level
from ltx_wizard.dataset.left_out import leave_out
from ltx_wizard.dataset.quality import measured_clips
from ltx_wizard.dataset.quality_checks import QUALITY_CHECKS
from ltx_wizard.dataset.repairs import split_at_cuts
from ltx_wizard.models.spec import ModelSpec

WANTED_CLIPS: dict[Goal, tuple[int, int, str]] = {
    Goal.STYLE: (5, 20, "5 to 10 clips or images to begin with, 20 to 50 for the best result"),
    Goal.DETAIL: (5, 20, "5 to 10 clips or images to begin with, 20 to 50 for the best result"),
    Goal.CHARACTER: (15, 50, "15 to 30 clips to begin with, 50 to 100 for the best result"),
    Goal.MOTION: (20, 100, "20 to 50 clips to begin with, 100 or more for the best result"),
    Goal.CONTROL: (100, 500, "100 pairs to begin with, 500 or more for the best result"),
}
"""Fewest, enough, in words. Source: the guide, recommended dataset sizes; it has no row for detail."""

GOALS_WITH_TRIGGER = (Goal.STYLE, Goal.CHARACTER, Goal.MOTION)
_UPSCALE_LIMIT = 1.25
"""Enlarging by more than a quarter is visibly soft. Not measured."""

_WORDS_PER_TOKEN = 0.75
"""Rule of thumb for English and T5. The encoder reads no further than its limit in tokens."""


def check_dataset(
    settings: ProjectSettings,
    clips: Sequence[Clip],
    spec: ModelSpec,
    plan: BucketPlan,
    project: Project | None = None,
    data: DataSettings | None = None,
) -> list[Finding]:
    """Every finding, the most urgent first. data: how the recipe uses the clips."""
    return findings_of(look_at(settings, clips, spec, plan, project, data))


def findings_of(dataset: Dataset) -> list[Finding]:
    """Every finding, the most urgent first."""
    if not dataset.clips:
        return [_no_clips()]
    findings = [finding for check in CHECKS if (finding := check(dataset)) is not None]
    order: dict[Level, int] = {"must": 0, "should": 1, "fine": 2}
    return sorted(findings, key=lambda finding: order[finding.level])


def look_at(
    settings: ProjectSettings,
    clips: Sequence[Clip],
    spec: ModelSpec,
    plan: BucketPlan,
    project: Project | None = None,
    data: DataSettings | None = None,
) -> Dataset:
    """What the checks look at, with what was measured of the clips; reads no video."""
    measured = measured_clips(project, clips) if project is not None else {}
    names = told_apart(read_sources(project)) if project else {}
    return Dataset(settings, clips, spec, plan, project, measured, data or DataSettings(), names)


def apply_fix(project: Project, fix: str, clip_ids: Sequence[str] = ()) -> int:
    """Do at once what a finding offers; clip_ids empty: to all clips. Gives the number of clips changed.

    What takes longer is a job and not done here: 'split_at_cuts' changes the scenes, and cutting follows.
    Raises BadInput for an unknown fix.
    """
    if fix not in FIXES:
        raise BadInput(
            problem=f"There is no fix called {fix}.",
            remedy=f"Choose one of: {', '.join(FIXES)}.",
        )
    wanted = set(clip_ids)
    chosen = [clip for clip in read_clips(project) if not wanted or clip.id in wanted]
    return FIXES[fix](project, chosen)


def check_learnt_clips(dataset: Dataset) -> Finding | None:
    if dataset.learnt:
        return None
    return Finding(
        id="only_regularisation",
        level="must",
        title="Every clip is marked as regularisation",
        why="Then there is nothing for the LoRA to learn.",
        remedy="Take the mark off the videos that show what you want.",
        clip_ids=_ids(dataset.clips),
    )


def check_files(dataset: Dataset) -> Finding | None:
    if dataset.project is None:
        return None
    project = dataset.project
    broken = [clip for clip in dataset.clips if not _has_file(project, clip)]
    if not broken:
        return None
    return Finding(
        id="files",
        level="must",
        title=f"{plural(len(broken), 'clip')} without a file",
        why="The video was moved, deleted or is empty.",
        remedy="Cut again in the step Scenes, or remove these clips.",
        clip_ids=_ids(broken),
        fix="remove_missing",
        fix_label="Remove these clips",
    )


def check_wanted_buckets(dataset: Dataset) -> Finding | None:
    if not dataset.plan.invalid:
        return None
    first = next(iter(dataset.plan.invalid.values()))
    return Finding(
        id="buckets",
        level="must",
        title=f"{plural(len(dataset.plan.invalid), 'size')} in the recipe that this model cannot take",
        why=first,
        remedy="Correct the sizes in the step Recipe, or empty the field to use the model's own.",
    )


def check_fit(dataset: Dataset) -> Finding | None:
    unfit = dataset.plan.unfit
    if not unfit:
        return _fine("fit", "Every clip fits a training size", f"Sizes are {grid_words(dataset.spec)}.")
    nothing_fits = not any(clip.id in dataset.plan.assignment for clip in dataset.learnt)
    return Finding(
        id="fit",
        level="must" if nothing_fits else "should",
        title=f"{plural(len(unfit), 'clip')} too short for training"
        if not nothing_fits
        else "No clip fits a training size",
        why=next(iter(unfit.values())) + " Clips that fit nowhere are left out.",
        remedy="Merge short scenes in the step Scenes, or choose fewer frames in the step Recipe.",
        clip_ids=tuple(unfit),
    )


def check_count(dataset: Dataset) -> Finding | None:
    fewest, enough, words = WANTED_CLIPS[dataset.settings.goal]
    count = len(dataset.learnt)
    goal = dataset.settings.goal.value
    why = f"For a {goal} LoRA: {words}."
    if count >= enough:
        return _fine("count", f"{plural(count, 'clip')}: enough for a {goal} LoRA", why)
    if count >= fewest:
        return Finding(
            id="count",
            level="fine",
            title=f"{plural(count, 'clip')}: enough to start",
            why=why,
            remedy="More variety makes the LoRA more flexible.",
        )
    return Finding(
        id="count",
        level="should",
        title=f"Only {plural(count, 'clip')}",
        why=why + " With fewer, the LoRA repeats what it saw.",
        remedy="Add videos, or cut longer videos into more clips.",
    )


def check_sizes(dataset: Dataset) -> Finding | None:
    spec = dataset.spec
    odd = [
        clip
        for clip in dataset.clips
        if (bucket := dataset.plan.assignment.get(clip.id)) and needs_conforming(clip, bucket, spec)
    ]
    if not dataset.plan.assignment:
        return None  # another finding says that none fits
    if not odd:
        return _fine("sizes", "Every clip has its training size, length and frame rate", "")
    return Finding(
        id="sizes",
        level="should",
        title=f"{plural(len(odd), 'clip')} not yet at the training size, length or frame rate",
        why=f"{spec.title} takes {grid_words(spec)}, at {spec.fps:g} fps. Conforming shows you what it "
        "will see; otherwise clips are fitted each time they are read.",
        remedy="Conform them: they are scaled, cropped at the centre and cut to length. Your originals stay.",
        clip_ids=_ids(odd),
        fix="conform",
        fix_label=f"Conform {plural(len(odd), 'clip')}",
    )


def check_upscaling(dataset: Dataset) -> Finding | None:
    small = [clip for clip in dataset.clips if _enlargement(clip, dataset.plan) > _UPSCALE_LIMIT]
    if not small:
        return None
    return Finding(
        id="upscaling",
        level="should",
        title=f"{plural(len(small), 'clip')} smaller than the training size",
        why="They would be enlarged, and the LoRA would learn their softness.",
        remedy="Use larger originals, or choose a smaller size in the step Recipe.",
        clip_ids=_ids(small),
    )


def check_area(dataset: Dataset) -> Finding | None:
    large = [box for box in dataset.plan.boxes if box.width * box.height > dataset.spec.max_area_px]
    if not large:
        return None
    return Finding(
        id="area",
        level="should",
        title=f"Training at {large[0].width} x {large[0].height} is more than this model does well",
        why="It works best below "
        f"{dataset.spec.max_area_px / 1e6:.2f} megapixels; above, training is slow and the pictures suffer.",
        remedy=f"Choose a smaller size in the step Recipe, such as {dataset.spec.default_bucket}.",
        clip_ids=tuple(clip_id for box in large for clip_id in box.clip_ids),
    )


def check_low_fps(dataset: Dataset) -> Finding | None:
    lowest = min(dataset.spec.fps_range[0], dataset.spec.fps)
    slow = [clip for clip in dataset.videos if 0 < clip.fps < lowest - 0.1]
    if not slow:
        return _fine("low_fps", f"Every video has at least {lowest:g} fps", "") if dataset.videos else None
    return Finding(
        id="low_fps",
        level="should",
        title=f"{plural(len(slow), 'clip')} below {lowest:g} fps",
        why="Frames have to be shown twice to fill the training frame rate, and the LoRA learns the stutter.",
        remedy="Use recordings with a higher frame rate, or remove these clips.",
        clip_ids=_ids(slow),
    )


def check_high_fps(dataset: Dataset) -> Finding | None:
    highest = max(dataset.spec.fps_range[1], dataset.spec.fps)
    fast = [
        clip for clip in dataset.videos if clip.fps > highest + 0.1 and not _is_conformed(clip, dataset.plan)
    ]
    if not fast:
        return None
    return Finding(
        id="high_fps",
        level="should",
        title=f"{plural(len(fast), 'clip')} above {highest:g} fps",
        why=f"Training runs at {dataset.spec.fps:g} fps and leaves frames out; the speed stays right.",
        remedy="Conform them once, so that reading them is fast.",
        clip_ids=_ids(fast),
        fix="conform",
        fix_label=f"Conform {plural(len(fast), 'clip')}",
    )


def check_length(dataset: Dataset) -> Finding | None:
    shortest, longest = dataset.spec.clip_range_s
    step_s = 1 / dataset.spec.fps
    off = [
        clip
        for clip in dataset.videos
        if not shortest - step_s <= clip.duration_s <= longest + step_s and clip.id in dataset.plan.assignment
    ]
    if not off:
        return (
            _fine("length", f"Every video that is trained is {shortest:g} to {longest:g} s long", "")
            if any(clip.id in dataset.plan.assignment for clip in dataset.videos)
            else None
        )
    return Finding(
        id="length",
        level="should",
        title=f"{plural(len(off), 'clip')} not between {shortest:g} and {longest:g} s",
        why="Shorter clips hold too little motion; longer ones do not match their caption from start to end.",
        remedy="Split or merge scenes in the step Scenes, then cut again.",
        clip_ids=_ids(off),
    )


def check_used_length(dataset: Dataset) -> Finding | None:
    planned = [clip for clip in dataset.videos if clip.id in dataset.plan.assignment]
    used = {clip.id: used_s(clip, dataset.plan.assignment[clip.id], dataset.spec) for clip in planned}
    cut_short = [clip for clip in planned if clip.duration_s > used[clip.id] + 1.5 / dataset.spec.fps]
    if not cut_short:
        return None
    total, seen = sum(clip.duration_s for clip in planned), sum(used.values())
    return Finding(
        id="used_length",
        level="should" if seen < 0.5 * total else "fine",
        title=f"Training sees {seen:.0f} of {total:.0f} s of your clips",
        why=f"{plural(len(cut_short), 'clip')} run longer than the size they are trained at; "
        "only the beginning is used, and a caption may speak of what comes after.",
        remedy="Choose sizes with more frames in the step Recipe, or shorter clips in the step Scenes.",
        clip_ids=_ids(cut_short),
    )


def check_captions_present(dataset: Dataset) -> Finding | None:
    missing = [clip for clip in dataset.clips if not clip.caption.strip()]
    if not missing:
        return _fine("captions", "Every clip has a caption", "")
    return Finding(
        id="captions",
        level="must",
        title=f"{plural(len(missing), 'clip')} without a caption",
        why="The caption tells the model what it sees. Without one it learns the wrong thing.",
        remedy="Write them in the step Captions, or let the app draft them from the motion it measures.",
        clip_ids=_ids(missing),
        fix="draft_captions",
        fix_label=f"Draft {plural(len(missing), 'caption')}",
    )


def check_long_captions(dataset: Dataset) -> Finding | None:
    limit = min(MAX_WORDS, round(dataset.spec.max_caption_tokens * _WORDS_PER_TOKEN))
    long = [clip for clip in dataset.captioned if word_count(clip.caption) > limit]
    if not long:
        return _fine("long_captions", f"Every caption has at most {limit} words", "")
    return Finding(
        id="long_captions",
        level="should",
        title=f"{plural(len(long), 'caption')} over {limit} words",
        why=f"This model reads about {limit} words; the rest is cut off.",
        remedy="Shorten them: action first, then looks, place, camera, light.",
        clip_ids=_ids(long),
    )


def check_no_captions(dataset: Dataset) -> Finding | None:
    """Texts that are none: their length and their words say nothing."""
    none = {clip.id: why for clip in dataset.captioned if (why := _why_none(clip.caption))}
    if not none:
        return None
    counts = Counter(none.values())
    return Finding(
        id="no_captions",
        level="should",
        title=f"{plural(len(none), 'caption')} that the model cannot use",
        why=f"{', '.join(f'{count} {why}' for why, count in counts.most_common())}. The model learns from "
        "English sentences that say what can be seen.",
        remedy="Write them anew in the step Captions, or choose them there and let a captioner write.",
        clip_ids=tuple(none),
    )


def _why_none(caption: str) -> str:
    return _NO_CAPTIONS.get(no_caption(" ".join(caption.split())), "")


_NO_CAPTIONS = {
    "refusal": "with a model's excuse",
    "language": "in another language",
    "tags": "as a list of tags",
}
"""By what lint.no_caption calls it."""


def check_short_captions(dataset: Dataset) -> Finding | None:
    short = [
        clip
        for clip in dataset.captioned
        if word_count(clip.caption) < MIN_WORDS and not _why_none(clip.caption)
    ]
    if not short:
        return None
    return Finding(
        id="short_captions",
        level="should",
        title=f"{plural(len(short), 'caption')} under {MIN_WORDS} words",
        why="What the caption leaves out, the LoRA ties to the trigger word: room, light, camera.",
        remedy="Say what moves, what it looks like, where it is, and what the camera does.",
        clip_ids=_ids(short),
    )


def check_drafts(dataset: Dataset) -> Finding | None:
    slots = [clip for clip in dataset.captioned if has_slots(clip.caption)]
    unfilled = {clip.id for clip in slots}
    drafts = [
        clip
        for clip in dataset.captioned
        if clip.caption_state is CaptionState.DRAFT and clip.id not in unfilled
    ]
    if not slots and not drafts:
        return None
    if not slots:
        return Finding(
            id="drafts",
            level="fine",
            title=f"{plural(len(drafts), 'draft caption')} nobody has read yet",
            why="A draft is a guess of the app.",
            remedy="Read them once in the step Captions.",
            clip_ids=_ids(drafts),
        )
    return Finding(
        id="slots",
        level="should",
        title=f"{plural(len(slots), 'draft caption')} with [subject] or [setting] to fill in",
        why="The app measures motion, but it cannot see what moves. Training would learn the brackets.",
        remedy="Replace them in the step Captions; 'Replace' does all at once.",
        clip_ids=_ids(slots),
    )


def check_markup(dataset: Dataset) -> Finding | None:
    marked = [clip for clip in dataset.captioned if has_markup(clip.caption)]
    if not marked:
        return None
    return Finding(
        id="markup",
        level="should",
        title=f"{plural(len(marked), 'caption')} with HTML, markdown, line breaks or invisible characters",
        why="They reach the model as words that mean nothing, and break captions in other programs.",
        remedy="Make them one line of plain text.",
        clip_ids=_ids(marked),
        fix="flatten_captions",
        fix_label="Clean these captions",
    )


def check_duplicate_captions(dataset: Dataset) -> Finding | None:
    groups: dict[str, list[Clip]] = {}
    for clip in dataset.captioned:
        groups.setdefault(flatten(clip.caption).lower(), []).append(clip)
    doubled = [clip for group in groups.values() if len(group) > 1 for clip in group]
    if not doubled:
        return None
    return Finding(
        id="duplicate_captions",
        level="should",
        title=f"{plural(len(doubled), 'clip')} share a caption with another",
        why="Different pictures under the same words teach the model to ignore the words.",
        remedy="Say what is different in each clip.",
        clip_ids=_ids(doubled),
    )


def check_trigger_chosen(dataset: Dataset) -> Finding | None:
    settings = dataset.settings
    if settings.goal not in GOALS_WITH_TRIGGER:
        return None
    if settings.trigger_word.strip():
        return _fine("trigger", f"The trigger word is '{settings.trigger_word.strip()}'", "")
    return Finding(
        id="trigger",
        level="should",
        title="No trigger word",
        why="Then the LoRA cannot be called up by a word: it changes every video as long as it is loaded.",
        remedy="Choose a made-up word in the step Goal.",
    )


def check_trigger_placed(dataset: Dataset) -> Finding | None:
    """With automatic placement the word is never missing; without it, every caption has to hold it."""
    settings = dataset.settings
    if not settings.trigger_word.strip() or settings.trigger_placement is not TriggerPlacement.NONE:
        return None
    trigger = settings.trigger_word
    without = [clip for clip in _learnt_captioned(dataset) if not has_trigger(clip.caption, trigger)]
    if not without:
        return None
    return Finding(
        id="trigger_missing",
        level="should",
        title=f"{plural(len(without), 'caption')} without the trigger word",
        why="Placing it is set to 'none', so these clips are learnt without the word that calls them up.",
        remedy="Put it in, or let the app place it first.",
        clip_ids=_ids(without),
        fix="add_trigger",
        fix_label="Put it first",
    )


def check_trigger_doubled(dataset: Dataset) -> Finding | None:
    trigger = dataset.settings.trigger_word.strip()
    doubled = [clip for clip in _learnt_captioned(dataset) if count_trigger(clip.caption, trigger) > 1]
    if not doubled:
        return None
    return Finding(
        id="trigger_doubled",
        level="should",
        title=f"{plural(len(doubled), 'caption')} with the trigger word more than once",
        why="Once is enough; repeated, it drowns the rest of the caption.",
        remedy="Keep the first.",
        clip_ids=_ids(doubled),
        fix="single_trigger",
        fix_label="Keep the first",
    )


def check_regularisation_trigger(dataset: Dataset) -> Finding | None:
    trigger = dataset.settings.trigger_word.strip()
    wrong = [clip for clip in dataset.captioned if clip.regularisation and has_trigger(clip.caption, trigger)]
    if not wrong:
        return None
    return Finding(
        id="regularisation_trigger",
        level="should",
        title=f"{plural(len(wrong), 'regularisation clip')} with the trigger word",
        why="Regularisation clips teach what stays as it was: the word in them undoes what you train.",
        remedy="Take the word out of these captions.",
        clip_ids=_ids(wrong),
        fix="remove_trigger",
        fix_label="Take it out",
    )


def check_regularisation(dataset: Dataset) -> Finding | None:
    count = len(dataset.clips) - len(dataset.learnt)
    if count:
        title = plural(count, "regularisation clip")
        return _fine("regularisation", title, "They keep prompts without the trigger word as they were.")
    if not dataset.settings.trigger_word.strip():
        return None
    return Finding(
        id="regularisation",
        level="fine",
        title="No regularisation clips",
        why="Without them, prompts that do not use the trigger word change a little, too.",
        remedy="To avoid that, add some ordinary videos in the step Videos and mark them as regularisation.",
    )


Check = Callable[[Dataset], Finding | None]

CHECKS: tuple[Check, ...] = (
    check_learnt_clips,
    check_files,
    check_wanted_buckets,
    check_fit,
    check_captions_present,
    check_count,
    check_sizes,
    check_upscaling,
    check_area,
    check_low_fps,
    check_high_fps,
    check_length,
    check_used_length,
    check_trigger_chosen,
    check_trigger_placed,
    check_trigger_doubled,
    check_regularisation_trigger,
    check_regularisation,
    check_drafts,
    check_long_captions,
    check_no_captions,
    check_short_captions,
    check_markup,
    check_duplicate_captions,
    *QUALITY_CHECKS,
)


def count_trigger(caption: str, trigger_word: str) -> int:
    """How often the trigger word stands in a caption as a word."""
    return len(_trigger_pattern(trigger_word).findall(caption)) if trigger_word.strip() else 0


def fix_flatten_captions(project: Project, clips: Sequence[Clip]) -> int:
    return _rewrite(project, clips, unmarked)


def fix_remove_missing(project: Project, clips: Sequence[Clip]) -> int:
    """Take out clips whose file is gone. Their captions are kept, in case they are cut again."""
    missing = [clip.id for clip in clips if not _has_file(project, clip)]
    remove_clips(project, missing)
    return len(missing)


def fix_add_trigger(project: Project, clips: Sequence[Clip]) -> int:
    trigger = project.read_settings().trigger_word.strip()
    learnt = [clip for clip in clips if not clip.regularisation]
    return _rewrite(
        project, learnt, lambda text: text if has_trigger(text, trigger) else f"{trigger} {text.strip()}"
    )


def fix_remove_trigger(project: Project, clips: Sequence[Clip]) -> int:
    trigger = project.read_settings().trigger_word
    return _rewrite(project, clips, lambda text: _without_trigger(text, trigger))


def fix_single_trigger(project: Project, clips: Sequence[Clip]) -> int:
    trigger = project.read_settings().trigger_word
    return _rewrite(project, clips, lambda text: _with_one_trigger(text, trigger))


FIXES: dict[str, Callable[[Project, Sequence[Clip]], int]] = {
    "flatten_captions": fix_flatten_captions,
    "remove_missing": fix_remove_missing,
    "add_trigger": fix_add_trigger,
    "remove_trigger": fix_remove_trigger,
    "single_trigger": fix_single_trigger,
    "leave_out": leave_out,
    "split_at_cuts": split_at_cuts,
}
"""What apply_fix can do at once, by the id in a finding."""


def _rewrite(project: Project, clips: Sequence[Clip], change: Callable[[str], str]) -> int:
    """Change captions and leave their state as it is; gives the number that changed."""
    changes = {
        clip.id: caption_changes(after, clip.caption_state, clip.caption_source)
        for clip in clips
        if clip.caption and (after := change(clip.caption)) != clip.caption
    }
    update_clips(project, changes)
    return len(changes)


def _without_trigger(caption: str, trigger_word: str) -> str:
    if not count_trigger(caption, trigger_word):
        return caption
    bare = " ".join(_trigger_pattern(trigger_word).sub(" ", caption).split()).lstrip(" .,;:!")
    return bare[:1].upper() + bare[1:]


def _with_one_trigger(caption: str, trigger_word: str) -> str:
    first = _trigger_pattern(trigger_word).search(caption) if trigger_word.strip() else None
    if first is None:
        return caption
    rest = _trigger_pattern(trigger_word).sub(" ", caption[first.end() :])
    return " ".join((caption[: first.end()] + rest).split())


def _trigger_pattern(trigger_word: str) -> re.Pattern[str]:
    """The word with the punctuation that belongs to it, in any case; as has_trigger finds it."""
    word = re.escape(trigger_word.strip().rstrip(".,;:!"))
    return re.compile(rf"(?<!\w){word}(?!\w)[.,;:!]?", re.IGNORECASE)


def _no_clips() -> Finding:
    return Finding(
        id="no_clips",
        level="must",
        title="There are no clips yet",
        why="Training learns from clips with captions.",
        remedy="Add videos in the step Videos and cut them in the step Scenes.",
    )


def _fine(finding_id: str, title: str, why: str) -> Finding:
    return Finding(id=finding_id, level="fine", title=title, why=why)


def _ids(clips: Iterable[Clip]) -> tuple[str, ...]:
    return tuple(clip.id for clip in clips)


def _learnt_captioned(dataset: Dataset) -> list[Clip]:
    return [clip for clip in dataset.captioned if not clip.regularisation]


def _has_file(project: Project, clip: Clip) -> bool:
    try:
        path = project.path(clip.training_file)
        return path.is_file() and path.stat().st_size > 0
    except (WizardError, OSError):
        return False


def _enlargement(clip: Clip, plan: BucketPlan) -> float:
    bucket = plan.assignment.get(clip.id)
    if bucket is None:
        return 1.0
    width, height, _ = parse_bucket(bucket)
    return max(width / max(clip.width, 1), height / max(clip.height, 1))


def _is_conformed(clip: Clip, plan: BucketPlan) -> bool:
    return bool(clip.conformed_file) and plan.assignment.get(clip.id) == clip.bucket
