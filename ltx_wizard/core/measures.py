"""What was measured on a sample video: numbers that are honest about what they are."""

from __future__ import annotations

from pydantic import Field

from ltx_wizard.core.documents import Document


class SampleMeasures(Document):
    """The measures of one sample. None: not measured, for want of what it is measured against.

    The base is the base model's sample with the same prompt and seed.
    """

    motion: float | None = Field(
        default=None,
        description="Amount of motion: the mean length of the optical flow over all pixels and frames, in "
        "frame widths a second. 0.1: on average the picture moves by a tenth of its width each second.",
    )
    motion_of_base: float | None = Field(default=None, description="The same, of the base.")
    likeness: float | None = Field(
        default=None, description="To the nearest training frame, 0 to 1; the highest of all frames."
    )
    likeness_of_base: float | None = Field(default=None, description="The same, of the base.")
    nearest: str = Field(default="", description="Id of the clip that holds the nearest training frame.")
    nearest_s: float = Field(default=0.0, description="Where in that clip the frame is, in seconds.")
    sharpness: float | None = Field(
        default=None, description="Share of the picture's contrast that lies in fine detail, less its noise."
    )
    sharpness_of_base: float | None = Field(default=None, description="The same, of the base.")
    change: float | None = Field(
        default=None, description="Mean absolute difference to the base, in steps of 0 to 255."
    )
    prompt_agreement: float | None = Field(
        default=None,
        description="Mean cosine of prompt and frames by a CLIP model; None: there is none here.",
    )
    prompt_agreement_of_base: float | None = Field(default=None, description="The same, of the base.")
