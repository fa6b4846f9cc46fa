"""Step 3: where the cuts are, and the clips that come of it."""

from __future__ import annotations

import json

import gradio as gr

from ltx_wizard.app import datasets, jobs, projects
from ltx_wizard.core.clip import MediaKind, Scene, Source, SourceScenes, told_apart
from ltx_wizard.core.errors import BadSetting
from ltx_wizard.core.project import Project, SceneSettings
from ltx_wizard.core.units import plural
from ltx_wizard.ui import ended, media
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import (
    Markup,
    empty_state,
    error_card,
    go_button,
    join,
    notice,
    step_header,
    working_card,
)
from ltx_wizard.ui.page import Data, Page, StepView, Updates, live_panel, panel

_DETECTORS = [("Adaptive (moving cameras)", "adaptive"), ("Content (still cameras)", "content")]
_USUAL = SceneSettings()
_FEWER = "Lower: more cuts."


def build(page: Page) -> StepView:
    head = panel("scenes-head")
    notice_card = panel("scenes-notice")
    with gr.Row(elem_classes="wz-card wz-scene-controls"):
        detector = gr.Dropdown(
            _DETECTORS, label="How cuts are found", elem_id="scenes-detector", min_width=230
        )
        adaptive = _slider("adaptive_threshold", 0.5, 20, "Threshold", "scenes-adaptive", info=_FEWER)
        content = _slider("content_threshold", 1, 100, "Threshold", "scenes-content", step=1, info=_FEWER)
        shortest = _slider("min_clip_s", 0.2, 8, "Shortest clip (s)", "scenes-min", info="Shorter: no clip.")
        longest = _slider("max_clip_s", 0.5, 20, "Longest clip (s)", "scenes-max", info="Longer: split up.")
        find = gr.Button("Find scenes", elem_id="scenes-find", elem_classes="wz-soft", min_width=130)
    with gr.Accordion("Advanced", open=False, elem_classes="wz-advanced"):
        min_scene = _slider(
            "min_scene_s", 0.1, 10, "Shortest scene (s)", "scenes-min-scene",
            info="Cuts closer than this are ignored.",
        )  # fmt: skip
    work = panel("scenes-work")
    strips = live_panel("scenes")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="scenes-back")
        primary = gr.Button("Find scenes", variant="primary", elem_id="scenes-primary")

    controls = [detector, adaptive, content, min_scene, shortest, longest]

    def render(project: Project | None) -> Updates:
        assert project is not None
        settings = project.read_settings().scenes
        state = _State(project)
        return {
            head: _head(state),
            detector: settings.detector,
            adaptive: gr.update(value=settings.adaptive_threshold, visible=settings.detector == "adaptive"),
            content: gr.update(value=settings.content_threshold, visible=settings.detector == "content"),
            min_scene: _at(min_scene, settings.min_scene_s),
            shortest: _at(shortest, settings.min_clip_s),
            longest: _at(longest, settings.max_clip_s),
            find: gr.update(interactive=bool(state.videos) and not state.busy),
            work: _work(state) if state.busy else join([_ended(project), _work(state)]),
            strips: json.dumps(_strips_json(project, state, settings)),
            primary: gr.update(value=state.primary, interactive=not state.busy and not state.wrong),
        }

    follows = [head, work, strips, primary]

    def save_and_show(path: str, detector: str, *numbers: float) -> tuple[object, ...]:
        """What follows from the numbers; the numbers themselves stay, for the next may be moving already."""
        _save_controls(path, detector, *numbers)
        shown = render(opened(path))
        return tuple(shown[part] for part in follows)

    page.on(detector.input, _save_controls, controls)
    for slider in controls[1:]:
        page.light(slider.release, save_and_show, [page.project, *controls], follows)
    page.on(find.click, _find)
    page.on(back.click, lambda path: Outcome(go_to="videos"))
    page.on(primary.click, _go_on)
    page.on_act(work, {"find": lambda path, data: _find(path)})
    page.on_act(strips, {"merge": _merge, "split": _split, "toggle": _toggle})
    return StepView("scenes", "Scenes", notice_card, render)


def _slider(
    field: str,
    least: float,
    most: float,
    label: str,
    elem_id: str,
    step: float = 0.1,
    info: str | None = None,
) -> gr.Slider:
    """Its reset button gives the usual value. assets/js/scenes.js makes every way to change it count."""
    return gr.Slider(
        least, most, value=getattr(_USUAL, field), step=step, label=label, info=info, elem_id=elem_id,
        elem_classes="wz-slider", min_width=150,
    )  # fmt: skip


def _at(slider: gr.Slider, value: float) -> dict[str, object]:
    """The command line takes larger values than a slider can point at: then it reaches that far."""
    return gr.update(value=value, maximum=max(slider.maximum, value))


