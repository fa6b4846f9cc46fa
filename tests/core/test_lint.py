"""The lint against captions with planted faults and against good ones, its fixes, and coverage."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
import yaml

from ltx_wizard.core.caption import MAX_WORDS, word_count
from ltx_wizard.core.lint import (
    Context,
    Measured,
    Part,
    apply_fix,
    contradiction,
    coverage,
    dataset_coverage,
    lint,
    lint_all,
    repeated_between,
)
from ltx_wizard.core.project import TriggerPlacement

CAPTIONS: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parent / "lint_captions.yaml").read_text(encoding="utf-8")
)
GOOD = CAPTIONS["good"][0]["text"]


def context_of(entry: dict[str, Any]) -> Context:
    measured = Measured(tuple(entry["camera"]), camera_sure=True) if "camera" in entry else None
    placement = TriggerPlacement(entry.get("placement", "first"))
    return Context(entry.get("trigger", ""), placement, measured)


def rules(entry: dict[str, Any]) -> list[str]:
    return sorted(found.rule for found in lint(entry["text"], context_of(entry)))


ALL_PLANTED = CAPTIONS["planted"] + CAPTIONS["planted_later"]
ALL_GOOD = CAPTIONS["good"] + CAPTIONS["good_later"]


def test_the_set_is_as_large_as_it_says() -> None:
    assert len(CAPTIONS["planted"]) >= 60
    assert len(CAPTIONS["good"]) >= 30
    assert len({entry["text"] for entry in ALL_PLANTED + ALL_GOOD}) == len(ALL_PLANTED + ALL_GOOD)


@pytest.mark.parametrize("entry", ALL_PLANTED, ids=lambda entry: entry["text"][:40])
def test_a_planted_fault_is_found_and_nothing_else(entry: dict[str, Any]) -> None:
    assert rules(entry) == sorted(entry["rules"])


@pytest.mark.parametrize("entry", ALL_GOOD, ids=lambda entry: entry["text"][:40])
def test_a_good_caption_has_nothing_to_change(entry: dict[str, Any]) -> None:
    assert rules(entry) == []


@pytest.mark.parametrize(
    "entry",
    [entry for entry in ALL_PLANTED if len(entry["rules"]) == 1],
    ids=lambda entry: entry["text"][:40],
)
def test_a_fix_that_is_offered_ends_the_finding(entry: dict[str, Any]) -> None:
    context = context_of(entry)
    (found,) = lint(entry["text"], context)
    after = apply_fix(entry["text"], found.rule, context)
    if not found.fix:
        assert found.rule in {
            "short",
            "motion",
            "camera",
            "light",
            "contradiction",
            "slots",
            "absent",
            "refusal",
            "cut_off",
        }
        return
    assert after != entry["text"]
    left = {item.rule for item in lint(after, context)}
    dropped_with_the_fragment = {"camera", "light"} if found.rule == "cut_off" else set[str]()
    assert left <= dropped_with_the_fragment


@pytest.mark.parametrize("entry", ALL_GOOD, ids=lambda entry: entry["text"][:40])
def test_no_fix_changes_a_good_caption(entry: dict[str, Any]) -> None:
    """Pressing 'fix all' on a dataset must not touch what is right."""
    context = context_of(entry)
    for rule in ("long", "markup", "opener", "absent", "contradiction", "repeats", "cut_off", "refusal"):
        assert apply_fix(entry["text"], rule, context) == entry["text"]


def test_missing_camera_and_light_are_added_from_what_was_measured() -> None:
    measured = Measured(("pans left", "handheld"), camera_sure=True, light=("dim", "warm"))
    context = Context(measured=measured)
    text = "A man in a wool cap carries two buckets over a yard, sets them down and rubs his cold hands"
    fixed = apply_fix(apply_fix(text, "camera", context), "light", context)
    assert fixed == f"{text}. The handheld camera pans left. The light is dim and warm."
    assert lint(fixed, context) == []


def test_a_camera_that_is_not_sure_contradicts_nothing_and_adds_nothing() -> None:
    unsure = Measured(("pans left",), camera_sure=False)
    assert contradiction("The camera is static.", unsure) == ""
    assert unsure.camera_sentence() == ""


@pytest.mark.parametrize(
    ("text", "camera", "agrees"),
    [
        ("The camera pans left.", ("pans left",), True),
        ("The camera pans slowly to the left.", ("pans left",), True),
        ("The camera tracks left with him.", ("pans left",), True),
        ("The camera pans.", ("pans left",), True),
        ("The camera follows the dog.", ("pans left",), True),
        ("The camera does not pan left.", ("static",), True),
        ("The man pans left for gold.", ("static",), True),
        ("The dog runs to the left and the camera is static.", ("static",), True),
        ("The camera is static as the dog moves to the left.", ("static",), True),
        ("A dog turns right. Static shot.", ("static",), True),
        ("The camera moves closer.", ("zooms in",), True),
        ("The camera pulls back.", ("zooms out",), True),
        ("The camera rises over the roofs.", ("tilts up",), True),
        ("The camera pans left and zooms in.", ("pans left", "zooms in"), True),
        ("The camera pans right.", ("pans left",), False),
        ("The camera pans left.", ("static",), False),
        ("The view slowly zooms out.", ("zooms in",), False),
        ("The camera follows the dog.", ("static",), False),
        ("The camera remains completely still.", ("pans right",), False),
        ("Static camera.", ("zooms in",), False),
        ("The camera tilts down to the floor.", ("pans left",), False),
    ],
)
def test_the_camera_of_a_caption_against_the_measured_one(
    text: str, camera: tuple[str, ...], agrees: bool
) -> None:
    assert (contradiction(text, Measured(camera, camera_sure=True)) == "") is agrees


def test_images_need_no_movement() -> None:
    text = (
        "A small red boat on a calm lake with two wooden oars inside and snowy mountains behind. "
        "Wide shot in soft morning light."
    )
    assert [found.rule for found in lint(text)] == ["motion"]
    assert lint(text, Context(is_image=True)) == []


def test_text_that_stands_in_two_captions_is_found_but_short_camera_sentences_are_not() -> None:
    other = CAPTIONS["good"][1]["text"]
    again = "A long sentence about a hall with many lamps, wooden benches and a tiled floor in green."
    captions = {
        "one": GOOD,
        "two": GOOD.upper(),
        "three": f"{other} The camera is static.",
        "four": f"{CAPTIONS['good'][2]['text']} The camera is static. {again}",
        "five": f"{CAPTIONS['good'][3]['text']} {again}",
        "six": "",
        "seven": "",
    }
    found = repeated_between(captions)
    assert sorted(found) == ["five", "four", "one", "two"]
    assert "two" in found["one"].message
    assert "five" in found["four"].message
    both = lint_all(captions, {})
    assert [item.rule for item in both["one"]] == ["same_text"]
    assert [item.rule for item in both["six"]] == ["missing"]


def test_a_good_caption_covers_most_parts_and_a_stump_says_which_are_missing() -> None:
    for entry in ALL_GOOD:
        assert {Part.ACTION, Part.CAMERA, Part.LIGHT} <= coverage(entry["text"]), entry["text"]
    counted = dataset_coverage({str(index): entry["text"] for index, entry in enumerate(ALL_GOOD)})
    assert all(counted.parts[part] >= 0.9 * counted.total for part in Part if part is not Part.TIME), counted
    assert coverage("A dog runs.") == {Part.ACTION}
    assert coverage("A dog.") == frozenset()
    assert Part.LIGHT not in coverage("A man in a light blue coat with dark hair walks to a bright red car.")


def test_coverage_of_a_dataset_counts_captions() -> None:
    counted = dataset_coverage({"one": GOOD, "two": "A dog runs.", "three": " "})
    assert counted.total == 2
    assert counted.parts[Part.ACTION] == 2
    assert counted.parts[Part.CAMERA] == 1


def test_long_captions_are_cut_after_a_sentence() -> None:
    text = " ".join(f"The dog number {index} runs over the wet meadow." for index in range(40))
    fixed = apply_fix(text, "long")
    assert word_count(fixed) <= MAX_WORDS
    assert fixed.endswith("meadow.")


def test_the_lint_of_500_captions_takes_little_time() -> None:
    captions = {
        str(index): f"{ALL_GOOD[index % len(ALL_GOOD)]['text']} Take {index}." for index in range(500)
    }
    began = perf_counter()
    lint_all(captions, {})
    took_s = perf_counter() - began
    print(f"500 captions in {took_s:.2f} s")
    assert took_s < 10


@pytest.mark.parametrize(
    "text",
    [
        "Eine Frau in einem roten Mantel geht über eine Steinbrücke und winkt. Die Kamera folgt ihr.",
        "Una mujer con un abrigo rojo camina por un puente de piedra. La cámara la sigue desde atrás.",
        "Une femme dans un manteau rouge marche sur le pont et salue un bateau. La caméra la suit.",
        "一位穿着红色外套的女士走过一座石桥，风吹起她的头发。镜头从后面跟随她。",
        "Женщина в красном пальто идёт по каменному мосту. Камера следует за ней.",
    ],
)
def test_another_language_is_said_and_not_taken_for_missing_parts(text: str) -> None:
    assert [found.rule for found in lint(text)] == ["language"]


def test_english_with_names_and_signs_of_other_languages_is_english() -> None:
    text = "A man reads a sign '営業中 本日休業 ありがとうございます' aloud at the Café del Mar in La Paz."
    assert "language" not in [found.rule for found in lint(text)]


def test_tags_are_called_tags() -> None:
    tags = "1girl, solo, long hair, blue eyes, school uniform, standing, outdoors, masterpiece, best quality"
    assert [found.rule for found in lint(tags)] == ["tags"]
    assert [found.rule for found in lint(tags, Context(trigger="zorbi"))] == ["tags"]
    text = "A dog, a cat, a hen, a cow, a goose and a horse run over the yard."
    assert "tags" not in [found.rule for found in lint(text)]


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ("times", "[0:00] A dog runs. At 2.0 s, it jumps.", "A dog runs. It jumps."),
        ("markup", "**A dog** runs over a `lawn`.", "A dog runs over a lawn."),
        ("markup", '{"caption": "A dog runs."}', "A dog runs."),
        ("markup", "## Caption\n- A dog runs\n- It jumps", "A dog runs. It jumps."),
    ],
)
def test_times_and_markdown_are_found_and_taken_out(rule: str, before: str, after: str) -> None:
    assert rule in [found.rule for found in lint(before)]
    assert apply_fix(before, rule) == after
    assert rule not in [found.rule for found in lint(after)]


def test_a_text_as_long_as_a_book_is_looked_at_in_part_and_counted_whole() -> None:
    """A log or an essay may have been imported as a caption; the page reads it with all the others."""
    began = perf_counter()
    found = lint("Here is " * 20_000)
    coverage("Here is " * 20_000)
    assert perf_counter() - began < 10  # it took many minutes
    assert found[0].message == "40000 words: shorten it to 200."
    assert "cut_off" not in [item.rule for item in found]
