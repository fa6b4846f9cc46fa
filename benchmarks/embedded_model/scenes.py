"""What happens in a synthetic clip, as numbers: objects, their paths, the ground, the camera and the style.

A `Scenes` holds many scenes as tensors; `sample_scenes` draws them from a generator, `clips.render` draws
their pictures and `captions.caption` puts them into words. Lengths are in half the shorter side of the
picture: the picture's shorter side reaches from -1 to 1. N: scenes, K: object slots.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from shapes import SHAPES
from torch import Tensor

SHAPE_NAMES = tuple(SHAPES)

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.12, 0.12),
    "orange": (0.98, 0.55, 0.08),
    "yellow": (0.98, 0.90, 0.15),
    "green": (0.12, 0.65, 0.20),
    "cyan": (0.10, 0.80, 0.85),
    "blue": (0.13, 0.25, 0.88),
    "purple": (0.52, 0.16, 0.72),
    "pink": (0.98, 0.45, 0.72),
    "white": (0.97, 0.97, 0.97),
    "brown": (0.45, 0.26, 0.10),
    "black": (0.05, 0.05, 0.05),
}
COLOUR_NAMES = tuple(COLOURS)
NEON_COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white")

GROUNDS: dict[str, tuple[float, float, float]] = {
    "grey": (0.60, 0.60, 0.60),
    "white": (0.94, 0.94, 0.93),
    "beige": (0.87, 0.80, 0.65),
    "light blue": (0.62, 0.79, 0.93),
    "pale green": (0.70, 0.88, 0.68),
    "lavender": (0.78, 0.72, 0.93),
    "peach": (0.97, 0.77, 0.63),
    "slate": (0.36, 0.40, 0.46),
}
GROUND_NAMES = tuple(GROUNDS)

PATTERNS = ("plain", "striped", "checkered", "dotted", "fading", "cloudy", "gridded")
BASE_PATTERNS = 5
SIZES = ("small", "medium", "large")
SIZE_RANGES = ((0.20, 0.25), (0.31, 0.37), (0.45, 0.53))
SPEEDS = ("slow", "normal", "fast")
REACH_RANGES = ((0.20, 0.27), (0.36, 0.48), (0.58, 0.66))
CAMERAS = ("static", "right", "left", "up", "down", "in", "out")
MOTIONS = (
    "still",
    "right",
    "left",
    "up",
    "down",
    "circles",
    "bounces",
    "grows",
    "shrinks",
    "spins",
    "zigzag",
)
BASE_MOTIONS = 10
STILL, RIGHT, LEFT, UP, DOWN, CIRCLES, BOUNCES, GROWS, SHRINKS, SPINS, ZIGZAG = range(len(MOTIONS))
_BESIDE = (STILL, UP, DOWN, BOUNCES, GROWS, SHRINKS, SPINS, CIRCLES)
_ABOVE = (STILL, RIGHT, LEFT, GROWS, SHRINKS, SPINS, CIRCLES)

SLOTS = 4
"""Object slots of a scene: two for ordinary scenes, four for the held-out character."""

STYLE_WORDS = (
    "koganiw", "belotra", "vimsulo", "darnique", "fosquil", "gremola", "huvandi",
    "jaskemo", "kulprine", "lorbetu", "mesquan", "norvilda", "pilmaro", "quendil",
    "rastuvo", "selmorin", "tavquist", "ulbrano", "vexolim", "wandriko", "xilpano",
    "yormeka", "zentavil", "brimolka", "cadresun", "drovelim", "elkupran", "gaviston",
)  # fmt: skip
"""Made-up words, each bound to one look in the training captions, so that the model learns that a word it
does not know may name a style. 28: that many worked, a few made-up words without a look did not."""


@dataclass(frozen=True)
class Look:
    """How everything looks in the clips of one style word.

    Grounds are never as dark as those of the
    held-out neon style: the mean of their channels is above .27, there it is below .14."""

    ground: tuple[float, float, float]
    tint: tuple[float, float, float]
    tint_amount: float
    rim: tuple[float, float, float]
    rim_width: float
    hollow: bool


def looks() -> tuple[Look, ...]:
    """One look per style word, always the same ones."""
    random = torch.Generator().manual_seed(28)
    result: list[Look] = []
    for index in range(len(STYLE_WORDS)):
        hue = (index * 0.382) % 1.0
        value = (0.92, 0.72, 0.56)[index % 3]
        ground = _hsv_to_rgb(hue, 0.35 + 0.4 * _one(random), value)
        tint = _hsv_to_rgb(_one(random), 0.8, 0.9)
        rim_colours = ((1.0, 1.0, 1.0), (0.05, 0.05, 0.05), _hsv_to_rgb(_one(random), 0.9, 0.9))
        result.append(
            Look(
                ground=ground,
                tint=tint,
                tint_amount=(0.0, 0.0, 0.22)[int(_one(random) * 3)],
                rim=rim_colours[int(_one(random) * 3)],
                rim_width=(0.0, 0.06, 0.11)[int(_one(random) * 3)],
                hollow=index % 5 == 4,
            )
        )
    return tuple(result)


@dataclass(frozen=True)
class Scenes:
    """N scenes as tensors. The *_id tensors are what captions are written from; the rest is what is drawn."""

    present: Tensor  # [N, K] bool
    shape_id: Tensor  # [N, K]
    colour_id: Tensor  # [N, K], -1: a colour without a name
    colour: Tensor  # [N, K, 3]
    size_id: Tensor  # [N, K]
    radius: Tensor  # [N, K]
    motion_id: Tensor  # [N, K]
    speed_id: Tensor  # [N, K]
    centre: Tensor  # [N, K, 2], middle of the path
    reach: Tensor  # [N, K], half the length of the path
    turns: Tensor  # [N, K], revolutions or bounces in one clip, signed for spinning
    phase: Tensor  # [N, K], radians
    tilt: Tensor  # [N, K], radians
    offset: Tensor  # [N, K, 2], of a character's part, in units of `radius` of slot 0
    layout_id: Tensor  # [N], 0: alone, 1: side by side, 2: one above the other, 3: a character
    ground_id: Tensor  # [N], -1: a ground without a name
    ground: Tensor  # [N, 3]
    pattern_id: Tensor  # [N]
    pattern_phase: Tensor  # [N, 2]
    pattern_scale: Tensor  # [N]
    pattern_depth: Tensor  # [N], how much the second ground colour differs
    cloud: Tensor  # [N, 3, 5, 5], the noise behind a cloudy ground
    camera_id: Tensor  # [N]
    camera_amount: Tensor  # [N]
    rim_named: Tensor  # [N] bool, the caption may mention the black rim
    rim: Tensor  # [N, 3]
    rim_width: Tensor  # [N], 0: none
    line_width: Tensor  # [N], 0: filled, else a hollow shape drawn with a line of this half width
    glow: Tensor  # [N], 0: none
    core: Tensor  # [N], how white the middle of a glowing line is
    tint: Tensor  # [N, 3]
    tint_amount: Tensor  # [N]
    style_id: Tensor  # [N], index into STYLE_WORDS, -1: none

    def __len__(self) -> int:
        return len(self.ground)

    def __getitem__(self, rows: slice | Tensor) -> Scenes:
        return Scenes(**{f.name: getattr(self, f.name)[rows] for f in dataclasses.fields(self)})

    def to(self, device: torch.device | str) -> Scenes:
        return Scenes(
            **{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in dataclasses.fields(self)}
        )


def concatenate(parts: list[Scenes]) -> Scenes:
    """All scenes of the parts, in order."""
    names = [f.name for f in dataclasses.fields(Scenes)]
    return Scenes(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def sample_scenes(count: int, random: torch.Generator, style_share: float = 0.35) -> Scenes:
    """Ordinary scenes, as the transformer sees them; `style_share` of them in the look of a style word.

    random: a CPU generator. The result lies on the CPU.
    """
    ground_id = _integers(random, len(GROUND_NAMES), count)
    ground = torch.tensor(list(GROUNDS.values()))[ground_id] + _spread(random, 0.02, count, 3)
    styled = torch.rand(count, generator=random) < style_share
    style_id = torch.where(styled, _integers(random, len(STYLE_WORDS), count), torch.full((count,), -1))
    table = looks()
    look_ground = torch.tensor([look.ground for look in table])[style_id]
    ground = torch.where(styled[:, None], look_ground + _spread(random, 0.015, count, 3), ground).clamp(0, 1)
    pattern_id = _integers(random, BASE_PATTERNS, count)
    pattern_id = torch.where(
        torch.rand(count, generator=random) < 0.30, torch.zeros_like(pattern_id), pattern_id
    )

    layout_id = _layouts(random, count)
    colour_id, colour = _named_colours(random, ground, torch.ones(len(COLOUR_NAMES), dtype=torch.bool))
    shape_id = _integers(random, len(SHAPE_NAMES), count, SLOTS)
    motion_id = _motions(random, layout_id, shape_id)
    rimmed = (torch.rand(count, generator=random) < 0.20) & ~styled
    rim = torch.where(
        styled[:, None], torch.tensor([look.rim for look in table])[style_id], torch.tensor(0.04)
    )
    rim_width = torch.where(
        styled, torch.tensor([look.rim_width for look in table])[style_id], rimmed * 0.065
    )
    hollow = styled & torch.tensor([look.hollow for look in table])[style_id]
    cameras = torch.rand(count, generator=random) < 0.18
    return Scenes(
        **_objects(random, layout_id, shape_id, colour_id, colour, motion_id),
        ground_id=torch.where(styled, torch.full_like(ground_id, -1), ground_id),
        ground=ground,
        **_ground_details(random, count, pattern_id),
        camera_id=torch.where(cameras, _integers(random, len(CAMERAS) - 1, count) + 1, 0),
        camera_amount=_uniform(random, 0.3, 0.5, count),
        rim_named=rimmed & (colour_id[:, 0] != COLOUR_NAMES.index("black")),
        rim=rim,
        rim_width=rim_width,
        line_width=hollow * 0.06,
        glow=torch.zeros(count),
        core=torch.zeros(count),
        tint=torch.tensor([look.tint for look in table])[style_id],
        tint_amount=styled * torch.tensor([look.tint_amount for look in table])[style_id],
        style_id=style_id,
    )


def single_scenes(
    count: int,
    random: torch.Generator,
    *,
    shape: int | None = None,
    colour: int | None = None,
    motion: int | None = None,
    size: int | None = None,
) -> Scenes:
    """Unstyled scenes of one object on a plain ground, static camera, with the fields given fixed."""
    scenes = sample_scenes(count * 4, random, style_share=0.0)
    rows = torch.arange(count)
    present = torch.zeros(count * 4, SLOTS, dtype=torch.bool)
    present[:, 0] = True
    scenes = dataclasses.replace(
        scenes,
        present=present,
        pattern_id=torch.zeros_like(scenes.pattern_id),
        camera_id=torch.zeros_like(scenes.camera_id),
        layout_id=torch.zeros_like(scenes.layout_id),
    )[rows]
    shape_id, colour_id, motion_id = (
        scenes.shape_id.clone(),
        scenes.colour_id.clone(),
        scenes.motion_id.clone(),
    )
    size_id = scenes.size_id.clone()
    if shape is not None:
        shape_id[:, 0] = shape
    if motion is not None:
        motion_id[:, 0] = motion
    if colour is not None:
        colour_id[:, 0] = colour
    if size is not None:
        size_id[:, 0] = size
    layout = torch.zeros(count, dtype=torch.long)
    values = torch.tensor(list(COLOURS.values()))[colour_id]
    objects = _objects(random, layout, shape_id, colour_id, values, motion_id, size_id)
    return dataclasses.replace(scenes, **objects)


def neon_scenes(count: int, random: torch.Generator, two_share: float = 0.0) -> Scenes:
    """Held-out style: dark ground, hollow shape, glowing outline. Only the VAE ever sees it."""
    scenes = sample_scenes(count, random, style_share=0.0)
    allowed = torch.tensor([name in NEON_COLOURS for name in COLOUR_NAMES])
    ground = _dark_grounds(random, count)
    colour_id, colour = _named_colours(random, ground, allowed)
    layout = scenes.layout_id * (torch.rand(count, generator=random) < two_share)
    motion_id = _motions(random, layout, scenes.shape_id)
    plain = torch.zeros(count)
    return dataclasses.replace(
        scenes,
        **_objects(random, layout, scenes.shape_id, colour_id, colour, motion_id),
        ground=ground,
        ground_id=torch.full((count,), -1),
        pattern_id=torch.zeros_like(scenes.pattern_id),
        camera_id=torch.zeros_like(scenes.camera_id),
        rim_named=torch.zeros(count, dtype=torch.bool),
        rim_width=plain,
        line_width=torch.full((count,), 0.075),
        glow=torch.full((count,), 0.75),
        core=torch.full((count,), 0.35),
    )


def blueprint_scenes(count: int, random: torch.Generator) -> Scenes:
    """Held-out style: white line drawing on a deep blue ground with a fine grid."""
    scenes = neon_scenes(count, random)
    white = torch.full_like(scenes.colour, 0.95)
    blue = torch.tensor((0.08, 0.24, 0.55)).expand(count, 3) + _spread(random, 0.01, count, 3)
    return dataclasses.replace(
        scenes,
        colour=white,
        ground=blue,
        pattern_id=torch.full((count,), PATTERNS.index("gridded")),
        line_width=torch.full((count,), 0.04),
        glow=torch.zeros(count),
        core=torch.zeros(count),
    )


def silhouette_scenes(count: int, random: torch.Generator) -> Scenes:
    """Held-out style: black shapes before an evening sky that fades from orange to purple."""
    scenes = neon_scenes(count, random)
    sky = torch.tensor((0.98, 0.58, 0.25)).expand(count, 3) + _spread(random, 0.02, count, 3)
    return dataclasses.replace(
        scenes,
        colour=torch.full_like(scenes.colour, 0.03),
        ground=sky.clamp(0, 1),
        pattern_id=torch.full((count,), PATTERNS.index("fading")),
        pattern_depth=torch.full((count,), 1.0),
        line_width=torch.zeros(count),
        glow=torch.zeros(count),
        core=torch.zeros(count),
    )


def character_scenes(count: int, random: torch.Generator) -> Scenes:
    """Held-out character 'Bippo': an orange square body, a cyan round head and two yellow triangular ears."""
    scenes = sample_scenes(count, random, style_share=0.0)
    layout = torch.full((count,), 3)
    names = ("square", "circle", "triangle", "triangle")
    shape_id = torch.tensor([SHAPE_NAMES.index(name) for name in names]).expand(count, SLOTS)
    colour_id = torch.tensor([COLOUR_NAMES.index(c) for c in ("orange", "cyan", "yellow", "yellow")])
    colour = torch.tensor(list(COLOURS.values()))[colour_id].expand(count, SLOTS, 3)
    motion_id = scenes.motion_id[:, :1].expand(count, SLOTS)
    motion_id = torch.where(motion_id == SPINS, torch.full_like(motion_id, STILL), motion_id)
    return dataclasses.replace(
        scenes, **_objects(random, layout, shape_id, colour_id.expand(count, SLOTS), colour, motion_id)
    )


def zigzag_scenes(count: int, random: torch.Generator) -> Scenes:
    """Held-out motion: the object crosses the picture on a zigzag line."""
    scenes = sample_scenes(count, random, style_share=0.0)
    layout = torch.zeros(count, dtype=torch.long)
    motion_id = torch.full((count, SLOTS), ZIGZAG)
    return dataclasses.replace(
        scenes, **_objects(random, layout, scenes.shape_id, scenes.colour_id, scenes.colour, motion_id)
    )


def wide_scenes(count: int, random: torch.Generator) -> Scenes:
    """Everything that only the VAE sees: free colours, dark grounds, glowing lines, all held-out kinds."""
    seventh = count // 7
    parts = [
        neon_scenes(2 * seventh, random, two_share=0.5),
        blueprint_scenes(seventh // 2, random),
        silhouette_scenes(seventh - seventh // 2, random),
        character_scenes(seventh // 2, random),
        zigzag_scenes(seventh - seventh // 2, random),
    ]
    parts.append(_free_scenes(count - sum(len(part) for part in parts), random))
    return concatenate(parts)


def _free_scenes(count: int, random: torch.Generator) -> Scenes:
    scenes = sample_scenes(count, random, style_share=0.3)
    dark = torch.rand(count, generator=random) < 0.4
    ground = torch.where(
        dark[:, None], _dark_grounds(random, count) * 2.0, torch.rand(count, 3, generator=random)
    )
    clouds = torch.rand(count, generator=random) < 0.25
    lines = torch.rand(count, generator=random) < 0.3
    glows = torch.rand(count, generator=random) < 0.3
    return dataclasses.replace(
        scenes,
        colour=torch.rand(count, SLOTS, 3, generator=random),
        ground=ground,
        pattern_id=torch.where(clouds, PATTERNS.index("cloudy"), scenes.pattern_id),
        pattern_depth=_uniform(random, 0.0, 1.0, count),
        line_width=lines * _uniform(random, 0.04, 0.09, count),
        glow=glows * _uniform(random, 0.3, 0.9, count),
        core=_uniform(random, 0.0, 0.5, count),
        rim=torch.rand(count, 3, generator=random),
    )


def _layouts(random: torch.Generator, count: int) -> Tensor:
    two = torch.rand(count, generator=random) < 0.28
    return torch.where(two, _integers(random, 2, count) + 1, 0)


def _named_colours(random: torch.Generator, ground: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Named colours per slot that stand out from the ground. Gives ids [N, K] and values [N, K, 3]."""
    values = torch.tensor(list(COLOURS.values()))
    distance = torch.cdist(ground, values)
    score = (
        torch.rand(len(ground), len(values), generator=random) - 10.0 * (distance < 0.42) - 100.0 * ~allowed
    )
    ids = score.argsort(dim=1, descending=True)[:, :SLOTS]
    colour = values[ids] + _spread(random, 0.03, *ids.shape, 3)
    return ids, colour.clamp(0, 1)


