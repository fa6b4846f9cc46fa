"""The command line: ltx-wizard COMMAND. Everything that the window does, for scripts and servers.

0: done. 1: a problem, which stands with its remedy on stderr. 2: a wrong option. 130: stopped by Ctrl+C.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ltx_wizard import __version__
from ltx_wizard.commands import computer, dataset, formats, lab, models, planning, runs, training
from ltx_wizard.commands.console import Console, show_error
from ltx_wizard.commands.demo import demo
from ltx_wizard.commands.download import download
from ltx_wizard.commands.following import JobStopped
from ltx_wizard.core.errors import WizardError, explain_os_error
from ltx_wizard.core.project import Goal

STATUS_PROBLEM = 1
STATUS_WRONG_OPTION = 2
STATUS_STOPPED = 130  # what a shell says of a program that Ctrl+C ended


def main(arguments: list[str] | None = None) -> int:
    """Run one command and give its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["ui"]:
        return computer.ui(words[1:])  # its options are those of app.py
    given = _parser().parse_args(words)
    try:
        return given.command(given, Console(given.json))
    except JobStopped as stopped:
        show_error(stopped)
        return STATUS_STOPPED
    except WizardError as error:
        show_error(error)
        return STATUS_PROBLEM
    except BrokenPipeError:  # whoever reads has seen enough, as `head` has
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nothing more is said when Python ends
        return STATUS_PROBLEM
    except OSError as error:
        show_error(explain_os_error(error, Path(str(error.filename or "the disk"))))
        return STATUS_PROBLEM
    except KeyboardInterrupt:
        show_error(WizardError("Stopped.", "Start it again to go on; what was done is kept."))
        return STATUS_STOPPED


class _Parser(argparse.ArgumentParser):
    """Says what to do about a wrong option."""

    def error(self, message: str) -> NoReturn:
        problem = f"{message[:1].upper()}{message[1:]}."
        show_error(WizardError(problem, f"Read: {self.prog} --help"))
        sys.exit(STATUS_WRONG_OPTION)


Add = Callable[..., argparse.Action]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ltx-wizard",
        description="From a few videos to a LoRA for the LTX video models.",
        epilog="Every command explains its options: ltx-wizard COMMAND --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="word", title="commands")

    def command(
        word: str, run: Callable[[argparse.Namespace, Console], int], summary: str, as_json: bool = False
    ) -> Add:
        added = commands.add_parser(word, help=summary, description=summary, allow_abbrev=False)
        added.set_defaults(command=run, json=False)
        if as_json:
            added.add_argument("--json", action="store_true", help="the result as JSON on the last line")
        return added.add_argument

    commands.add_parser("ui", help="Open the window; options as for app.py.", add_help=False)
    add = command("demo", demo, "Every stage on the sample project, with the model that comes along.", True)
    add("--out", type=Path, required=True, metavar="DIR", help="folder for LoRA, samples, chart and report")
    add("--steps", type=_at_least_one, default=None, help=argparse.SUPPRESS)
    add = command("download", download, "Get a model from the hub. Started again, it goes on.", True)
    add("model", metavar="MODEL", help="its id, such as ltxv-2b-0.9.6-dev")
    add = command("models", models.models, "The base models, or what a model of your own is.", True)
    add("model", nargs="?", default="", metavar="PATH", help="a folder, a .safetensors file or owner/name")
    _add_dataset_commands(command)
    _add_training_commands(command)
    command("doctor", lambda _, console: computer.doctor(console), "What this computer has and lacks.", True)
    return parser


def _add_dataset_commands(command: Callable[..., Add]) -> None:
    add = command("new", dataset.new, "Make a project.")
    add("--project", type=Path, required=True, metavar="DIR", help="folder to make it in")
    add("--name", default="", help="name that you see; default: the folder's")
    goals = [goal.value for goal in Goal if goal is not Goal.CONTROL]
    add("--goal", default="style", choices=goals, help="what to learn")
    add("--trigger", default=None, help='trigger word; default: a made-up one; "" for none')
    add("--model", default="", help="base model: its id, a folder, a .safetensors file or owner/name")
    add("--sample", action="store_true", help="the sample project, with videos and captions")

    add = command("import", dataset.import_media, "Add videos and images, or folders of them.")
    _project(add)
    add("paths", type=Path, nargs="+", metavar="PATH", help="a video, an image or a folder")
    add("--regularisation", action="store_true", help="ordinary material, trained without the trigger word")

    add = command("import-dataset", formats.import_dataset, "Add a dataset of another trainer.", True)
    _project(add)
    add("path", type=Path, metavar="PATH", help="its folder, or the file that lists videos and captions")
    add("--look", action="store_true", help="only say what lies there")
    add("--keep-trigger", action="store_true", help="leave a word that all captions begin with where it is")
    add("--regularisation", action="store_true", help="ordinary material, trained without the trigger word")

    add = command("split", dataset.split, "Find scenes and cut them into clips.")
    _project(add)
    add("--detector", choices=["adaptive", "content"], default=None, help="how cuts are found")
    add("--threshold", type=float, default=None, help="lower finds more cuts")
    add("--min-scene", type=float, default=None, metavar="SECONDS", help="shortest scene")
    add("--min-clip", type=float, default=None, metavar="SECONDS", help="leave out shorter scenes")
    add("--max-clip", type=float, default=None, metavar="SECONDS", help="split longer scenes evenly")
    add("--only-find", action="store_true", help="do not cut yet")

    add = command("caption", dataset.caption, "Draft captions for clips that have none.")
    _project(add)
    add("--captioner", default="motion", metavar="NAME", help="who writes them; default: motion; 'list': all")
    add(
        "--server",
        default="",
        metavar="URL",
        help="OpenAI-compatible server, such as http://localhost:11434/v1",
    )
    add("--model", default="", metavar="NAME", help="the server's model; its key: LTX_WIZARD_CAPTION_KEY")
    add("--overwrite", action="store_true", help="also where there is a caption")

    add = command("export-dataset", formats.export_dataset, "Write the dataset for another trainer.", True)
    _project(add)
    add("--format", default="", metavar="NAME", help="for which trainer; without it: the list of formats")
    add(
        "--out",
        type=Path,
        default=None,
        metavar="DIR",
        help="a new folder; default: in the project's exports",
    )
    add(
        "--trigger", choices=["write", "leave"], default=None, help="write the trigger word into the captions"
    )

    add = command("check", dataset.check, "What stands between this dataset and a good LoRA.", True)
    _project(add)
    add("--fix", action="store_true", help="do what LTX Wizard can do about it")
    add(
        "--uncrop",
        nargs="*",
        default=None,
        metavar="CLIP",
        help="the way back where --fix cropped black bars: the whole picture of these clips, or of all",
    )


