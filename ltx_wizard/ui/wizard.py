"""The window: nine steps in one page. `build` makes the Gradio app; nothing heavy is imported here."""

from __future__ import annotations

import gradio as gr

from ltx_wizard.ui.page import Page, when_ready
from ltx_wizard.ui.steps import captions, check, export, goal, lab, recipe, scenes, train, videos

STEPS = (goal, videos, scenes, captions, check, recipe, train, lab, export)
"""In the order of the road. A new step is a new file and its name here."""

_BUS_SCRIPT = when_ready("window.wizard.connect(element, props, trigger, watch, 'go', 'act')")
_ANSWERED_SCRIPT = when_ready("window.wizard.answers(props, watch)")


def build() -> gr.Blocks:
    """All steps stand in the page; the script shows one. So moving between them is immediate."""
    with gr.Blocks(
        title="LTX Wizard", fill_width=True, analytics_enabled=False, delete_cache=(3600, 86_400)
    ) as blocks:
        page = Page(
            project=gr.Textbox("", visible="hidden", elem_id="wz-project"),
            step=gr.Textbox("", visible="hidden", elem_id="wz-current-step"),
            bus=gr.HTML("", html_template="<div></div>", js_on_load=_BUS_SCRIPT, elem_id="wz-bus"),
            answered=gr.HTML(
                "", html_template="<div></div>", js_on_load=_ANSWERED_SCRIPT, elem_id="wz-answered"
            ),
            nav=gr.HTML("", elem_id="wz-nav", apply_default_css=False),
            top=gr.HTML("", elem_id="wz-top", apply_default_css=False),
        )
        for step in STEPS:
            name = step.__name__.rsplit(".", 1)[-1]
            with gr.Column(elem_classes=["wz-page", f"wz-page-{name}"], elem_id=f"wz-page-{name}"):
                view = step.build(page)
            page.views[view.name] = view
        page.wire(blocks)
    return blocks
