"""The groups of a recipe's settings, each typed, with its range and the sentence that the app shows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ltx_wizard.core.bucket_size import parse_bucket
from ltx_wizard.core.documents import Settings
from ltx_wizard.core.errors import BadSetting

ATTENTION_MODULES = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD_MODULES = ("ff.net.0.proj", "ff.net.2")

LARGEST_SEED = 2**32 - 1
"""The largest that every random generator takes."""

LARGEST_SIDE_PX, MOST_FRAMES = 4096, 1024
"""More than any card holds, of clips and of samples: a slip of the keyboard."""

Precision = Literal["bf16", "fp16", "fp32"]
Quantization = Literal["none", "fp8-quanto", "int8-quanto", "int4-quanto", "int8-bnb", "nf4-bnb"]
Offload = Literal["none", "blocks"]
OptimizerName = Literal["adamw", "adamw8bit", "paged-adamw8bit"]
ScheduleName = Literal["linear", "cosine", "constant"]
SigmaSampling = Literal["shifted_logit_normal", "stretched_logit_normal", "uniform"]
Mirroring = Literal["off", "safe", "all"]


class LoraSettings(Settings):
    """The LoRA itself."""

    rank: int = Field(
        default=128,
        ge=1,
        le=512,
        description="Size of the LoRA. Higher learns more detail and needs more memory and more clips.",
    )
    alpha: float = Field(
        default=128,
        gt=0,
        le=1024,
        description="Scale: the update is multiplied by alpha / rank. Keep it equal to the rank unless you know why not.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of LoRA inputs dropped in training. Rarely needed for video.",
    )
    target_modules: tuple[str, ...] = Field(
        default=ATTENTION_MODULES,
        min_length=1,
        description="The layers that get a LoRA: attention only, or attention and feed-forward for stronger changes.",
    )

    @field_validator("target_modules", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """The guide's files write the modules as one string with spaces."""
        return tuple(value.split()) if isinstance(value, str) else value


class OptimizerSettings(Settings):
    """How the weights move."""

    name: OptimizerName = Field(
        default="adamw",
        description="adamw, or adamw8bit, which keeps its state in 8 bits (NVIDIA cards only); the paged form moves that state to main memory when the card is full.",
    )
    lr: float = Field(
        default=2e-4,
        gt=0,
        le=0.1,
        description="Learning rate: how far one step goes. Lower with more steps is safer than higher with fewer.",
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Memory of the direction.")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="Memory of the size of gradients.")
    epsilon: float = Field(default=1e-8, gt=0, le=1e-2, description="Keeps the division safe.")
    weight_decay: float = Field(
        default=0.001, ge=0, le=1, description="Pulls weights towards zero, a little."
    )
    max_grad_norm: float = Field(
        default=1.0, gt=0, le=100, description="Longer gradients are shortened to this length."
    )


class ScheduleSettings(Settings):
    """How the learning rate changes over the run."""

    name: ScheduleName = Field(
        default="linear",
        description="After warm-up the learning rate falls in a line, falls in a cosine, or stays.",
    )
    warmup_steps: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="Steps in which the learning rate rises from zero: 5 to 10 % of all steps.",
    )
    cycles: int = Field(default=1, ge=1, le=20, description="How often a cosine schedule starts again.")


