"""What the documents point to exists: links, pictures, command words, dependencies."""

from __future__ import annotations

import re

import pytest
from test_architecture import MAY_IMPORT

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
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    also = re.search(r"^Also (.+)\.", text, re.M)
    assert also
    shown = re.findall(r"(?:\./launch\.sh|launch\.bat|ltx-wizard) ([a-z]+)", text)
    named = {*shown, *re.findall(r"`([a-z]+)`", also.group(1))}
    assert {"demo", "new", "train", "resume", "export", "ui"} <= named
    with pytest.raises(SystemExit):
        main(["--help"])
    known = set(re.findall(r"^    ([a-z]+) ", capsys.readouterr().out, re.M))
    assert named - {"test"} <= known


def test_every_example_has_options_that_its_command_takes(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"\./launch\.sh ([a-z]+) ([^\n`]*--[^\n`]*)", text)
    assert len(examples) >= 8
    for word, rest in examples:
        with pytest.raises(SystemExit) as ended:
            main([word, "--help"])
        assert ended.value.code == 0, word
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, word


def test_the_table_of_layers_is_the_one_that_is_tested() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split("## Layers")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    table = {row[0].strip("`"): {name.strip() for name in row[1].split(",")} - {""} for row in rows}
    assert table == {name: set(others) for name, others in MAY_IMPORT.items() if name != "__init__"}


def test_every_dependency_says_why_it_is_there() -> None:
    block = re.search(
        r"^dependencies = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S
    )
    assert block
    names = re.findall(r'"([A-Za-z0-9-]+)', block.group(1))
    section = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Why each dependency")[1]
    reasons = dict(re.findall(r"^\| ([a-z0-9-]+) \| (.+) \|$", section, re.M))
    assert len(names) > 15
    assert set(names) == set(reasons) - {"package"}
