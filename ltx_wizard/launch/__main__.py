"""Lets `python -I ltx_wizard/launch ...` find this package from wherever it is called."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from ltx_wizard.launch.start import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