def _motions(random: torch.Generator, layout_id: Tensor, shape_id: Tensor) -> Tensor:
    """Motions that keep two objects apart; round shapes do not spin, because nobody would see it."""
    count = len(layout_id)
    weights = torch.ones(3, BASE_MOTIONS)
    weights[0, [RIGHT, LEFT, UP, DOWN]] = 1.7
    weights[1] = torch.tensor([float(m in _BESIDE) for m in range(BASE_MOTIONS)])
    weights[2] = torch.tensor([float(m in _ABOVE) for m in range(BASE_MOTIONS)])
    weights[2, [RIGHT, LEFT]] = 1.7
    weights[1, [UP, DOWN]] = 1.7
    motions = torch.multinomial(weights[layout_id.clamp(max=2)], SLOTS, replacement=True, generator=random)
    round_shape = (shape_id == SHAPE_NAMES.index("circle")) | (shape_id == SHAPE_NAMES.index("ring"))
    other = _integers(random, 2, count, SLOTS) + GROWS
    return torch.where((motions == SPINS) & round_shape, other, motions)


def _objects(
    random: torch.Generator,
    layout_id: Tensor,
    shape_id: Tensor,
    colour_id: Tensor,
    colour: Tensor,
    motion_id: Tensor,
    size_id: Tensor | None = None,
) -> dict[str, Tensor]:
    """The fields of `Scenes` that describe objects, with places and sizes that suit the layout."""
    count = len(layout_id)
    alone, beside, above, character = (layout_id == index for index in range(4))
    paired = (beside | above)[:, None]
    if size_id is None:
        size_id = _integers(random, len(SIZES), count, SLOTS)
    size_id = torch.where(paired, size_id.clamp(max=1), size_id)
    ranges = torch.tensor(SIZE_RANGES)[size_id]
    radius = ranges[..., 0] + (ranges[..., 1] - ranges[..., 0]) * torch.rand(count, SLOTS, generator=random)
    speed_id = _integers(random, len(SPEEDS), count, SLOTS)
    reaches = torch.tensor(REACH_RANGES)[speed_id]
    reach = reaches[..., 0] + (reaches[..., 1] - reaches[..., 0]) * torch.rand(count, SLOTS, generator=random)
    centre = _spread(random, 0.12, count, SLOTS, 2)
    unmoving = (motion_id == STILL) | (motion_id == GROWS) | (motion_id == SHRINKS) | (motion_id == SPINS)
    centre = torch.where((unmoving & alone[:, None])[..., None], centre * 2.5, centre)
    side = torch.tensor([[-0.5, 0.0], [0.5, 0.0], [0.0, 0.0], [0.0, 0.0]])
    centre = torch.where(beside[:, None, None], centre * 0.6 + side, centre)
    centre = torch.where(above[:, None, None], centre * 0.6 + side.flip(-1), centre)
    round_trip = (motion_id == CIRCLES) | (motion_id == BOUNCES)
    reach = torch.where(round_trip, reach.clamp(0.3, 0.45), reach)
    reach = torch.where(paired & (motion_id == CIRCLES), torch.full_like(reach, 0.2), reach)
    turns = _uniform(random, 0.9, 1.3, count, SLOTS)
    turns = torch.where(motion_id == BOUNCES, _integers(random, 2, count, SLOTS) + 2.0, turns)
    sign = _integers(random, 2, count, SLOTS) * 2.0 - 1.0
    turns = torch.where(motion_id == SPINS, turns * 0.55 * sign, turns)
    offset = torch.zeros(count, SLOTS, 2)
    if bool(character.any()):
        parts = torch.tensor([[0.0, 0.55], [0.0, -0.75], [-0.5, -1.45], [0.5, -1.45]])
        part_sizes = torch.tensor([0.75, 0.72, 0.32, 0.32])
        offset = torch.where(character[:, None, None], parts, offset)
        first = slice(0, 1)
        radius = torch.where(character[:, None], radius[:, first].clamp(0.3, 0.42) * part_sizes, radius)
        offset = offset * (radius[:, first] / part_sizes[0])[..., None]
        whole = [reach, turns, speed_id]
        reach, turns, speed_id = (torch.where(character[:, None], x[:, first].expand_as(x), x) for x in whole)
        centre = torch.where(character[:, None, None], centre[:, first].expand_as(centre), centre)
    present = torch.zeros(count, SLOTS, dtype=torch.bool)
    present[:, 0] = True
    present[:, 1] = paired[:, 0] | character
    present[:, 2:] = character[:, None]
    upright = torch.where(character[:, None], 0.0, 1.0)
    return {
        "present": present,
        "shape_id": shape_id,
        "colour_id": colour_id,
        "colour": colour,
        "size_id": size_id,
        "radius": radius,
        "motion_id": motion_id,
        "speed_id": speed_id,
        "centre": centre,
        "reach": reach,
        "turns": turns,
        "phase": _uniform(random, 0.0, 6.283, count, 1).expand(count, SLOTS).clone(),
        "tilt": _spread(random, 0.1, count, SLOTS) * upright,
        "offset": offset,
        "layout_id": layout_id,
    }


