"""Step 5: what stands between this dataset and a good LoRA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from ltx_wizard.app import datasets, jobs
from ltx_wizard.core.clip import Clip
from ltx_wizard.core.errors import NotFound
from ltx_wizard.core.project import Project
from ltx_wizard.core.units import plural
from ltx_wizard.ui import media
from ltx_wizard.ui.boundary import Outcome, opened
from ltx_wizard.ui.components import Markup, button, empty_state, h, icon, notice, step_header, working_card
from ltx_wizard.ui.page import Data, Page, StepView, Updates, panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ltx_wizard.app.datasets import Finding

_GROUPS = (("must", "Must fix", "alert"), ("should", "Should fix", "info"), ("fine", "Fine", "check"))
_PICTURES_SHOWN = 6
_WORKING = {"conform": "Fitting clips to the training size", "caption": "Writing draft captions"}


def build(page: Page) -> StepView:
    head = panel("check-head")
    notice_card = panel("check-notice")
    work = panel("check-work")
    findings = panel("check-findings")
    buckets = panel("check-buckets")
    with gr.Row(elem_classes="wz-footer"):
        back = gr.Button("Back", elem_id="check-back")
        primary = gr.Button("Choose the recipe", variant="primary", elem_id="check-primary")

    def render(project: Project | None) -> Updates:
        assert project is not None
        clips = datasets.clips(project)
        found = datasets.check(project)
        must = sum(finding.level == "must" for finding in found)
        return {
            head: _head(found, len(clips)),
            work: _work(project),
            findings: _findings(project, found, clips) if clips else _empty(),
            buckets: _bucket_plan(project) if clips else "",
            primary: gr.update(interactive=not must),
        }

    page.on_act(findings, {"fix": _fix, "open": lambda path, data: Outcome(go_to="captions")})
    page.on(back.click, lambda path: Outcome(go_to="captions"))
    page.on(primary.click, lambda path: Outcome(go_to="recipe"))
    return StepView("check", "Check", notice_card, render)


def _fix(path: str, data: Data) -> Outcome:
    """Findings are computed anew: the page names one, and only what still applies is fixed."""
    project = opened(path)
    for finding in datasets.check(project):
        if finding.id == data["finding"] and finding.fix:
            job = jobs.apply_fix(project, finding)
            return Outcome() if job else Outcome(notice(f"Done: {finding.fix_label.lower()}.", "good"))
    raise NotFound(problem="That finding is gone: it was fixed already.", remedy="Look at the list below.")


def _head(found: Sequence[Finding], clips: int) -> Markup:
    sentence = "Problems found here cost minutes; found after a night of training they cost the night."
    counts = {level: sum(item.level == level for item in found) for level, _, _ in _GROUPS}
    levels = f"{counts['must']} must fix, {counts['should']} should fix, {counts['fine']} fine"
    status = f"{plural(clips, 'clip')}: {levels}"
    return step_header(5, "Check", sentence, status if clips else "")


def _empty() -> Markup:
    return empty_state("shield", "Nothing to check yet", "Cut clips in step 3, then come back.")


def _work(project: Project) -> Markup | str:
    job = jobs.active_job(project)
    kind = job.read_job().settings.kind if job else ""
    return working_card(kind, _WORKING[kind]) if kind in _WORKING else ""


def _findings(project: Project, found: Sequence[Finding], clips: list[Clip]) -> Markup:
    by_id = {clip.id: clip for clip in clips}
    return h("div", [_group(project, level, title, symbol, found, by_id) for level, title, symbol in _GROUPS])


def _group(
    project: Project,
    level: str,
    title: str,
    symbol: str,
    found: Sequence[Finding],
    clips: dict[str, Clip],
) -> Markup | None:
    mine = [finding for finding in found if finding.level == level]
    if not mine:
        return (
            h("section.wz-section", h("h2", title), h("p.wz-muted", "Nothing.")) if level == "must" else None
        )
    cards = [_finding(project, finding, symbol, clips) for finding in mine]
    look = "wz-findings wz-fine" if level == "fine" else "wz-findings"
    return h(
        "section.wz-section", h("h2", title, h("span.wz-count", len(mine))), h("div", cards, class_=look)
    )


def _finding(project: Project, finding: Finding, symbol: str, clips: dict[str, Clip]) -> Markup:
    pictured = (
        [clips[clip_id] for clip_id in finding.clip_ids if clip_id in clips]
        if finding.level != "fine"
        else []
    )
    more = len(pictured) - _PICTURES_SHOWN
    return h(
        "article.wz-finding",
        h("span.wz-finding-mark", icon(symbol)),
        h("div.wz-grow",
          h("strong", finding.title),
          h("p", finding.why) if finding.why else None,
          h("p.wz-remedy", finding.remedy) if finding.remedy else None,
          h("div.wz-pictures",
            [h("img", src=media.clip_picture(project, clip), alt="", title=clip.caption, loading="lazy")
             for clip in pictured[:_PICTURES_SHOWN]],
            h("span.wz-more", f"+{more}") if more > 0 else None) if pictured else None),
        button(finding.fix_label, "fix", look="soft", finding=finding.id) if finding.fix else None,
        class_=f"is-{finding.level}",
    )  # fmt: skip


def _bucket_plan(project: Project) -> Markup:
    plan = datasets.bucket_plan(project)
    spec = datasets.model_spec(project)
    largest = max((max(box.width, box.height) for box in plan.boxes), default=1)
    boxes = [
        h(
            "div.wz-bucket",
            h("div.wz-bucket-art",
              h("i", style=f"width:{96 * box.width / largest:.0f}px;height:{96 * box.height / largest:.0f}px",
                class_="is-still" if box.frames == 1 else None)),
            h("strong", f"{box.width} × {box.height}"),
            h("span", "image" if box.frames == 1 else f"{box.frames} frames, {box.frames / spec.fps:.1f} s"),
            h("span.wz-muted", plural(box.clips, "clip")),
        )
        for box in plan.boxes
    ]  # fmt: skip
    unfit = [h("li", clip_id, ": ", why) for clip_id, why in list(plan.unfit.items())[:20]]
    return h(
        "section.wz-section",
        h("h2", "Sizes that training will see"),
        h(
            "p.wz-muted",
            f"Each clip goes to the nearest size that {spec.title} takes, at {spec.fps:g} frames per second.",
        ),
        h("div.wz-buckets", boxes),
        h("ul.wz-unfit", unfit) if unfit else None,
    )
