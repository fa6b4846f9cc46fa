"""The three tests of the guide, one click each: what is made for them, and how to read the result.

A reading says what the measures say, what to look for with one's own eyes, and what to do about it. The
measures cannot see whether it is the right cat: they say so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ltx_wizard.app import checking, datasets, lab, recipes
from ltx_wizard.app.lab_view import LabView, Place
from ltx_wizard.core.clip import Clip
from ltx_wizard.core.errors import BadInput, NotReady
from ltx_wizard.core.lab import LabGrid, LabPrompt, TestName
from ltx_wizard.core.measures import COPIED, SAME_LEVELS, STATIC_SHARE, STILL, SampleMeasures
from ltx_wizard.core.project import TRIGGER_PLACE, Goal, Project, ProjectSettings
from ltx_wizard.models.catalog import find_model

Verdict = Literal["open", "good", "warn", "bad"]

HARDLY_CHANGED = 3 * SAME_LEVELS
"""Of 255: below that two videos look alike at strength 2. Not measured."""
ONLY_LIKE_TRAINING = 0.4
"""Words unlike training that change less than this share of what words like training do. Not measured."""
_UNLIKE_PROMPTS = 2
_WORD = re.compile(r"[a-z]{4,}")


@dataclass(frozen=True)
class Test:
    """One test as the page offers it. guide: what the guide says of it."""

    name: TestName
    title: str
    what: str
    guide: str


@dataclass(frozen=True)
class Reading:
    """verdict: open while videos are missing. text: what the measures say. look: what only eyes can see."""

    verdict: Verdict
    title: str
    text: str
    look: str
    to_do: tuple[str, ...] = ()


TESTS = (
    Test(
        "strength",
        "Strength 2.0",
        "The LoRA at double strength, with words that it was trained on.",
        "If the subject appears, however broken the picture, training works. If nothing of it can be seen, "
        "it has not learnt yet. If the picture is nearly a training frame, it has learnt its clips by heart.",
    ),
    Test(
        "unlike",
        "Words unlike training",
        "The same LoRA with scenes that are in none of your captions.",
        "A LoRA that works only with words like those of its captions is overfitted.",
    ),
    Test(
        "first_frame",
        "From a first frame",
        "Image to video: it starts from the first frame of a clip that it was not trained on.",
        "A given first frame shows more reliably what was learnt than words alone. If it barely moves, the "
        "LoRA makes static videos.",
    ),
)


def ask(project: Project, name: str) -> None:
    """Put the videos of a test into the Lab. Raises NotReady where the dataset has no caption or clip."""
    made = _GRIDS.get(name)
    if made is None:
        raise BadInput(problem="There is no such test.", remedy="Reload the page.")
    lab.ask_test(project, name, made(project))


def reading(view: LabView, name: TestName) -> Reading:
    """What the result of a test says. Raises KeyError for a test that was not asked for."""
    places = [place for place in view.places if place.wanted.grid == name]
    look = next(test.guide for test in TESTS if test.name == name)
    if any(place.state != "made" for place in places):
        done = sum(place.state == "made" for place in places)
        return Reading("open", f"{done} of {len(places)} videos", "", look)
    return _READERS[name](places, look)


def _strength_grid(project: Project) -> LabGrid:
    shown = lab.current(project)
    clip = _clips(project)[0]
    return LabGrid(
        loras=(lab.usual_lora(project, shown),),
        strengths=(0, 1, 2),
        prompts=(LabPrompt(text=_caption(clip, project.read_settings())),),
        seeds=shown.grid.seeds[:1] or (42,),
    )


def _unlike_grid(project: Project) -> LabGrid:
    shown, settings = lab.current(project), project.read_settings()
    clips = _clips(project)
    scenes = least_like([clip.caption for clip in clips], find_model(shown.model).scenes)[:_UNLIKE_PROMPTS]
    prompts = [_caption(clips[0], settings), *(_scene(scene, settings) for scene in scenes)]
    return LabGrid(
        loras=(lab.usual_lora(project, shown),),
        strengths=(0, 1),
        prompts=tuple(LabPrompt(text=text) for text in prompts),
        seeds=shown.grid.seeds[:1] or (42,),
    )


def _first_frame_grid(project: Project) -> LabGrid:
    shown = lab.current(project)
    held_out = checking.held_out(project)
    clips = sorted(_clips(project), key=lambda clip: clip.id not in held_out)
    prompt = LabPrompt(text=_caption(clips[0], project.read_settings()), first_frame=clips[0].id)
    return LabGrid(
        loras=(lab.usual_lora(project, shown),),
        strengths=(0, 1),
        prompts=(prompt,),
        seeds=shown.grid.seeds[:1] or (42,),
    )


_GRIDS: dict[str, Callable[[Project], LabGrid]] = {
    "strength": _strength_grid,
    "unlike": _unlike_grid,
    "first_frame": _first_frame_grid,
}


def least_like(captions: Sequence[str], scenes: Sequence[str]) -> list[str]:
    """Scenes, those first that share the smallest part of their words with the captions."""
    known = {word for caption in captions for word in _WORD.findall(caption.lower())}

    def shared(scene: str) -> float:
        words = set(_WORD.findall(scene.lower()))
        return len(words & known) / len(words)

    return sorted(scenes, key=shared)


def _read_strength(places: Sequence[Place], look: str) -> Reading:
    double = _measures(places, strength=2.0)
    change, likeness = double.change or 0.0, double.likeness
    figures = f"At strength 2 the picture changes by {change:.0f} of 255"
    figures += f", and its likeness to the nearest training frame is {likeness:.2f}." if likeness else "."
    if change < HARDLY_CHANGED:
        return Reading(
            "bad",
            "It has not learnt yet",
            f"{figures} That is next to nothing.",
            look,
            (
                "Train on: resume the run with more steps.",
                "If the training loss does not fall either, raise the learning rate.",
                "Check that the trigger word stands in this prompt.",
            ),
        )
    if _copies(double):
        return Reading(
            "warn",
            "It repeats its training frames",
            f"{figures} That is a copy, or nearly.",
            look,
            (
                "Use an earlier checkpoint.",
                "Lower the rank, or add clips of other poses and backgrounds.",
                "Give caption dropout.",
            ),
        )
    return Reading(
        "good",
        "It has learnt something, and does not copy",
        f"{figures} Whether it is the right thing, only you can see.",
        look,
        ("If your subject cannot be made out at strength 2, train longer.",),
    )


def _read_unlike(places: Sequence[Place], look: str) -> Reading:
    like, *unlike = [_measures(places, strength=1.0, pair=pair) for pair in range(_pairs(places))]
    changes = [item.change or 0.0 for item in unlike]
    likeness = max((item.likeness or 0.0 for item in unlike), default=0.0)
    figures = (
        f"With words from training the picture changes by {like.change or 0:.0f} of 255, with other words by "
        + " and ".join(f"{change:.0f}" for change in changes)
        + "."
    )
    if any(map(_copies, unlike)):
        return Reading(
            "bad",
            "It shows its training clips, whatever the words say",
            f"{figures} Likeness to a training frame: {likeness:.2f}.",
            look,
            (
                "Use an earlier checkpoint: fewer steps.",
                "Lower the rank.",
                "Add clips that differ, and caption dropout.",
            ),
        )
    if (like.change or 0.0) >= HARDLY_CHANGED and max(changes) < ONLY_LIKE_TRAINING * (like.change or 0.0):
        return Reading(
            "warn",
            "It works only with words like those of its captions",
            figures,
            look,
            (
                "Reduce the steps, or use an earlier checkpoint.",
                "Add caption dropout.",
                "Add clips with other subjects, poses and backgrounds.",
            ),
        )
    return Reading(
        "good",
        "It works with other words as well",
        f"{figures} See whether the scene is still what the words say.",
        look,
        (
            "If your training subject appears whatever the words say, use an earlier checkpoint or less "
            "strength.",
        ),
    )


def _read_first_frame(places: Sequence[Place], look: str) -> Reading:
    shown = _measures(places, strength=1.0)
    motion, base = shown.motion, shown.motion_of_base
    if motion is None or base is None:
        return Reading("good", "Look at it yourself", "Its motion could not be measured.", look)
    figures = (
        f"It moves by {100 * motion:.1f} % of the picture's width a second, "
        f"the base model by {100 * base:.1f} %."
    )
    if base < STILL and motion < STILL:
        return Reading(
            "good",
            "Both stand still",
            figures,
            look,
            ("Choose a clip that moves, or say the motion in its caption, and test again.",),
        )
    if motion < STATIC_SHARE * base:
        return Reading(
            "warn",
            "It barely moves",
            figures,
            look,
            (
                "Say the motion in the prompt.",
                "Give 'First frame blur' a value of 1 in the recipe, then train again.",
                "Use an earlier checkpoint: motion goes down as training goes on.",
            ),
        )
    return Reading(
        "good",
        "It moves as it should",
        figures,
        look,
        ("See whether what you taught appears in the frames after the first one.",),
    )


_READERS: dict[str, Callable[[Sequence[Place], str], Reading]] = {
    "strength": _read_strength,
    "unlike": _read_unlike,
    "first_frame": _read_first_frame,
}


def _copies(measures: SampleMeasures) -> bool:
    """Whether it is like a training frame, and not only because the clips are like each other, or because the
    base model makes such pictures anyway.
    """
    likeness = measures.likeness
    if likeness is None or likeness < COPIED:
        return False
    others = (measures.likeness_of_clips, measures.likeness_of_base)
    return all(other is None or other < likeness for other in others)


def _measures(places: Sequence[Place], strength: float, pair: int = 0) -> SampleMeasures:
    for place in places:
        if (place.wanted.strength, place.wanted.pair) == (strength, pair) and place.cell is not None:
            return place.cell.measures
    return SampleMeasures()


def _pairs(places: Sequence[Place]) -> int:
    return 1 + max((place.wanted.pair for place in places), default=0)


def _clips(project: Project) -> list[Clip]:
    """Clips that show what is learnt and have a caption. Raises NotReady."""
    clips = [clip for clip in datasets.clips(project) if not clip.regularisation and clip.caption.strip()]
    if not clips:
        raise NotReady(
            problem="There is no clip with a caption to take the words from.",
            remedy="Write captions in the step Captions, or add a prompt to the grid.",
        )
    return clips


def _caption(clip: Clip, settings: ProjectSettings) -> str:
    """As training sees it, with {trigger} for the trigger word."""
    return recipes.prompt_of_caption(clip.caption, settings)


def _scene(scene: str, settings: ProjectSettings) -> str:
    """A scene with the trigger word; of a character, the scene that it is put into."""
    trigger = settings.trigger_word.strip()
    if settings.goal is Goal.CHARACTER and trigger:
        return f"{TRIGGER_PLACE} is in this scene: {scene}"
    return recipes.prompt_of_caption(scene, settings)