def _ground_details(random: torch.Generator, count: int, pattern_id: Tensor) -> dict[str, Tensor]:
    return {
        "pattern_id": pattern_id,
        "pattern_phase": torch.rand(count, 2, generator=random),
        "pattern_scale": _uniform(random, 0.9, 1.2, count),
        "pattern_depth": torch.full((count,), 0.2),
        "cloud": torch.rand(count, 3, 5, 5, generator=random),
    }


def _dark_grounds(random: torch.Generator, count: int) -> Tensor:
    """Nearly black, with a breath of colour: brightness under .14."""
    return 0.02 + 0.11 * torch.rand(count, 3, generator=random) * torch.rand(count, 1, generator=random)


def _hsv_to_rgb(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    channels = [
        value - value * saturation * max(0.0, min(1.0, k, 4.0 - k))
        for k in ((n + hue * 6.0) % 6.0 for n in (5.0, 3.0, 1.0))
    ]
    return channels[0], channels[1], channels[2]


def _one(random: torch.Generator) -> float:
    return float(torch.rand((), generator=random))


def _uniform(random: torch.Generator, low: float, high: float, *size: int) -> Tensor:
    return low + (high - low) * torch.rand(*size, generator=random)


def _spread(random: torch.Generator, width: float, *size: int) -> Tensor:
    return _uniform(random, -width, width, *size)


def _integers(random: torch.Generator, limit: int, *size: int) -> Tensor:
    return torch.randint(0, limit, size, generator=random)
