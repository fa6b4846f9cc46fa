"""The window of LTX Wizard: python app.py. Every option: python app.py --help."""

from __future__ import annotations

import time

_STARTED = time.monotonic()

import argparse  # noqa: E402 - the clock runs from the first line
import logging  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from ltx_wizard.core.errors import WizardError  # noqa: E402
from ltx_wizard.ui.server import Options, serve  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl+C. 0: ended by the user; 1: could not start, with problem and remedy."""
    options = _options(_parser().parse_args(arguments))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        serve(options, _STARTED)
    except WizardError as error:
        print(f"{error.problem}\n{error.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="app.py", description="Opens LTX Wizard in your browser.")
    parser.add_argument("--listen", action="store_true", help="let other computers reach it; with a login")
    parser.add_argument("--share", action="store_true", help="a public address through Gradio; with a login")
    parser.add_argument("--host", default="", help="address to serve at; default: this computer only")
    parser.add_argument("--port", type=int, default=None, help="port; default: 7860, or the next free one")
    parser.add_argument("--user", default="wizard", help="name for the login")
    parser.add_argument(
        "--password", default="", help="password for the login; default: a random one, printed once"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument("--project", type=Path, default=None, help="folder of the project to open")
    return parser


def _options(given: argparse.Namespace) -> Options:
    return Options(
        listen=given.listen,
        share=given.share,
        host=given.host,
        port=given.port,
        user=given.user,
        password=given.password,
        browser=not given.no_browser,
        project=given.project,
    )


if __name__ == "__main__":
    sys.exit(main())
