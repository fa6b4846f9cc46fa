from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from ltx_wizard.ui import media


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the user's own folder, and none knows projects of another."""
    monkeypatch.setenv("LTX_WIZARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(media, "_opened", {})
    return tmp_path / "home"


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The real app, with every route that it has, not yet guarded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LTX_WIZARD_HOME", str(tmp_path_factory.mktemp("home")))
        from ltx_wizard.ui.server import build_app

        return build_app()
