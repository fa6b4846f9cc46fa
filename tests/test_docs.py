"""What the documents point to exists: links, pictures, command words, dependencies."""

from __future__ import annotations

import re

import pytest

from ltx_wizard.cli import main
from ltx_wizard.core.places import ROOT

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/RESULTS.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_and_picture_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    missing = [
        target
        for target in targets
        if "://" not in target and not (ROOT / name).parent.joinpath(target).exists()
    ]
    assert missing == []


def test_every_file_that_the_documents_name_is_there() -> None:
    for name in DOCUMENTS[:3]:
        text = (ROOT / name).read_text(encoding="utf-8")
        for path in re.findall(r"`((?:ltx_wizard|tests|benchmarks|presets|assets)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), f"{name} names {path}"


def test_every_command_in_the_readme_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = set(re.findall(r"\./launch\.sh ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))) - {
        "test"
    }
    assert len(words) >= 8
    for word in words - {"ui"}:
        with pytest.raises(SystemExit) as ended:
            main([word, "--help"])
        assert ended.value.code == 0, word
    assert "usage: ltx-wizard" in capsys.readouterr().out


def test_every_dependency_says_why_it_is_there() -> None:
    block = re.search(
        r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S
    )
    assert block
    names = re.findall(r'"([A-Za-z0-9-]+)', block.group(1))
    reasons = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Why each dependency")[1]
    assert len(names) > 15
    assert [name for name in names if name not in reasons] == []
