"""Conforming: writing each clip at exactly the size, length and frame rate of its bucket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.errors import BadMediaFile, NotReady
from ltx_wizard.core.events import Warned
from ltx_wizard.core.project import Project
from ltx_wizard.core.recipe import parse_bucket
from ltx_wizard.core.report import Report, progress
from ltx_wizard.core.run import ConformJob
from ltx_wizard.dataset.buckets import needs_conforming, plan_buckets
from ltx_wizard.dataset.dataset import read_clips, update_clip
from ltx_wizard.media.transcode import conform_file
from ltx_wizard.models.catalog import EMBEDDED, find_model
from ltx_wizard.models.spec import ModelSpec

STAGE = "Conforming clips"


def run_conform(project: Project, job: ConformJob, report: Report) -> dict[str, JsonValue]:
    """Write clips/conformed/<clip> for every clip that is not yet as its bucket wants it.

    Clips done before are skipped; one that fits no bucket or cannot be read is a warning. Raises Cancelled.
    """
    spec = project_spec(project, job.fps)
    clips = read_clips(project)
    plan = plan_buckets(clips, spec, job.buckets)
    if not plan.assignment:
        raise NotReady(
            problem="No clip fits a training size.", remedy="Look at the findings in the step Check."
        )
    for clip_id, reason in plan.unfit.items():
        report.emit(Warned(message=f"{clip_id} is left out. {reason}"))
    written = 0
    for index, clip in enumerate(clips):
        progress(report, STAGE, index, len(clips), clip.id)
        bucket = plan.assignment.get(clip.id)
        if bucket is not None and not _is_done(project, clip, bucket, spec):
            written += _conform(project, clip, bucket, spec, report)
    progress(report, STAGE, len(clips), len(clips))
    return {"clips": len(clips), "written": written, "left_out": len(plan.unfit)}


def project_spec(project: Project, fps: float = 0.0) -> ModelSpec:
    """The model that a project trains; the practice model before one is chosen. fps: in place of its own."""
    chosen = project.read_settings().model
    spec = find_model(chosen) if chosen else EMBEDDED
    return replace(spec, fps=fps) if fps else spec


def conformed_path(project: Project, clip: Clip) -> Path:
    suffix = ".png" if clip.kind is MediaKind.IMAGE else ".mp4"
    return project.clips_folder / "conformed" / f"{clip.id}{suffix}"


def _is_done(project: Project, clip: Clip, bucket: str, spec: ModelSpec) -> bool:
    if needs_conforming(clip, bucket, spec):
        return False
    return not clip.conformed_file or project.path(clip.conformed_file).is_file()


def _conform(project: Project, clip: Clip, bucket: str, spec: ModelSpec, report: Report) -> int:
    """Gives 1 if the clip was written."""
    out = conformed_path(project, clip)
    try:
        conform_file(project.path(clip.file), out, *parse_bucket(bucket), spec.fps)
    except BadMediaFile as error:
        report.emit(Warned(message=f"{clip.id} is left as it is. {error.problem} {error.remedy}"))
        return 0
    update_clip(project, clip.id, conformed_file=project.relative(out), bucket=bucket)
    return 1
