"""Search and replace with a regular expression, in a process of its own that is ended when it takes too long.

Python cannot interrupt its own matcher, and a repeat inside a repeat, such as (a+)+$, takes for ever on some
texts. Run as a script, this file is that process: it reads one JSON object and writes one, and imports
nothing of ours, so that it starts in a moment.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

LONGEST_S = 3.0
"""Five hundred captions take a few hundredths of a second, and starting the process about as much."""


_MOST_CHARACTERS = 20_000_000


class PatternError(ValueError):
    """The pattern, or what it is replaced by, is not valid; the text says why."""


class PatternTooSlow(TimeoutError):
    """The pattern was still searching when the time was over."""


def substitute(find: str, replace: str, texts: list[str], longest_s: float = LONGEST_S) -> list[str]:
    """Each text with every match replaced, by Python's rules. Raises PatternError and PatternTooSlow."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve())],
            input=json.dumps({"find": find, "replace": replace, "texts": texts}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=longest_s,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired as error:
        raise PatternTooSlow(f"still searching after {longest_s:g} s") from error
    except subprocess.CalledProcessError as error:
        raise PatternError("it needs too much memory") from error
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise PatternError(answer["error"])
    return answer["texts"]


def _substituted(find: str, replace: str, texts: list[str]) -> list[str]:
    pattern = re.compile(find)
    # The empty match tests the groups that `replace` names. A flag such as (?i) stands at the very front.
    without_flags = re.sub(r"^\s*\(\?[aiLmsux]+\)", "", find)
    re.compile(f"(?:{without_flags}\n)|", pattern.flags).sub(replace, "")
    done: list[str] = []
    left = _MOST_CHARACTERS
    for text in texts:
        done.append(pattern.sub(replace, text))
        left -= len(done[-1])
        if left < 0:
            raise ValueError("the captions would become too long")
    return done


def _main() -> None:
    asked = json.load(sys.stdin)
    try:
        answer = {"texts": _substituted(asked["find"], asked["replace"], asked["texts"])}
    except (re.error, IndexError, OverflowError, RecursionError, MemoryError, ValueError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    _main()
