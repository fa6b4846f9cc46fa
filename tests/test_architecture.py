"""The arrows between the packages, and what is loaded when: from the source and from fresh interpreters."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from ltx_wizard.core.places import ROOT

PACKAGE = "ltx_wizard"
ENTRY = "app.py"

GPU_LIBRARIES = frozenset(
    {"torch", "torchvision", "diffusers", "transformers", "peft", "accelerate", "optimum", "bitsandbytes"}
)
VIDEO_LIBRARIES = frozenset({"av", "cv2", "numpy", "PIL", "scenedetect"})
SAFETENSORS_WITH_TORCH = "safetensors.torch"

MAY_IMPORT: dict[str, frozenset[str]] = {
    "__init__": frozenset(),
    "core": frozenset(),
    "launch": frozenset(),
    "media": frozenset({"core"}),
    "models": frozenset({"core"}),
    "dataset": frozenset({"core", "media", "models"}),
    "captioning": frozenset({"core", "media", "models", "dataset"}),  # captions are written into the dataset
    # A verified export reads the dataset's size and writes the formats of other programs.
    "sampling": frozenset({"core", "media", "models", "dataset", "interop"}),
    "training": frozenset({"core", "models", "dataset", "sampling"}),
    "interop": frozenset({"core", "models"}),
    "worker": frozenset(
        {"core", "media", "models", "dataset", "captioning", "sampling", "training", "interop"}
    ),
    "app": frozenset({"core", "media", "models", "dataset", "captioning", "training", "interop"}),
    "ui": frozenset({"app", "core"}),
    "commands": frozenset({"app", "core"}),  # the words of the command line
    "cli": frozenset({"commands", "app", "core"}),
    ENTRY: frozenset({"ui", "app", "core"}),
}
"""Which packages of ours each may import, anywhere in its files. Its own files are always allowed."""

WORKER_SIDE = re.compile(
    r"""
    models/(ltx_video|precision|lora|loading|quantized|quantized_cache|offload|recompute|streaming)\.py
    | sampling/(?!__init__).+\.py
    | training/(loop|objective|previews|flow|optimizers|checkpoint|validation|conditioning|shortage)\.py
    | training/recovery\.py
    | dataset/(encode|cache|batches)\.py
    | captioning/(florence2|vision_llm|local_model)\.py
    """,
    re.VERBOSE,
)
"""Files that may import torch at top level, because only the worker imports them."""

EXCEPT_ANYTHING = frozenset({"ui/boundary.py", "app/supervisor.py", "worker.py", "training/trackers.py"})
"""The window's boundary, the supervisor's thread, the worker's main, and where programs of others listen to a
training: a bug there is shown, not lost."""


@dataclass(frozen=True)
class Import:
    """One imported module. at_top: executed when the file is imported. for_types: under TYPE_CHECKING."""

    file: str
    line: int
    module: str
    at_top: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def imports_of(root: Path) -> list[Import]:
    """Every import of the package and of app.py; `from package import module` counts as the module."""
    found: list[Import] = []
    for path in [*sorted((root / PACKAGE).rglob("*.py")), root / ENTRY]:
        if path.is_file():
            found += _imports_of_file(root, path)
    return found


def broken_rules(root: Path) -> list[str]:
    """What stands against the table, in words; empty when all is well."""
    problems: list[str] = []
    for item in imports_of(root):
        problems += [f"{item}: {reason}" for reason in _reasons(item, root)]
    return problems


def _reasons(item: Import, root: Path) -> Iterator[str]:
    owner, other = _package(item.file), _package_of_module(item.module)
    if owner not in MAY_IMPORT:
        yield f"{owner} has no row in the table"
        return
    if other is not None and other != owner and other not in MAY_IMPORT[owner]:
        yield f"{owner} may not import {other}"
    worker_side = other is not None and _is_worker_side(_file_of(item.module, root))
    if owner in ("app", "ui", "cli", ENTRY) and worker_side:
        yield f"{owner} may not import files that only the worker loads"
    if item.at_top and not item.for_types and not _is_worker_side(item.file):
        if worker_side:
            yield "loads torch through a file that only the worker loads"
        yield from _heavy(item, owner)


def _heavy(item: Import, owner: str) -> Iterator[str]:
    library = item.module.split(".")[0]
    if library in GPU_LIBRARIES or item.module == SAFETENSORS_WITH_TORCH:
        yield "the libraries of the graphics card are loaded inside functions, or in files of the worker"
    if library == "gradio" and owner != "ui":
        yield "gradio belongs in ui"
    if owner == "ui" and library in VIDEO_LIBRARIES:
        yield "the window opens without the video libraries"
    if owner == "core" and library not in {*sys.stdlib_module_names, "pydantic", "yaml", PACKAGE}:
        yield "core needs the standard library and pydantic only"
    if owner == "launch" and library not in {*sys.stdlib_module_names, PACKAGE}:
        yield "the launcher runs before anything is installed"


def _imports_of_file(root: Path, path: Path) -> list[Import]:
    file = path.relative_to(root).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: list[Import] = []

    def visit(node: ast.AST, at_top: bool, for_types: bool) -> None:
        for name in _modules(node, path, root):
            line = getattr(node, "lineno", 0)
            found.append(Import(file, line, name, at_top, for_types))
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if isinstance(node, ast.If) and typing_only:
            for child in node.body:
                visit(child, at_top, True)
            for child in node.orelse:
                visit(child, at_top, for_types)
            return
        for child in ast.iter_child_nodes(node):
            visit(child, at_top and not inside, for_types)

    visit(tree, True, False)
    return found


def _modules(node: ast.AST, path: Path, root: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = path.relative_to(root).parts[: -node.level]
        base = ".".join([*package, *([node.module] if node.module else [])])
    if base.split(".")[0] != PACKAGE:
        return [base]
    return [
        f"{base}.{alias.name}" if _file_of(f"{base}.{alias.name}", root) else base for alias in node.names
    ]


def _package(file: str) -> str:
    parts = file.split("/")
    return file if file == ENTRY else parts[1].removesuffix(".py")


def _package_of_module(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def _file_of(module: str, root: Path) -> str:
    base = Path(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if (root / candidate).is_file():
            return candidate.as_posix()
    return ""


def _is_worker_side(file: str) -> bool:
    return WORKER_SIDE.fullmatch(file.removeprefix(f"{PACKAGE}/")) is not None


def test_the_table_has_no_circles() -> None:
    TopologicalSorter(MAY_IMPORT).prepare()


def test_every_import_follows_the_table() -> None:
    assert len(imports_of(ROOT)) > 300  # it did read the project
    assert broken_rules(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("core/units.py", "import numpy", "core needs the standard library"),
        ("core/units.py", "from ltx_wizard.media import video", "core may not import media"),
        ("core/units.py", "from ..media.video import frames", "core may not import media"),
        ("core/units.py", "def f():\n    from ltx_wizard.app import jobs", "core may not import app"),
        ("media/video.py", "import torch", "the libraries of the graphics card"),
        ("media/video.py", "from torch.nn import Module", "the libraries of the graphics card"),
        ("media/video.py", "import gradio as gr", "gradio belongs in ui"),
        ("media/video.py", "from ltx_wizard.models.spec import ModelSpec", "media may not import models"),
        ("models/spec.py", "import diffusers", "the libraries of the graphics card"),
        ("models/spec.py", "from ltx_wizard.dataset.cache import x", "models may not import dataset"),
        ("models/spec.py", "from ltx_wizard.models.lora import x", "loads torch through a file"),
        ("dataset/checks.py", "from peft import LoraConfig", "the libraries of the graphics card"),
        ("dataset/checks.py", "from ltx_wizard.dataset import cache", "loads torch through a file"),
        ("dataset/checks.py", "from ltx_wizard.training import budget", "dataset may not import training"),
        ("captioning/motion.py", "import transformers", "the libraries of the graphics card"),
        ("sampling/sample.py", "import gradio", None),
        ("training/budget.py", "if True:\n    import torch", "the libraries of the graphics card"),
        ("training/budget.py", "class A:\n    import torch", "the libraries of the graphics card"),
        (
            "training/budget.py",
            "try:\n    import torch\nexcept ImportError:\n    pass",
            "the libraries of the",
        ),
        ("interop/lora_file.py", "from safetensors.torch import load_file", "the libraries of the graphics"),
        ("interop/lora_file.py", "from ltx_wizard.training.loop import f", "interop may not import training"),
        ("app/jobs.py", "from ltx_wizard import worker", "app may not import worker"),
        ("app/jobs.py", "from ltx_wizard.sampling.sample import f", "app may not import sampling"),
        (
            "app/jobs.py",
            "def f():\n    from ltx_wizard.models import lora",
            "files that only the worker loads",
        ),
        ("app/jobs.py", "from ltx_wizard.ui import media", "app may not import ui"),
        ("ui/media.py", "from ltx_wizard.dataset.checks import f", "ui may not import dataset"),
        ("ui/media.py", "from ltx_wizard.cli import main", "ui may not import cli"),
        ("ui/media.py", "import cv2", "without the video libraries"),
        ("cli.py", "from ltx_wizard.ui.server import serve", "cli may not import ui"),
        ("worker.py", "from ltx_wizard.app import jobs", "worker may not import app"),
        ("worker.py", "import torch", "the libraries of the graphics card"),
        ("launch/start.py", "import pydantic", "before anything is installed"),
        ("somewhere/new.py", "import json", "has no row in the table"),
        ("models/lora.py", "import torch", None),
        ("training/loop.py", "import torch\nfrom ltx_wizard.models.lora import add_lora", None),
        ("training/budget.py", "def f():\n    import torch", None),
        (
            "training/budget.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch",
            None,
        ),
        (
            "training/budget.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import torch",
            "the libraries of the graphics card",
        ),
        ("ui/page.py", "import gradio as gr\nfrom ltx_wizard.app import jobs", None),
    ],
)
def test_the_reader_of_imports_sees_what_breaks_a_rule(
    tmp_path: Path, file: str, line: str, reason: str | None
) -> None:
    for name in (
        *("core/units.py", "media/video.py", "models/spec.py", "models/lora.py", "dataset/cache.py"),
        *("training/budget.py", "training/loop.py", "sampling/sample.py", "app/jobs.py", "ui/media.py"),
        *("cli.py", "worker.py", "dataset/checks.py"),
    ):
        (tmp_path / PACKAGE / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / PACKAGE / name).write_text("import json\n")
    assert broken_rules(tmp_path) == []
    (tmp_path / PACKAGE / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / PACKAGE / file).write_text(line + "\n")
    problems = broken_rules(tmp_path)
    if reason is None:
        assert problems == []
    else:
        assert any(reason in problem for problem in problems)
        assert all(problem.startswith(f"{PACKAGE}/{file}:") for problem in problems)


def test_only_files_named_as_worker_side_load_torch_at_the_top() -> None:
    loads_torch = {
        item.file
        for item in imports_of(ROOT)
        if item.at_top and not item.for_types and item.module.split(".")[0] in GPU_LIBRARIES
    }
    assert loads_torch
    assert all(_is_worker_side(file) for file in loads_torch)


@pytest.mark.parametrize(
    "statement",
    [
        "import ltx_wizard.ui.wizard",
        "from ltx_wizard.ui.server import build_app; build_app()",
        "import app",
        "import ltx_wizard.cli",
        "import ltx_wizard.worker",
        "from ltx_wizard.app import datasets, jobs, projects, supervisor, system",
    ],
)
def test_a_fresh_interpreter_loads_no_torch(statement: str, tmp_path: Path) -> None:
    loaded = _loaded_after(statement, tmp_path)
    assert not loaded & GPU_LIBRARIES
    assert "ltx_wizard" in loaded


def test_the_app_without_its_window_loads_neither_gradio_nor_the_video_libraries(tmp_path: Path) -> None:
    loaded = _loaded_after(
        "from ltx_wizard.app import datasets, jobs, projects, supervisor, system", tmp_path
    )
    assert not loaded & {"gradio", *VIDEO_LIBRARIES}


def test_loaded_libraries_are_seen(tmp_path: Path) -> None:
    assert {"numpy", "pydantic"} <= _loaded_after("import numpy, pydantic", tmp_path)


def _loaded_after(statement: str, home: Path) -> set[str]:
    code = f"{statement}\nimport sys; print('LOADED', *{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "LTX_WIZARD_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    return set(line.split()[1:])


def test_any_exception_is_caught_in_four_places_only() -> None:
    places = {file for file, _ in broad_handlers(ROOT / PACKAGE)}
    assert places == EXCEPT_ANYTHING
    assert len(broad_handlers(ROOT / PACKAGE)) == len(EXCEPT_ANYTHING)


def test_broad_handlers_are_found(tmp_path: Path) -> None:
    for name, handler in {
        "a": "except:\n    pass",
        "b": "except (ValueError, Exception):\n    pass",
        "c": "except OSError:\n    pass",
        "d": "except BaseException:\n    tidy()\n    raise",
    }.items():
        (tmp_path / f"{name}.py").write_text(f"try:\n    pass\n{handler}\n")
    assert broad_handlers(tmp_path) == [("a.py", 3), ("b.py", 3)]


def broad_handlers(folder: Path) -> list[tuple[str, int]]:
    """(file, line) of every handler that takes any exception."""
    found: list[tuple[str, int]] = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and _takes_anything(node):
                found.append((path.relative_to(folder).as_posix(), node.lineno))
    return found


def _takes_anything(handler: ast.ExceptHandler) -> bool:
    """A handler that tidies up and raises again swallows nothing."""
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False
    if handler.type is None:
        return True
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException"})


def test_no_module_is_a_bag() -> None:
    bags = {"utils", "helpers", "common", "misc", "manager", "base", "tools"}
    names = {
        part
        for path in (ROOT / PACKAGE).rglob("*.py")
        for part in path.relative_to(ROOT).with_suffix("").parts
    }
    assert "core" in names
    assert not names & bags
