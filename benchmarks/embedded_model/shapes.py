"""Signed distances of the flat shapes that the synthetic clips are made of.

Every function takes the points p [..., 2] in units of the shape's radius, y pointing down, and gives [...]:
negative inside, positive outside, in the same units. Formulas: Inigo Quilez, '2D distance functions' (MIT
licence), rewritten for batches of points.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def circle(p: Tensor) -> Tensor:
    return p.norm(dim=-1) - 1.0


def square(p: Tensor) -> Tensor:
    return _box(p, 0.84, 0.84)


def triangle(p: Tensor) -> Tensor:
    """Equilateral, point upwards, centred on its centroid."""
    root3 = math.sqrt(3.0)
    size = 0.92
    x = p[..., 0].abs() - size
    y = -p[..., 1] + 0.1 + size / root3
    flip = x + root3 * y > 0.0
    x, y = (
        torch.where(flip, (x - root3 * y) / 2.0, x),
        torch.where(flip, (-root3 * x - y) / 2.0, y),
    )
    x = x - x.clamp(-2.0 * size, 0.0)
    return -torch.hypot(x, y) * torch.sign(y)


def star(p: Tensor) -> Tensor:
    """Five points, one of them upwards."""
    depth = 0.46
    k1 = (math.cos(math.pi / 5), -math.sin(math.pi / 5))
    x, y = p[..., 0].abs(), -p[..., 1]
    for kx, ky in (k1, (-k1[0], k1[1])):
        fold = 2.0 * torch.clamp(kx * x + ky * y, min=0.0)
        x, y = x - fold * kx, y - fold * ky
    x = x.abs()
    y = y - 1.0
    bx = depth * -k1[1]
    by = depth * k1[0] - 1.0
    h = ((x * bx + y * by) / (bx * bx + by * by)).clamp(0.0, 1.0)
    return torch.hypot(x - bx * h, y - by * h) * torch.sign(y * bx - x * by)


def ring(p: Tensor) -> Tensor:
    return (p.norm(dim=-1) - 0.74).abs() - 0.25


def cross(p: Tensor) -> Tensor:
    return torch.minimum(_box(p, 0.98, 0.32), _box(p, 0.32, 0.98))


def heart(p: Tensor) -> Tensor:
    """Point downwards, about as tall as the circle."""
    scale = 1.75
    x = p[..., 0].abs() / scale
    y = -p[..., 1] / scale + 0.55
    upper = torch.hypot(x - 0.25, y - 0.75) - math.sqrt(2.0) / 4.0
    tip = torch.hypot(x, y - 1.0)
    along = 0.5 * torch.clamp(x + y, min=0.0)
    edge = torch.hypot(x - along, y - along)
    lower = torch.minimum(tip, edge) * torch.sign(x - y)
    return torch.where(y + x > 1.0, upper, lower) * scale


def moon(p: Tensor) -> Tensor:
    """A crescent that is open to the right."""
    bite = torch.hypot(p[..., 0] - 0.62, p[..., 1]) - 0.82
    return torch.maximum(p.norm(dim=-1) - 1.0, -bite)


SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "ring": ring,
    "cross": cross,
    "heart": heart,
    "moon": moon,
}


def _box(p: Tensor, half_width: float, half_height: float) -> Tensor:
    dx = p[..., 0].abs() - half_width
    dy = p[..., 1].abs() - half_height
    outside = torch.hypot(dx.clamp(min=0.0), dy.clamp(min=0.0))
    return outside + torch.maximum(dx, dy).clamp(max=0.0)
