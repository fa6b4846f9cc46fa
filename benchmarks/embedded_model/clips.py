"""The pictures of synthetic scenes: uint8 clips, drawn by torch on the CPU or a GPU.

`render` is a pure function of the scenes: all chance is in `scenes.py`, and all words are in `captions.py`.
Letters: N scenes, K object slots, F frames, H/W rows/columns of pixels.
"""

from __future__ import annotations

import math

import scenes as s
import torch
from scenes import Scenes
from shapes import SHAPES
from torch import Tensor
from torch.nn import functional

_CHUNK_PIXELS = 48_000_000
"""Pixels drawn at a time; bounds the working memory at about 3 GB."""
_GLOW_LENGTH = 0.10


def render(
    scenes: Scenes, frames: int, height: int, width: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Draw the scenes. Gives uint8 [N, F, H, W, 3] on the device."""
    result = torch.empty(len(scenes), frames, height, width, 3, dtype=torch.uint8, device=device)
    chunk = max(1, _CHUNK_PIXELS // (frames * height * width))
    for start in range(0, len(scenes), chunk):
        rows = slice(start, start + chunk)
        result[rows] = _render_chunk(scenes[rows].to(device), frames, height, width)
    return result


def _render_chunk(scenes: Scenes, frames: int, height: int, width: int) -> Tensor:
    points = _camera_points(scenes, frames, height, width)
    picture = _ground(scenes, points)
    pixel = 2.0 / min(height, width)
    aspect = points.new_tensor([width, height]) / min(height, width)
    for slot in range(s.SLOTS):
        rows = scenes.present[:, slot].nonzero()[:, 0]
        if len(rows):
            picture[rows] = _draw_object(picture[rows], points[rows], scenes[rows], slot, pixel, aspect)
    amount = scenes.tint_amount[:, None, None, None, None]
    picture = picture * (1.0 - amount) + scenes.tint[:, None, None, None] * amount
    return (picture.clamp(0.0, 1.0) * 255.0 + 0.5).to(torch.uint8)


def _camera_points(scenes: Scenes, frames: int, height: int, width: int) -> Tensor:
    """The point of the scene that each pixel shows, [N, F, H, W, 2]."""
    device = scenes.ground.device
    short = min(height, width)
    y = (torch.arange(height, device=device) + 0.5) * 2.0 / short - height / short
    x = (torch.arange(width, device=device) + 0.5) * 2.0 / short - width / short
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    progress = _progress(frames, device) - 0.5
    direction = torch.tensor([[0, 0], [1, 0], [-1, 0], [0, -1], [0, 1], [0, 0], [0, 0]], device=device)
    shift = direction[scenes.camera_id] * scenes.camera_amount[:, None]
    zooming = (
        torch.tensor([0.0, 0, 0, 0, 0, -1.0, 1.0], device=device)[scenes.camera_id] * scenes.camera_amount
    )
    zoom = torch.exp(zooming[:, None] * progress)
    moved = grid[None, None] * zoom[:, :, None, None, None]
    return moved + (shift[:, None] * progress[None, :, None])[:, :, None, None, :]


def _ground(scenes: Scenes, points: Tensor) -> Tensor:
    """The picture without objects, [N, F, H, W, 3]."""
    first = scenes.ground[:, None, None, None]
    darker = scenes.ground * (1.0 - scenes.pattern_depth[:, None])
    dusk = scenes.ground.new_tensor((0.30, 0.10, 0.38))
    second = torch.where((scenes.pattern_depth >= 1.0)[:, None], dusk, darker)[:, None, None, None]
    share = torch.zeros_like(points[..., 0])
    for index, name in enumerate(s.PATTERNS):
        rows = (scenes.pattern_id == index).nonzero()[:, 0]
        if len(rows) and name != "plain":
            share[rows] = _pattern(name, points[rows], scenes[rows])
    return first + (second - first) * share[..., None]


def _pattern(name: str, points: Tensor, scenes: Scenes) -> Tensor:
    """Share of the second ground colour, [N, F, H, W]."""
    per_scene = (slice(None), None, None, None)
    scale = scenes.pattern_scale[per_scene]
    x = points[..., 0] * scale + scenes.pattern_phase[:, 0][per_scene]
    y = points[..., 1] * scale + scenes.pattern_phase[:, 1][per_scene]
    if name == "striped":
        return _edge(torch.sin(x * 2.0 * math.pi * 2.0) * 0.16)
    if name == "checkered":
        return _edge(torch.sin(x * 5.5) * torch.sin(y * 5.5) * 0.25)
    if name == "dotted":
        nearest = torch.stack([(x * 1.8) % 1.0 - 0.5, (y * 1.8) % 1.0 - 0.5], dim=-1)
        return _edge((0.24 - nearest.norm(dim=-1)) * 0.55)
    if name == "gridded":
        lines = torch.minimum(((x * 3.0) % 1.0 - 0.5).abs(), ((y * 3.0) % 1.0 - 0.5).abs())
        return _edge((0.03 - lines) * 0.3)
    if name == "fading":
        return ((1.0 - points[..., 1]) / 2.0).clamp(0.0, 1.0)
    noise = functional.interpolate(scenes.cloud, size=points.shape[2:4], mode="bicubic", align_corners=True)
    return noise.mean(dim=1)[:, None].expand_as(x).clamp(0.0, 1.0)


def _draw_object(
    picture: Tensor, points: Tensor, scenes: Scenes, slot: int, pixel: float, aspect: Tensor
) -> Tensor:
    """The picture [N, F, H, W, 3] with the object of one slot on it."""
    per_pixel = (slice(None), None, None, None)
    position, radius, angle = _path(scenes, slot, points.shape[1], aspect)
    local = points - position[:, :, None, None]
    cos, sin = angle.cos()[:, :, None, None], angle.sin()[:, :, None, None]
    turned = torch.stack(
        [local[..., 0] * cos + local[..., 1] * sin, local[..., 1] * cos - local[..., 0] * sin], dim=-1
    )
    distance = _distance(turned / radius[:, :, None, None, None], scenes.shape_id[:, slot])
    distance = distance * radius[:, :, None, None]

    line = scenes.line_width[per_pixel]
    body = torch.where(line > 0, distance.abs() - line, distance)
    paint = colour = scenes.colour[:, slot][:, None, None, None]
    if bool((scenes.core > 0).any()):
        core = scenes.core[per_pixel] * (-body / line.clamp(min=0.01)).clamp(0.0, 1.0)
        paint = paint + (1.0 - paint) * core[..., None]
    if bool((scenes.rim_width > 0).any()):
        rim_width = scenes.rim_width[per_pixel]
        in_rim = (1.0 - _coverage(body + rim_width, pixel)) * (rim_width > 0)
        paint = paint + (scenes.rim[:, None, None, None] - paint) * in_rim[..., None]
    picture = picture + (paint - picture) * _coverage(body, pixel)[..., None]
    if bool((scenes.glow > 0).any()):
        light = scenes.glow[per_pixel] * torch.exp(-body.clamp(min=0.0) / _GLOW_LENGTH) * (body > 0)
        picture = picture + colour * light[..., None] * (1.0 - picture)
    return picture


def _distance(points: Tensor, shape_id: Tensor) -> Tensor:
    """Signed distance in units of the radius, [N, F, H, W]."""
    result = torch.empty_like(points[..., 0])
    for index, function in enumerate(SHAPES.values()):
        rows = (shape_id == index).nonzero()[:, 0]
        if len(rows):
            result[rows] = function(points[rows])
    return result


def _path(scenes: Scenes, slot: int, frames: int, aspect: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Position [N, F, 2], radius [N, F] and angle [N, F] of one slot's object over the clip."""
    motion = scenes.motion_id[:, slot]
    progress = _progress(frames, motion.device)
    reach, turns, phase = (x[:, slot, None] for x in (scenes.reach, scenes.turns, scenes.phase))
    signs = torch.zeros(len(s.MOTIONS), 2, device=motion.device)
    signs[s.RIGHT, 0], signs[s.LEFT, 0], signs[s.UP, 1], signs[s.DOWN, 1], signs[s.ZIGZAG, 0] = (
        1,
        -1,
        -1,
        1,
        1,
    )
    moved = signs[motion][:, None] * (reach * (2.0 * progress - 1.0))[..., None]

    def only(kind: int, values: Tensor) -> Tensor:
        return torch.where((motion == kind)[:, None], values, torch.zeros_like(values))

    turn = 2.0 * math.pi * turns * progress
    saw = 2.0 * ((progress * 3.0) % 1.0 - 0.5).abs() - 0.5
    dx = only(s.CIRCLES, reach * torch.cos(turn + phase))
    dy = (
        only(s.CIRCLES, reach * torch.sin(turn + phase))
        + only(s.BOUNCES, reach * (1.0 - 2.0 * torch.sin(math.pi * turns * progress).abs()))
        + only(s.ZIGZAG, 0.7 * saw.expand_as(turn))
    )
    growth = only(s.GROWS, 2.0 * progress.expand_as(turn) - 1.0) + only(
        s.SHRINKS, 1.0 - 2.0 * progress.expand_as(turn)
    )
    scale = torch.exp(0.55 * growth)
    centre = (scenes.centre[:, slot] * aspect)[:, None] + scenes.offset[:, slot][:, None] * scale[..., None]
    position = centre + moved + torch.stack([dx, dy], dim=-1)
    radius = scenes.radius[:, slot, None] * scale
    angle = scenes.tilt[:, slot, None] + only(s.SPINS, turn)
    return position, radius, angle


def _progress(frames: int, device: torch.device) -> Tensor:
    return torch.linspace(0.0, 1.0, frames, device=device)


def _coverage(distance: Tensor, pixel: float) -> Tensor:
    """How much of a pixel lies inside, 0 to 1."""
    return (0.5 - distance / pixel).clamp(0.0, 1.0)


def _edge(value: Tensor) -> Tensor:
    """A step at zero, softened over about two pixels of a 192-pixel picture."""
    return (0.5 + value / 0.02).clamp(0.0, 1.0)
