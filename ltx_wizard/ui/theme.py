"""The look of Gradio's own widgets, from the variables of assets/css/base.css, in light and dark alike."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils.fonts import Font


def wizard_theme() -> gr.themes.Base:
    """No fonts from outside: the page names fonts that Gradio brings and that systems have."""
    return gr.themes.Base(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=[Font("IBM Plex Sans"), Font("Segoe UI"), Font("system-ui"), Font("sans-serif")],
        font_mono=[Font("IBM Plex Mono"), Font("Consolas"), Font("monospace")],
    )
