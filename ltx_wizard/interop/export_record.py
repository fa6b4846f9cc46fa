"""What is known of an exported LoRA, beside its files: exports/<name>.json."""

from __future__ import annotations

from pydantic import Field

from ltx_wizard.core.documents import Document


class ExportRecord(Document):
    """One export. Files are relative to the project folder, with forward slashes."""

    name: str
    file: str = Field(description="For diffusers.")
    comfyui_file: str = Field(description="For ComfyUI: the same weights under the model's original names.")
    run: str = ""
    step: int = 0
    made_from: str = Field(default="", description="Name of a file made elsewhere, in place of run and step.")
    strength: float
    model: str = Field(description="Catalog id or folder of the base model.")
    trigger_word: str = ""
    verified: tuple[str, ...] = Field(default=(), description="What was checked against the model, in words.")
    created: float = Field(description="Seconds since 1970.")
