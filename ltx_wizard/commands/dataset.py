"""new, import, split, caption, check: from videos to a dataset."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ltx_wizard.app import captioners, datasets, jobs, projects
from ltx_wizard.commands.console import Console, ConsoleReport
from ltx_wizard.commands.following import follow
from ltx_wizard.core.caption import storable
from ltx_wizard.core.clip import MediaKind, Rejected, Source, told_apart
from ltx_wizard.core.errors import (
    BadDocument,
    BadInput,
    BadSetting,
    NotFound,
    NotReady,
    WizardError,
    explain_os_error,
)
from ltx_wizard.core.project import Goal, Project
from ltx_wizard.core.run import JobStatus
from ltx_wizard.core.units import plural

if TYPE_CHECKING:
    from ltx_wizard.app.datasets import Finding, ImportReport

_LEVEL_WORDS = {"must": "Must be fixed", "should": "Should be better", "fine": "Fine"}


def opened(folder: Path) -> Project:
    """The project of --project. Raises NotFound, BadInput, BadDocument or NoPermission."""
    try:
        if folder.expanduser().is_file():
            raise BadInput(
                problem=f"{folder} is a file, not a project.",
                remedy="Name the folder that holds project.json.",
            )
        return projects.project_in(folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def new(given: Namespace, console: Console) -> int:
    """Make an empty project, or the sample project, in exactly the folder that was named."""
    folder: Path = given.project.expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise BadInput(problem=f"{folder} is a file.", remedy="Name a folder that is empty or not there yet.")
    name = given.name or folder.name
    if given.sample:
        project = projects.create_sample_project(name, folder)
    else:
        trigger = projects.propose_trigger(name) if given.trigger is None else given.trigger
        project = projects.create_project(name, Goal(given.goal), trigger, given.model, folder)
    settings = project.read_settings()
    console.say(f"Made the project {settings.name} in {project.folder}.")
    if settings.trigger_word:
        console.say(f"Its trigger word is: {settings.trigger_word}")
    return 0


def import_media(given: Namespace, console: Console) -> int:
    """Add videos and images; list the broken ones, the rest go on. Raises BadInput if nothing was added."""
    project = opened(given.project)
    added, skipped, rejected = 0, 0, list[Rejected]()
    for path in given.paths:
        try:
            done = _bring_in(project, path, given.regularisation, console)
        except WizardError as error:
            rejected.append(_rejected(path, error))
            continue
        added, skipped = added + len(done.added), skipped + len(done.skipped_duplicates)
        rejected += done.rejected
        names = told_apart(datasets.sources(project))
        for source in done.added:
            console.say(f"Added {names.get(source.id, source.original_name)}: {_size_text(source)}")
    for item in rejected:
        console.say(f"Cannot use {item.name}: {item.problem} {item.remedy}")
    if skipped:
        console.say(f"{plural(skipped, 'file')} skipped: already in the project.")
    if not added:
        raise BadInput(problem="Nothing was added.", remedy="Look at the reason given for each file.")
    console.say(f"{plural(added, 'file')} added.")
    return 0


def split(given: Namespace, console: Console) -> int:
    """Find scenes, then cut them into clips."""
    project = opened(given.project)
    change_scene_settings(project, given)
    if not any(source.kind is MediaKind.VIDEO for source in datasets.sources(project)):
        raise NotReady(problem="There are no videos yet.", remedy="Add some with: ltx-wizard import")
    find_scenes(project, console)
    return 0 if given.only_find else cut(project, console)


def find_scenes(project: Project, console: Console) -> None:
    follow(jobs.start_find_scenes(project), console)
    kept = sum(scene.keep for found in datasets.scenes(project).values() for scene in found.scenes)
    console.say(f"{plural(kept, 'scene')}, enough for {plural(datasets.planned_clips(project), 'clip')}.")


def cut(project: Project, console: Console) -> int:
    follow(jobs.start_cut(project), console)
    clips = datasets.clips(project)
    console.say(f"{plural(len(clips), 'clip')} in {project.clips_folder}.")
    return 0


def change_scene_settings(project: Project, given: Namespace) -> None:
    """Keep what was given on the command line in the project. Raises BadSetting."""
    before = project.read_settings().scenes
    detector = given.detector or before.detector
    asked = {
        "detector": given.detector,
        f"{detector}_threshold": given.threshold,
        "min_scene_s": given.min_scene,
        "min_clip_s": given.min_clip,
        "max_clip_s": given.max_clip,
    }
    changes = {name: value for name, value in asked.items() if value is not None}
    if not changes:
        return
    try:
        project.change_settings(scenes={**before.model_dump(), **changes})
    except BadDocument as error:
        raise BadSetting(error.problem, "Give a value within that range.") from error


def caption(given: Namespace, console: Console) -> int:
    """Draft captions for clips that have none, or for all. --server alone means the captioner 'server'."""
    if given.captioner == "list":
        return list_captioners(console)
    project = opened(given.project)
    known = [name for name, _ in jobs.captioners()]
    if given.captioner not in known:
        raise BadSetting(
            problem=f"There is no captioner called {given.captioner}.",
            remedy=f"Choose one of: {', '.join(known)}.",
        )
    if not datasets.clips(project):
        raise NotReady(problem="There are no clips to caption.", remedy="Make some with: ltx-wizard split")
    captioner = captioners.SERVER if given.server or given.model else given.captioner
    job = jobs.start_caption(
        project, captioner, given.overwrite, server=given.server, server_model=given.model
    )
    tell_captions(follow(job, console), console)
    return 0


def list_captioners(console: Console) -> int:
    """What can write captions here."""
    for choice in captioners.choices():
        mark = "* " if choice.proposed else "  "
        fetch = "" if choice.downloaded else f" Download: ltx-wizard download {choice.name}"
        console.say(f"{mark}{choice.name:<16} {choice.title}")
        console.say(f"  {'':<16} {choice.reason}{fetch if choice.fits else ''} Speed: {choice.speed}.")
    console.say("* is proposed for this computer.")
    return 0


def draft_captions(project: Project, console: Console, captioner: str, overwrite: bool) -> None:
    tell_captions(follow(jobs.start_caption(project, captioner, overwrite), console), console)


def tell_captions(status: JobStatus, console: Console) -> None:
    done, skipped = status.result.get("captioned", 0), status.result.get("skipped", 0)
    failed = status.result.get("failed", 0)
    console.say(
        f"Captions written: {done}. Already there: {skipped}.{f' Failed: {failed}.' if failed else ''}"
    )


def check(given: Namespace, console: Console) -> int:
    """Say what stands between this dataset and a good LoRA. 1: something must be fixed first."""
    project = opened(given.project)
    if given.fix and given.uncrop is not None:
        raise BadInput(problem="--fix crops, and --uncrop takes it back.", remedy="Give one of them.")
    fixed = fix_findings(project, datasets.check(project), console) if given.fix else []
    if given.uncrop is not None:
        fixed = uncrop(project, given.uncrop, console)
    findings = datasets.check(project)
    must = [finding for finding in findings if finding.level == "must"]
    for finding in findings:
        _show_finding(finding, console)
    console.say("The dataset is ready." if not must else f"{plural(len(must), 'thing')} must be fixed first.")
    console.result(
        {
            "project": str(project.folder),
            "ready": not must,
            "clips": len(datasets.clips(project)),
            "fixed": fixed,
            "findings": [asdict(finding) for finding in findings],
        }
    )
    return 1 if must else 0


def fix_findings(project: Project, findings: Sequence[Finding], console: Console) -> list[str]:
    """Do what the app can do about these findings, one after the other. Gives the ids of those fixed.

    What is fine stays: a button there is the way back from a fix.
    """
    fixed: list[str] = []
    done: set[str] = set()
    for finding in findings:
        if finding.level == "fine" or not finding.fix or finding.fix in done:
            continue
        job = jobs.apply_fix(project, finding)
        if job is not None:
            follow(job, console)
        done |= {"conform"} if finding.fix == "conform" else set()  # one job conforms every clip
        console.say(f"{finding.fix_label}: done.")
        fixed.append(finding.id)
    return fixed


def uncrop(project: Project, clip_ids: Sequence[str], console: Console) -> list[str]:
    """Bring the whole picture of cropped clips back; none named: of all. Gives the id of what was fixed.

    Raises NotFound for a clip that is not cropped, and where there is none.
    """
    finding = next((found for found in datasets.check(project) if found.fix == "uncrop"), None)
    cropped = finding.clip_ids if finding else ()
    other = next((clip_id for clip_id in clip_ids if clip_id not in cropped), "")
    if other or finding is None:
        raise NotFound(
            problem=f"No cropped clip is called {other}." if other else "No clip is cropped.",
            remedy="Their names are in: ltx-wizard check --json, at the finding 'cropped'.",
        )
    job = jobs.apply_fix(project, replace(finding, clip_ids=tuple(clip_ids) or cropped))
    if job is not None:
        follow(job, console)
    console.say(f"{finding.fix_label}: {plural(len(set(clip_ids)) or len(cropped), 'clip')}, done.")
    return [finding.id]


def _bring_in(project: Project, path: Path, regularisation: bool, console: Console) -> ImportReport:
    """A file, or everything in a folder."""
    report = ConsoleReport(console)
    try:
        is_folder = path.expanduser().is_dir()
    except OSError as error:
        raise explain_os_error(error, path) from error
    if is_folder:
        return datasets.import_folder(project, path, regularisation, report)
    return datasets.import_paths(project, [path], regularisation, report)


def _size_text(source: Source) -> str:
    size = f"{source.width} x {source.height}"
    if source.kind is MediaKind.IMAGE:
        return size
    return f"{size}, {source.fps:g} fps, {source.duration_s:.1f} s"


def _rejected(path: Path, error: WizardError) -> Rejected:
    return Rejected(name=storable(str(path)), problem=storable(error.problem), remedy=storable(error.remedy))


def _show_finding(finding: Finding, console: Console) -> None:
    console.say(f"[{_LEVEL_WORDS[finding.level]}] {finding.title}")
    console.say(f"    {finding.why}")
    if finding.remedy:
        console.say(f"    What to do: {finding.remedy}")
