"""Words that several steps use."""

from __future__ import annotations

from ltx_wizard.core.project import Goal

GOAL_TITLES: dict[Goal, str] = {
    Goal.STYLE: "Style",
    Goal.CHARACTER: "Character",
    Goal.MOTION: "Motion or effect",
    Goal.CONTROL: "Control",
    Goal.DETAIL: "Detail",
}

GOAL_SENTENCES: dict[Goal, str] = {
    Goal.STYLE: "Everything looks like your material: colours, light, brush.",
    Goal.CHARACTER: "One person, animal or thing that stays itself.",
    Goal.MOTION: "A way of moving, a transition, a visual effect.",
    Goal.CONTROL: "One video steers another: pose, depth, edges.",
    Goal.DETAIL: "Crisper texture, closer to your footage.",
}


def setting_title(key: str) -> str:
    """'optimizer.weight_decay' -> 'Weight decay'."""
    name = key.rsplit(".", 1)[-1]
    special = {
        "lr": "Learning rate",
        "every": "Every N steps",
        "keep": "Checkpoints kept",
        "loss_every": "Validation loss every N steps",
        "loss_clips": "Clips in the validation loss",
        "bad_steps": "Bad steps before going back",
        "watch_divergence": "Go back when the loss climbs",
        "go_backs": "Times it may go back",
        "go_back_lr": "Learning rate after going back",
        "keep_best": "Keep the best checkpoint",
        "early_stop": "Stop early",
        "name": "Kind",
        "tensorboard": "TensorBoard",
        "wandb": "Weights & Biases",
        "wandb_mode": "Weights & Biases mode",
    }
    if key == "validation.every":
        return "Samples every N steps"
    if key == "checkpoints.every":
        return "Checkpoint every N steps"
    return special.get(name, name.replace("_", " ").capitalize())


def value_text(value: object) -> str:
    """As it is typed: 0.0002, 1500, true, 'a b c'."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, (tuple, list)):
        texts = [str(item) for item in value]
        return ("\n" if any(" " in text for text in texts) else " ").join(texts)
    return str(value)