class _State:
    """What this step shows, read once."""

    def __init__(self, project: Project) -> None:
        sources = datasets.sources(project)
        videos = [source for source in sources if source.kind is MediaKind.VIDEO]
        self.names = told_apart(sources)
        self.videos = [source for source in videos if not source.whole]
        self.whole = {source.id for source in videos if source.whole}
        self.images = len(sources) - len(videos)
        self.found = datasets.scenes(project)
        self.planned, self.wrong = 0, ""
        try:
            self.planned = datasets.planned_clips(project)
        except BadSetting as error:  # said on the page, which shows the numbers that are to be changed
            self.wrong = error_card(error.problem, error.remedy)
        clips = [clip for clip in datasets.clips(project) if clip.kind is MediaKind.VIDEO]
        self.clips = len([clip for clip in clips if clip.source_id not in self.whole])
        job = jobs.active_job(project)
        self.busy = job.read_job().settings.kind if job else ""
        self.unsearched = [video for video in self.videos if video.id not in self.found]

    @property
    def primary(self) -> str:
        if self.videos and self.unsearched:
            return "Find scenes"
        if self.planned != self.clips:
            return f"Cut {plural(self.planned, 'clip')}" if not self.wrong else "Cut clips"
        return "Write captions"


def _go_on(path: str) -> Outcome | None:
    project = opened(path)
    state = _State(project)
    if state.primary == "Find scenes":
        return _find(path)
    if state.primary == "Write captions":
        return Outcome(go_to="captions")
    jobs.start_cut(project)
    return None


def _find(path: str) -> None:
    jobs.start_find_scenes(opened(path))


def _save_controls(
    path: str,
    detector: str,
    adaptive: float,
    content: float,
    min_scene: float,
    shortest: float,
    longest: float,
) -> None:
    changed = {
        "detector": detector,
        "adaptive_threshold": adaptive,
        "content_threshold": content,
        "min_scene_s": min_scene,
        "min_clip_s": shortest,
        "max_clip_s": longest,
    }
    projects.update(opened(path), scenes=changed)


def _merge(path: str, data: Data) -> None:
    project = opened(path)
    datasets.merge_scene(project, data["source"], _index(project, data))


def _split(path: str, data: Data) -> None:
    project = opened(path)
    datasets.split_scene(project, data["source"], _index(project, data), float(data["at"]))


def _toggle(path: str, data: Data) -> None:
    project = opened(path)
    index = _index(project, data)
    if datasets.scenes(project)[data["source"]].scenes[index].keep != (data["keep"] == "1"):
        datasets.toggle_scene(project, data["source"], index)


def _index(project: Project, data: Data) -> int:
    return datasets.scene_index(project, data["source"], int(data["frame"]))


def _head(state: _State) -> Markup:
    sentence = (
        "Clips must not run across a cut. Find the cuts, leave out what does not help, then cut the clips."
    )
    found = sum(len(scenes.scenes) for scenes in state.found.values())
    status = f"{plural(found, 'scene')} found, {plural(state.clips, 'clip')} cut" if found else ""
    return step_header(3, "Scenes", sentence, status)


def _ended(project: Project) -> Markup | str:
    return ended.outcome_card(project, "", ("find_scenes", "cut"))


def _work(state: _State) -> Markup | str:
    if state.busy == "find_scenes":
        return working_card(
            "find_scenes", "Finding scenes", "Videos that are done appear below. Stopping keeps them."
        )
    if state.busy == "cut":
        return working_card("cut", "Cutting clips", "Frame-exact. Stopping keeps the clips that are done.")
    if state.wrong:
        return state.wrong
    if not state.videos and state.whole:
        return notice(
            f"{plural(len(state.whole), 'clip')} from a dataset: they are used as they are, without cutting.",
            "info",
        )
    if not state.videos and state.images:
        return notice("Images need no cutting: each is a clip of one frame.", "info")
    if not state.videos:
        return empty_state(
            "scissors", "Nothing to cut yet", "Add videos first.", go_button("Videos", "videos")
        )
    if state.unsearched:
        return empty_state(
            "scissors",
            f"{plural(len(state.unsearched), 'video')} to look through",
            "Press 'Find scenes'. A strip of pictures will show every scene with its length.",
        )
    if state.clips and state.planned == state.clips:
        return notice(
            f"{plural(state.clips, 'clip')} cut. Change a scene and the button offers to cut again.", "good"
        )
    return ""


def _strips_json(project: Project, state: _State, settings: SceneSettings) -> dict[str, object]:
    return {
        "min_s": settings.min_clip_s,
        "max_s": settings.max_clip_s,
        "busy": bool(state.busy),
        "videos": [
            {**_video_json(project, video, state.found[video.id]), "name": state.names[video.id]}
            for video in state.videos
            if video.id in state.found
        ],
    }


def _video_json(project: Project, video: Source, found: SourceScenes) -> dict[str, object]:
    return {
        "id": video.id,
        "url": media.file_url(project, video.file, "1") if media.plays_in_browsers(video.file) else "",
        "detector": found.detector,
        "regularisation": video.regularisation,
        "scenes": [_scene_json(project, video.id, scene) for scene in found.scenes],
    }


def _scene_json(project: Project, source_id: str, scene: Scene) -> dict[str, object]:
    return {
        "frame": scene.start_frame,
        "start": round(scene.start_s, 3),
        "end": round(scene.end_s, 3),
        "frames": scene.frames,
        "keep": scene.keep,
        "picture": media.scene_picture(project, source_id, scene),
    }
