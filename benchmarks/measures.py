"""How far the measures on samples can be trusted: motion, likeness to training frames, sharpness.

    python benchmarks/measures.py            the tables (about five minutes of one processor)
    python benchmarks/measures.py --json     and one JSON object on the last line
    --only motion films                      these parts alone

Motion: clips of known speed, from a standstill to 0.4 widths a second, with several contents, sizes, frame
rates and levels of noise; the rank correlation with the truth. Constants were tuned on its part "tuning".
Likeness: degraded training frames against fresh frames of the same concept (the embedded model's neon clips),
of the same shot of a film a second or more away, and of a slow camera over a photograph; the area under the
ROC curve for each degradation. Its constants were chosen while looking at the films and at other neon clips;
the photographs tested them. Sharpness: Gaussian blur of known size, and noise. No GPU, no download.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from filmed import FOOTAGE, footage_frames
from known_samples import (
    DEGRADATIONS,
    Moving,
    Scene,
    moving_clips,
    neon_clips,
    noisy,
    real_scenes,
    stills,
    through_the_vae,
    window_clip,
    window_scenes,
)

from ltx_wizard.core.measures import CLOSE, COPIED
from ltx_wizard.media.video import cover
from ltx_wizard.sampling.frames import Frames
from ltx_wizard.sampling.likeness import Shown, TrainingIndex, index_of
from ltx_wizard.sampling.measures import measure_sample
from ltx_wizard.sampling.motion_amount import motion_amount
from ltx_wizard.sampling.sharpness import sharpness
from ltx_wizard.sampling.training_frames import FRAMES_PER_S

WANTED_CORRELATION, WANTED_AUC = 0.95, 0.95
_BLURS_PX = (0.0, 0.5, 0.8, 1.2, 1.7, 2.4, 3.5)
_TRAINED_NEON, _FRESH_NEON, _VAE_CLIPS = 16, 60, 6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--only", choices=tuple(PARTS), nargs="+", default=tuple(PARTS), help="these parts")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    result: dict[str, Any] = {}
    for part in given.only:
        result[part] = PARTS[part]()
        PRINTERS[part](part, result[part])
    goals: dict[str, bool] = {}
    if "motion" in result:
        result["motion_correlation"] = result["motion"]["test"]["correlation"]
        goals[f"motion at least {WANTED_CORRELATION}"] = result["motion_correlation"] >= WANTED_CORRELATION
    likeness = [result[part]["auc"] for part in LIKENESS if part in result]
    if likeness:
        result["likeness_auc"] = min(likeness)
        goals[f"likeness at least {WANTED_AUC}"] = result["likeness_auc"] >= WANTED_AUC
    if "sharpness" in result:
        goals["sharpness falls with blur"] = result["sharpness"]["falls_with_every_blur"]
    print("\n" + "; ".join(f"{what}: {'yes' if holds else 'NO'}" for what, holds in goals.items()))
    if given.json:
        print(json.dumps(result))


def all_motion() -> dict[str, Any]:
    return {
        **{part: motion_scores(moving_clips(part)) for part in ("tuning", "test")},
        "one_move": motion_invariance(),
    }


def motion_scores(clips: Sequence[Moving]) -> dict[str, Any]:
    """Rank correlations with the truth, and how large still clips and moving windows measure."""
    truth = np.array([clip.truth for clip in clips])
    found = np.array([motion_amount(clip.frames, clip.fps) for clip in clips])
    groups = {kind: np.array([clip.kind == kind for clip in clips]) for kind in {clip.kind for clip in clips}}
    groups |= {
        f"noise of {level:g} levels": np.array([clip.noise == level for clip in clips])
        for level in sorted({clip.noise for clip in clips})
    }
    windows = groups["window"] & (truth >= 0.02)
    ratio = found[windows] / truth[windows]
    return {
        "clips": len(clips),
        "correlation": _rounded(rank_correlation(truth, found)),
        "by_group": {
            name: _rounded(rank_correlation(truth[chosen], found[chosen])) for name, chosen in groups.items()
        },
        "still_clips_at_most": round(float(found[truth == 0].max()), 5),
        "window_found_of_true": {
            "median": _rounded(np.median(ratio)),
            "middle_80_percent": [_rounded(np.quantile(ratio, q)) for q in (0.1, 0.9)],
        },
    }


def motion_invariance() -> dict[str, Any]:
    """One move in four sizes and at four frame rates: the largest amount found, of the smallest."""
    spreads: dict[str, list[float]] = {"sizes": [], "frame rates": []}
    for still in stills("test"):
        sizes = [
            motion_amount(window_clip(still, size, 24, 0.08, 0.4), 24)
            for size in ((256, 160), (384, 240), (512, 320), (768, 480))
        ]
        rates = [
            motion_amount(window_clip(still, (384, 240), fps, 0.08, 0.4), fps) for fps in (8, 16, 24, 30)
        ]
        for name, values in (("sizes", sizes), ("frame rates", rates)):
            known = [value for value in values if value is not None]
            spreads[name].append(max(known) / max(min(known), 1e-6))
    return {
        name: {"median": _rounded(np.median(v)), "largest": _rounded(max(v))} for name, v in spreads.items()
    }


def neon_scores() -> dict[str, Any]:
    """Degraded frames of 16 training clips against 60 other clips of it; nothing was tuned on these seeds."""
    trained, fresh = neon_clips(_TRAINED_NEON, 4001), neon_clips(_FRESH_NEON, 4002)
    index = _index({f"neon {number}": (clip, 8.0) for number, clip in enumerate(trained)})
    draw = np.random.default_rng(5)
    copies = {
        name: [
            _likeness(index, degrade(clip[int(draw.integers(len(clip)))], draw))
            for clip in trained
            for _ in (0, 1)
        ]
        for name, degrade in DEGRADATIONS.items()
    }
    decoded = through_the_vae(trained[:_VAE_CLIPS])
    copies["through the VAE"] = [_likeness(index, clip[at]) for clip in decoded for at in (1, 5, 9, 13)]
    others = [_likeness(index, clip[int(draw.integers(len(clip)))]) for clip in fresh]
    whole = [_likeness_of_clip(index, clip) for clip in fresh]
    return {**_auc_table(copies, others), "fresh_whole_clips": _spread(whole)}


def scene_scores(scenes: Sequence[Scene], seed: int) -> dict[str, Any]:
    """Degraded trained frames against fresh frames of the same scenes; all scenes are in one index."""
    index = _index({scene.name: (scene.trained, scene.fps) for scene in scenes})
    draw = np.random.default_rng(seed)

    def some(frames: Frames, count: int) -> list[Frames]:
        return [frames[at] for at in draw.integers(0, len(frames), count)]

    copies = {
        name: [_likeness(index, degrade(frame, draw)) for scene in scenes for frame in some(scene.trained, 4)]
        for name, degrade in DEGRADATIONS.items()
    }
    by_scene = {scene.name: [_likeness(index, frame) for frame in some(scene.fresh, 8)] for scene in scenes}
    others = [value for values in by_scene.values() for value in values]
    own = {
        scene.name: {"away_s": round(scene.away_s, 1), "highest": _rounded(max(by_scene[scene.name]))}
        for scene in scenes
    }
    thinned = thinned_scores(scenes, draw)
    return {**_auc_table(copies, others), "fresh_by_scene": own, "whole_clips_thin_index": thinned}


def thinned_scores(scenes: Sequence[Scene], draw: np.random.Generator) -> dict[str, Any]:
    """Whole clips, as samples are, where the index of a very large dataset has 8 frames a second only."""
    index = _index({scene.name: (scene.trained, scene.fps) for scene in scenes}, 8.0)
    degrade = list(DEGRADATIONS.values())[-1]
    copies = [
        _likeness_of_clip(index, np.stack([degrade(frame, draw) for frame in scene.trained]))
        for scene in scenes
    ]
    fresh = [_likeness_of_clip(index, scene.fresh) for scene in scenes]
    return {"auc": _rounded(auc(copies, fresh)), "copies": _spread(copies), "fresh": _spread(fresh)}


def _index(clips: dict[str, tuple[Frames, float]], per_s: float = FRAMES_PER_S) -> TrainingIndex:
    """As many frames a second as the app takes."""
    shown: list[Shown] = []
    for name, (frames, fps) in clips.items():
        due = 0.0
        for number, frame in enumerate(frames):
            if number / fps >= due - 1e-3:
                shown.append(Shown(name, number / fps, frame))
                due = number / fps + 1 / per_s
    index = index_of(shown)
    assert index is not None
    return index


def _likeness(index: TrainingIndex, frame: Frames) -> float:
    return _likeness_of_clip(index, frame[None])


def _likeness_of_clip(index: TrainingIndex, frames: Frames) -> float:
    near = index.nearest(frames)
    assert near is not None
    return near.likeness


def _auc_table(copies: dict[str, list[float]], fresh: list[float]) -> dict[str, Any]:
    every = [value for values in copies.values() for value in values]
    return {
        "auc": _rounded(auc(every, fresh)),
        "by_degradation": {
            name: {"auc": _rounded(auc(values, fresh)), **_spread(values)} for name, values in copies.items()
        },
        "fresh": _spread(fresh),
        "copies_called_copied": _rounded(np.mean(np.array(every) >= COPIED)),
        "copies_called_close_or_copied": _rounded(np.mean(np.array(every) >= CLOSE)),
        "fresh_called_copied": _rounded(np.mean(np.array(fresh) >= COPIED)),
        "fresh_called_close_or_copied": _rounded(np.mean(np.array(fresh) >= CLOSE)),
    }


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {
        "frames": len(values),
        "lowest": _rounded(min(values)),
        "tenth": _rounded(np.quantile(values, 0.1)),
        "median": _rounded(np.median(values)),
        "highest": _rounded(max(values)),
    }


def sharpness_scores() -> dict[str, Any]:
    """Of 12 real pictures and 4 neon clips: what is left of the sharpness after each blur, and with noise."""
    pictures = [cover(footage_frames(item)[0], 384, 256) for item in FOOTAGE]
    pictures += [clip[8] for clip in neon_clips(4, 4001)]
    draw = np.random.default_rng(7)
    kept = np.array([[_sharp(_blur(picture, blur)) for blur in _BLURS_PX] for picture in pictures])
    kept = kept / kept[:, :1]
    by_noise = {
        f"{level:g} levels": [_sharp(noisy(picture, level, draw)) / _sharp(picture) for picture in pictures]
        for level in (2.0, 4.0, 8.0)
    }
    return {
        "pictures": len(pictures),
        "falls_with_every_blur": bool((np.diff(kept, axis=1) < 0).all()),
        "kept_after_blur_px": {
            f"{blur:g}": [_rounded(kept[:, at].min()), _rounded(kept[:, at].max())]
            for at, blur in enumerate(_BLURS_PX)
        },
        "with_noise": {name: [_rounded(min(v)), _rounded(max(v))] for name, v in by_noise.items()},
    }


def _sharp(picture: Frames) -> float:
    return sharpness(picture[None])


def _blur(picture: Frames, px: float) -> Frames:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), px), np.uint8) if px else picture


def cost() -> dict[str, Any]:
    """Processor time of one sample of 768 x 512, five seconds, with its base and an index of 1,000 frames."""
    still = stills("test")[0]
    frames = window_clip(still, (768, 512), 24, 0.05, 0.0, seconds=5.0)
    shown = [Shown(f"clip {number % 50}", number / 8, frames[number % len(frames)]) for number in range(1000)]
    began = time.process_time()
    index = index_of(shown)
    built = time.process_time()
    measure_sample(frames, frames, index, 24)
    return {
        "sample_cpu_s": round(time.process_time() - built, 2),
        "index_of_1000_frames_cpu_s": round(built - began, 2),
    }


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's: Pearson's of the ranks, equal values with their mean rank."""
    return float(np.corrcoef(_ranks(one), _ranks(other))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    smaller = (values[None] < values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    return smaller + (equal - 1) / 2


def auc(positives: Sequence[float], negatives: Sequence[float]) -> float:
    """The chance that a positive is above a negative; equal ones count half."""
    above = np.array(positives)[:, None] - np.array(negatives)[None]
    return float((above > 0).mean() + (above == 0).mean() / 2)


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 3)


def print_motion(name: str, result: dict[str, Any]) -> None:
    for part in ("tuning", "test"):
        scores = result[part]
        ratio = scores["window_found_of_true"]
        print(f"\nMotion, part '{part}': rank correlation {scores['correlation']} of {scores['clips']} clips")
        for group, value in sorted(scores["by_group"].items()):
            print(f"  {group:28s} {value:.3f}")
        print(f"  still clips measure {scores['still_clips_at_most']} at most; windows from 0.02 on measure")
        print(f"  {ratio['median']} of the truth (80 % of them {ratio['middle_80_percent']})")
    for varied, item in result["one_move"].items():
        print(
            f"  one move, several {varied}: largest of smallest {item['median']} (at worst {item['largest']})"
        )


def print_likeness(name: str, scores: dict[str, Any]) -> None:
    print(f"\nLikeness, {name}: AUC {scores['auc']}")
    for degradation, item in scores["by_degradation"].items():
        line = f"AUC {item['auc']:.3f}  tenth {item['tenth']:.2f}  lowest {item['lowest']:.2f}"
        print(f"  {degradation:44s} {line}")
    fresh = scores["fresh"]
    print(f"  fresh: median {fresh['median']:.2f}, highest {fresh['highest']:.2f}")
    print(
        f"  called memorised: {scores['copies_called_copied']:.1%} of copies, "
        f"{scores['fresh_called_copied']:.1%} of fresh ones; at least close: "
        f"{scores['copies_called_close_or_copied']:.1%}, {scores['fresh_called_close_or_copied']:.1%}"
    )
    if "fresh_whole_clips" in scores:
        print(f"  whole fresh clips, the highest of eight frames: {scores['fresh_whole_clips']}")
    if "whole_clips_thin_index" in scores:
        thin = scores["whole_clips_thin_index"]
        print(f"  whole clips, everything together, index of 8 frames a second: AUC {thin['auc']}")
    for scene, item in scores.get("fresh_by_scene", {}).items():
        print(f"      {scene:24s} {item['away_s']:4.1f} s away: {item['highest']:.2f} at most")


def print_sharpness(name: str, sharp: dict[str, Any]) -> None:
    print(f"\nSharpness of {sharp['pictures']} pictures")
    print(f"  falls with every blur: {sharp['falls_with_every_blur']}")
    print(f"  kept after blur of so many pixels: {sharp['kept_after_blur_px']}")
    print(f"  with noise: {sharp['with_noise']}")


def print_cost(name: str, seconds: dict[str, Any]) -> None:
    print(f"\nProcessor time: {seconds}")


LIKENESS = ("neon", "films", "photographs")
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "motion": all_motion,
    "neon": neon_scores,
    "films": lambda: scene_scores(real_scenes(), 1),
    "photographs": lambda: scene_scores(window_scenes(), 2),
    "sharpness": sharpness_scores,
    "cost": cost,
}
PRINTERS: dict[str, Callable[[str, dict[str, Any]], None]] = {
    "motion": print_motion,
    **dict.fromkeys(LIKENESS, print_likeness),
    "sharpness": print_sharpness,
    "cost": print_cost,
}


if __name__ == "__main__":
    main()
