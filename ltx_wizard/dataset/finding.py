"""What a check gives, and what it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ltx_wizard.core.clip import Clip, MediaKind
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import DataSettings
from ltx_wizard.dataset.buckets import BucketPlan
from ltx_wizard.dataset.quality import ClipQuality
from ltx_wizard.models.spec import ModelSpec

Level = Literal["must", "should", "fine"]


@dataclass(frozen=True)
class Finding:
    """level: must (training refuses), should, fine. fix: id of what the app can do; empty: nothing.

    clip_ids: the clips that it is about, and that the fix changes.
    """

    id: str
    level: Level
    title: str
    why: str
    remedy: str = ""
    clip_ids: tuple[str, ...] = ()
    fix: str = ""
    fix_label: str = ""


@dataclass(frozen=True)
class Dataset:
    """What the checks look at.

    project: None where there are no files to look at. measured: by clip id, what is known of the pictures.
    data: how the recipe uses the clips. names: what the files were called, by id of the source.
    """

    settings: ProjectSettings
    clips: Sequence[Clip]
    spec: ModelSpec
    plan: BucketPlan
    project: Project | None = None
    measured: Mapping[str, ClipQuality] = field(default_factory=dict[str, ClipQuality])
    data: DataSettings = field(default_factory=DataSettings)
    names: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def learnt(self) -> list[Clip]:
        """The clips that show what is to be learnt."""
        return [clip for clip in self.clips if not clip.regularisation]

    @property
    def videos(self) -> list[Clip]:
        return [clip for clip in self.clips if clip.kind is MediaKind.VIDEO]

    @property
    def captioned(self) -> list[Clip]:
        return [clip for clip in self.clips if clip.caption.strip()]

    @property
    def known(self) -> list[Clip]:
        """The clips that were looked at, also those that could not be read."""
        return [clip for clip in self.clips if clip.id in self.measured]

    @property
    def seen(self) -> list[Clip]:
        return [clip for clip in self.known if not self.measured[clip.id].problem]

    @property
    def seen_videos(self) -> list[Clip]:
        return [clip for clip in self.seen if clip.kind is MediaKind.VIDEO]