class DataSettings(Settings):
    """What a step sees."""

    buckets: tuple[str, ...] = Field(
        default=(),
        description="Sizes to train at, as width x height x frames, e.g. 768x512x49. Empty: the model's own default.",
    )
    batch_size: int = Field(default=1, ge=1, le=64, description="Clips in one forward pass.")
    gradient_accumulation_steps: int = Field(
        default=1,
        ge=1,
        le=256,
        description="Forward passes before one step. Gives the effect of a larger batch without its memory.",
    )
    caption_dropout: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of clips trained with an empty caption, so that guidance keeps working.",
    )
    regularisation_share: float = Field(
        default=0.4,
        ge=0,
        lt=1,
        description="Share of draws that come from regularisation clips, where the dataset has any.",
    )
    first_frame_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of clips whose first frame is given, so that image-to-video works.",
    )
    held_out_share: float = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="Share of clips kept out of training to measure the validation loss.",
    )
    mirror: Mirroring = Field(
        default="off",
        description="Train each clip mirrored, too. safe: not those whose caption names left, right or something written. all: these too, with left and right exchanged in the caption; writing will be reversed.",
    )
    colour_copies: int = Field(
        default=0,
        ge=0,
        le=4,
        description="Extra copies of each clip with a little other light and colour. Other speeds, hard crops and other colour spaces are not offered: they teach wrong motion, pictures that the caption does not fit, and false colours.",
    )
    brightness: float = Field(
        default=0.1, ge=0, le=0.1, description="Most change of brightness in such a copy: 0.1 is 10 %."
    )
    contrast: float = Field(
        default=0.1, ge=0, le=0.1, description="Most change of contrast in such a copy: 0.1 is 10 %."
    )
    saturation: float = Field(
        default=0.05, ge=0, le=0.1, description="Most change of saturation in such a copy: 0.05 is 5 %."
    )
    first_frame_blur: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="Blur of a first frame that is given, in pixels: a remedy where videos made from an image barely move. Try 1; 0: none.",
    )

    @field_validator("buckets")
    @classmethod
    def _bucket_shapes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for bucket in value:
            parse_bucket(bucket)
        return value


class NoiseSettings(Settings):
    """Which noise levels (sigma, 0 to 1) training visits."""

    sampling: SigmaSampling = Field(
        default="stretched_logit_normal",
        description="stretched covers all noise levels at every size; shifted_logit_normal is what the official trainer does.",
    )
    clamp_shift: bool = Field(
        default=False,
        description="Keep the shift within the range of the model's own schedule (official-compatible: off).",
    )
    uniform_share: float = Field(
        default=0.1, ge=0, le=1, description="Share of draws from all noise levels alike."
    )
    high_sigma_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Extra share of draws from very noisy levels, where words decide: helps a trigger word to take hold.",
    )
    high_sigma_min: float = Field(default=0.85, ge=0, lt=1, description="Lowest sigma of those extra draws.")


class MemorySettings(Settings):
    """What is given up to fit on the card."""

    precision: Precision = Field(
        default="bf16",
        description="Number format of the frozen model. A computer without a GPU calculates in fp32 whatever this says.",
    )
    quantization: Quantization = Field(
        default="none", description="Store the frozen model in fewer bits. Saves memory, costs some speed."
    )
    offload: Offload = Field(
        default="none",
        description="blocks: keep the frozen model in main memory and bring one block at a time to the card (NVIDIA cards only). Needs little graphics memory and much more time.",
    )
    text_encoder_8bit: bool = Field(
        default=False, description="Load the text encoder in 8 bits (NVIDIA cards only)."
    )
    gradient_checkpointing: bool = Field(
        default=True,
        description="Compute activations twice instead of keeping them. Saves much memory, costs about a third more time.",
    )
    vae_slicing: bool = Field(default=True, description="Encode and decode one clip at a time.")
    vae_tiling: bool = Field(default=True, description="Encode and decode large pictures in tiles.")
    step_down: bool = Field(
        default=True,
        description="When the card runs out of memory, switch to the next setting that needs less and go on from the last step. Off: the run stops.",
    )


OFFLOADABLE: tuple[Quantization, ...] = ("none", "fp8-quanto", "int8-quanto")
"""How the frozen model may be stored where its blocks wait in main memory."""


def check_offload(memory: MemorySettings) -> None:
    """Raises BadSetting where blocks cannot wait in main memory: in this format, or without recompute, for
    then the backward pass would meet the weights of another block.
    """
    if memory.offload != "blocks":
        return
    problems, remedies = list[str](), list[str]()
    if memory.quantization not in OFFLOADABLE:
        problems.append(f"with {', '.join(OFFLOADABLE)}, not with {memory.quantization}")
        remedies.append("set 'Quantization' to fp8-quanto")
    if not memory.gradient_checkpointing:
        problems.append("only together with gradient checkpointing")
        remedies.append("switch 'Gradient checkpointing' on")
    if problems:
        remedy = " and ".join(remedies)
        raise BadSetting(
            problem=f"Offloading works {', and '.join(problems)}.",
            remedy=f"{remedy[:1].upper()}{remedy[1:]}, or set 'Offload' to none.",
        )


class CheckpointSettings(Settings):
    """What is kept on disk."""

    every: int = Field(default=200, ge=1, le=100_000, description="Save a checkpoint every so many steps.")
    keep: int = Field(
        default=10, ge=1, le=1000, description="Keep the newest checkpoints, delete older ones."
    )


