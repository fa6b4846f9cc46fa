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