def _add_training_commands(command: Callable[..., Add]) -> None:
    add = command("train", training.train, "Train a LoRA. Ctrl+C stops after a step and saves.", True)
    _project(add)
    add("--preset", default="", metavar="NAME", help="start from this preset; default: the project's recipe")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting: lora.rank=16")
    add("--steps", type=_at_least_one, default=None, help="the same as --set steps=N")
    add("--anyway", action="store_true", help="even where the plan says that the card cannot hold it")

    add = command("plan", planning.plan, "What training would need: memory, disk and time.", True)
    _project(add)
    add("--preset", default="", metavar="NAME", help="of this preset; default: of the project's recipe")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="with a setting changed")
    add("--card", type=_gigabytes, default=None, metavar="GB", help="for a card of this size; default: yours")

    add = command("resume", training.resume, "Go on with a run from its newest checkpoint.", True)
    _project(add)
    add("--run", default=None, metavar="NAME", help="name of its folder; default: the newest")

    add = command("runs", runs.runs, "List the runs, or say what some differ in and which is best.", True)
    _project(add)
    add("runs", nargs="*", metavar="RUN", help="names of their folders; default: a list of all")

    add = command("plot", runs.plot, "A run as picture and tables; several runs as one picture.", True)
    _project(add)
    add("runs", nargs="*", metavar="RUN", help="names of their folders; default: the newest")
    add("--out", type=Path, default=None, metavar="FILE", help="a PNG; default: in the folder of the run")

    add = command("sweep", runs.sweep, "Train every combination of some values, one after another.", True)
    _project(add)
    add(
        "--vary",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="a setting and its values, as in lora.rank=16,32; repeatable",
    )
    add("--go-on", action="store_true", help="with the newest sweep of the project")
    add("--anyway", action="store_true", help="even where the plan says that the card cannot hold it")

    add = command("sample", training.sample, "Make sample videos.", True)
    _project(add)
    add(
        "--prompt",
        action="append",
        default=[],
        help="what to show; {trigger} is the trigger word; repeatable",
    )
    add("--lora", type=Path, default=None, metavar="FILE", help="default: the newest checkpoint")
    add("--base", action="store_true", help="without a LoRA")
    add(
        "--model",
        default="",
        metavar="ID",
        help="draw with this one, such as the distilled; default: the trained",
    )
    add("--strength", type=float, default=1.0, help="of the LoRA; default: 1")
    add("--seed", type=int, default=None, help="default: the recipe's")

    add = command("lab", lab.lab, "Checkpoints x strengths x prompts, seen side by side.", True)
    _project(add)
    add("--run", default="", metavar="NAME", help="whose checkpoints; default: the newest run's")
    add("--checkpoint", type=int, action="append", default=[], metavar="STEP", help="which; repeatable")
    add("--lora", type=Path, action="append", default=[], metavar="FILE", help="made elsewhere; repeatable")
    add("--strengths", default="", metavar="LIST", help="such as 0.55,0.75,1,2; 0, the base model, comes too")
    add("--prompt", action="append", default=[], help="{trigger} is the trigger word; repeatable")
    add("--seed", type=int, action="append", default=[], help="repeatable")
    add("--sampling-steps", type=_at_least_one, default=None, metavar="N", help="of each video")
    kinds = ["strength", "unlike", "first-frame"]
    add("--test", action="append", default=[], choices=kinds, help="a test of the guide; repeatable")
    add("--sheet", default="", choices=["png", "mp4"], help="write the grid as one picture or one video")
    add("--keep", default="", metavar="STEP@STRENGTH", help="remember this one for the export")
    add("--only-keep", action="store_true", help="make no videos")

    add = command("export", training.export, "Write LoRA files for diffusers and ComfyUI, verified.", True)
    _project(add)
    add("--run", default=None, metavar="NAME", help="name of its folder; default: the newest")
    add(
        "--step", type=int, default=None, help="which; default: the one kept in the Lab, else the recommended"
    )
    add("--lora", type=Path, default=None, metavar="FILE", help="made elsewhere, in place of a checkpoint")
    add("--name", default="", help="name of the files; default: the project's, or the file's")
    add(
        "--strength",
        type=float,
        default=None,
        help="folded into the files; default: as kept in the Lab, else 1",
    )


def _project(add: Add) -> None:
    add("--project", type=Path, default=Path(), metavar="DIR", help="the project; default: this folder")


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _gigabytes(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no size of a card")
    return value


if __name__ == "__main__":
    sys.exit(main())