class ValidationSettings(Settings):
    """Sample videos and the loss on held-out clips, during training."""

    prompts: tuple[str, ...] = Field(
        default=(), description="What the sample videos show. Write {trigger} where the trigger word goes."
    )
    negative_prompt: str = Field(
        default="worst quality, inconsistent motion, blurry, jittery, distorted",
        description="What the sample videos should not look like.",
    )
    every: int = Field(default=200, ge=1, le=100_000, description="Make sample videos every so many steps.")
    sampling_steps: int = Field(
        default=40, ge=2, le=200, description="Steps of one sample video. 40 to 50 for judging quality."
    )
    guidance: float = Field(
        default=3.5,
        ge=1,
        le=20,
        description="How strongly the prompt counts. 3.0 to 3.5 for standard models, 1 for distilled ones.",
    )
    first_frame: bool = Field(
        default=False,
        description="Also make each sample from the first frame of a clip (image-to-video), beside the one from words alone.",
    )
    first_frame_guidance: float = Field(
        default=4.5, ge=1, le=20, description="How strongly the prompt counts in image-to-video: 4 to 5."
    )
    width: int = Field(
        default=0, ge=0, le=LARGEST_SIDE_PX, description="Width of sample videos; 0: as in training."
    )
    height: int = Field(
        default=0, ge=0, le=LARGEST_SIDE_PX, description="Height of sample videos; 0: as in training."
    )
    frames: int = Field(
        default=0, ge=0, le=MOST_FRAMES, description="Frames of sample videos; 0: as in training."
    )
    seed: int = Field(
        default=42,
        ge=0,
        le=LARGEST_SEED,
        description="The same seed every time, so that only the training differs.",
    )
    loss_every: int = Field(
        default=50, ge=1, le=100_000, description="Measure the loss on held-out clips every so many steps."
    )

    loss_clips: int = Field(
        default=8,
        ge=1,
        le=100,
        description="Measure it on at most so many held-out clips. More is steadier and takes longer.",
    )

    def size_for(self, bucket: str) -> tuple[int, int, int]:
        """Width, height, frames of the samples where clips are trained in this bucket."""
        width, height, frames = parse_bucket(bucket)
        return self.width or width, self.height or height, self.frames or frames


class HealthSettings(Settings):
    """What happens when a training goes wrong, or has gone on for too long."""

    bad_steps: int = Field(
        default=3,
        ge=1,
        le=100,
        description="A step whose loss or gradient is not a number changes nothing. After so many in a row the run goes back to its last good checkpoint.",
    )
    watch_divergence: bool = Field(
        default=True,
        description="Go back as well when the loss has climbed far above where it was and stays there.",
    )
    go_backs: int = Field(
        default=1,
        ge=0,
        le=10,
        description="How often the run may go back before it stops with an explanation.",
    )
    go_back_lr: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The learning rate is multiplied by this each time the run goes back: the same rate would break it again.",
    )
    keep_best: bool = Field(
        default=True,
        description="Keep the checkpoint with the lowest validation loss on disk, too, and offer it first.",
    )
    early_stop: bool = Field(
        default=False,
        description="End the run once the validation loss has clearly risen while the training loss falls. Quality may fall and rise again between checkpoints: leave it off if you want to compare them all.",
    )


class TrackerSettings(Settings):
    """Where the numbers of a run go besides LTX Wizard's own plots."""

    tensorboard: bool = Field(
        default=False,
        description="Also write the numbers for TensorBoard, into the folder of the run. Look at them with: tensorboard --logdir, and the project's folder runs.",
    )
    wandb: bool = Field(
        default=False,
        description="Also write the numbers for Weights & Biases, into the folder of the run.",
    )
    wandb_mode: Literal["offline", "online"] = Field(
        default="offline",
        description="offline: nothing leaves this computer; 'wandb sync' uploads the run later. online: numbers and settings go to wandb.ai while it trains; run 'wandb login' first.",
    )
    trackio: bool = Field(
        default=False,
        description="Also write the numbers for trackio, on this computer. Look at them with: trackio show.",
    )
    project: str = Field(
        default="ltx-wizard",
        pattern=r"^[A-Za-z0-9._-]{1,80}$",
        description="Name under which W&B and trackio collect the runs.",
    )
