"""The step Check as JSON for assets/js/check.js: a few pictures of each thing, and all of it on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from starlette.requests import Request

from ltx_wizard.app import checking
from ltx_wizard.app.checking import Checked, Copies, HeldOut, Sheet
from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import bytes_text
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import opened

if TYPE_CHECKING:
    from ltx_wizard.app.checking import Dataset, Finding, Group, LeftOut, Tally

Json = dict[str, object]
Tile = Callable[[Clip], Json]

PICTURES, HELD_OUT_PICTURES, GROUPS, LEFT_OUT_PICTURES, UNFIT_REASONS = 6, 14, 4, 60, 5
"""How much is shown before somebody asks for more."""

_WITHOUT_PICTURES = frozenset({"measured", "files"})


def check_json(project: Project, checked: Checked, busy: str) -> Json:
    """busy: kind of the job that runs and changes clips; empty: none."""
    clips = {clip.id: clip for clip in checked.dataset.clips}
    tile = _tiles(project)
    return {
        "project": str(project.folder),
        "busy": busy,
        "total": len(clips),
        "findings": [_finding(tile, item, clips) for item in checked.findings],
        "variety": _variety(tile, checked.variety, checked.groups),
        "held": _held(tile, checked.held_out),
        "copies": _copies(project, tile, checked.copies),
        "sizes": _sizes(checked.dataset),
        "sheet": _sheet(project, checked.sheet),
        "left": _left(tile, checked.left_out),
    }


def clips_json(request: Request) -> Json:
    """Every clip of a finding (id=...), or all that may be kept for validation (of=candidates)."""
    project = opened(request.query_params.get("project", ""))
    if request.query_params.get("of") == "candidates":
        kept = checking.held_out(project)
        shown = checking.candidates(project)
        tile = _tiles(project)
        return {"items": [{**tile(clip), "on": clip.id in kept} for clip in shown]}
    checked = checking.look(project)
    finding = checking.named(checked.findings, request.query_params.get("id", ""))
    return {"items": _items(_tiles(project), checked, finding)}


def _items(tile: Tile, checked: Checked, finding: Finding) -> list[Json]:
    """Copies stand beside the clip that they are copies of, which stays."""
    notes = checking.notes(checked.dataset, finding)
    wanted = set(finding.clip_ids)
    on = finding.fix in ("leave_out", "split_at_cuts", "crop_bars", "uncrop")
    items: list[Json] = []
    if finding.id in ("doubles", "alike"):
        for number, group in enumerate(checked.groups):
            mine = [clip for clip in group.clips if clip.id in wanted]
            if mine:
                items.append({**tile(group.kept), "group": number, "stays": True, "on": False})
                items += [{**tile(clip), "group": number, "on": on} for clip in mine]
        return items
    clips = {clip.id: clip for clip in checked.dataset.clips}
    return [
        {**tile(clips[clip_id]), "on": on, "note": notes.get(clip_id, "")}
        for clip_id in finding.clip_ids
        if clip_id in clips
    ]


def _tiles(project: Project) -> Tile:
    """Gives a clip as a picture that plays under the pointer."""
    named = checking.clip_names(project)

    def tile(clip: Clip) -> Json:
        plays = clip.kind is MediaKind.VIDEO and media.plays_in_browsers(clip.file)
        return {
            "id": clip.id,
            "label": named(clip),
            "picture": media.clip_picture(project, clip),
            "video": media.file_url(project, clip.file, f"{clip.frames}") if plays else "",
            "text": clip.caption,
            "length": "image" if clip.kind is MediaKind.IMAGE else f"{clip.duration_s:.1f} s",
        }

    return tile


def _finding(tile: Tile, finding: Finding, clips: Mapping[str, Clip]) -> Json:
    """Of what is true of every clip, the first few pictures would say nothing."""
    of_all = len(clips) == len(finding.clip_ids) > PICTURES
    telling = finding.level != "fine" and finding.id not in _WITHOUT_PICTURES and not of_all
    shown = [clips[clip_id] for clip_id in finding.clip_ids[:PICTURES] if clip_id in clips and telling]
    return {
        "id": finding.id,
        "level": finding.level,
        "title": finding.title,
        "why": finding.why,
        "remedy": finding.remedy,
        "fix": finding.fix,
        "label": finding.fix_label,
        "count": len(finding.clip_ids),
        "tiles": [tile(clip) for clip in shown],
    }


def _variety(tile: Tile, tallies: Sequence[Tally], groups: Sequence[Group]) -> Json:
    return {
        "tallies": [
            {
                "title": tally.title,
                "counts": tally.counts,
                "said": tally.said,
                "note": tally.note,
                "measure": tally.measure,
                "total": tally.total,
            }
            for tally in tallies
        ],
        "groups": len(groups),
        "clips": sum(len(group.clips) for group in groups),
        "shown": [
            {
                "kept": tile(group.kept),
                "same": len(group.same),
                "near": len(group.near),
                "tiles": [tile(clip) for clip in (*group.same, *group.near)[:PICTURES]],
            }
            for group in groups[:GROUPS]
        ],
    }


def _held(tile: Tile, held: HeldOut) -> Json:
    return {
        "count": len(held.clips),
        "automatic": held.automatic,
        "share": held.share,
        "tiles": [
            {**tile(clip), "like": tile(double)["label"] if (double := held.doubles.get(clip.id)) else ""}
            for clip in _first_doubtful(held)[:HELD_OUT_PICTURES]
        ],
        "ids": [clip.id for clip in held.clips],
        "doubtful": len(held.doubles),
    }


def _first_doubtful(held: HeldOut) -> list[Clip]:
    return sorted(held.clips, key=lambda clip: clip.id not in held.doubles)


def _copies(project: Project, tile: Tile, copies: Copies) -> Json:
    return {
        "mirror": copies.data.mirror,
        "colour": copies.data.colour_copies,
        "most_change": [copies.data.brightness, copies.data.contrast, copies.data.saturation],
        "clips": copies.clips,
        "mirrored": copies.mirrored,
        "recoloured": copies.recoloured,
        "total": copies.total,
        "with_side": copies.with_side,
        "with_text": copies.with_text,
        "not_offered": copies.not_offered,
        "examples": [
            {
                **tile(example.clip),
                "name": example.copy.name,
                "after": media.copy_picture(
                    project, example.clip, example.copy.name, example.copy.change.key
                ),
                "caption": example.caption,
            }
            for example in copies.examples
        ],
    }


def _sizes(dataset: Dataset) -> Json:
    spec, plan = dataset.spec, dataset.plan
    return {
        "model": spec.title,
        "fps": spec.fps,
        "boxes": [
            {"width": box.width, "height": box.height, "frames": box.frames, "clips": box.clips}
            for box in plan.boxes
        ],
        "unfit": Counter(plan.unfit.values()).most_common(UNFIT_REASONS),
        "unfit_count": len(plan.unfit),
    }


def _sheet(project: Project, sheet: Sheet | None) -> Json | None:
    if sheet is None:
        return None
    relative = project.relative(sheet.path)
    return {
        "url": media.file_url(project, relative, sheet.made_ns),
        "download": media.download_url(project, relative),
        "name": sheet.path.name,
        "current": sheet.current,
        "size": bytes_text(sheet.size_bytes),
    }


def _left(tile: Tile, left_out: Iterable[LeftOut]) -> Json:
    """The newest click first."""
    items = list(left_out)
    batches = [list(batch) for _, batch in groupby(items, key=lambda item: item.at)]
    return {
        "count": len(items),
        "batches": [
            {
                "at": batch[0].at,
                "reason": batch[0].reason,
                "ids": [item.clip.id for item in batch],
                "tiles": [tile(item.clip) for item in batch[:LEFT_OUT_PICTURES]],
            }
            for batch in reversed(batches)
        ],
    }
