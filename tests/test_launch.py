"""launch.sh and what it calls, without a network: a fake pip and a fake nvidia-smi stand in for the world."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ltx_wizard.launch import failures, torch_builds
from ltx_wizard.launch.failures import SetupFailed, cause_of
from ltx_wizard.launch.interpreter import NEWEST_PYTHON, OLDEST_PYTHON, Interpreter, unfit_reason
from ltx_wizard.launch.phases import activity_after
from ltx_wizard.launch.torch_builds import Driver, read_driver, torch_sources, torch_warning

REPOSITORY = Path(__file__).resolve().parent.parent
needs_sh = pytest.mark.skipif(os.name == "nt", reason="launch.sh is for Linux and macOS")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the choice of torch depends on the system")

# Stands for .venv/bin/python. Notes each call; behaves as the files beside it say.
FAKE_PYTHON = """#!/bin/sh
state={state}
case "$*" in
  *"import sys, pip"*) echo "{major} {minor}"; exit 0 ;;
  *"import pip"*) echo 23.2; exit 0 ;;
esac
printf '%s' "$1" >> "$state/calls"
shift
for argument; do printf ' %s' "$argument" >> "$state/calls"; done
printf '\\n' >> "$state/calls"
case "$*" in
  "pip index versions"*) [ -e "$state/index-answers" ] && echo 'Available versions: 2.13.0+cpu, 2.12.1+cpu' ;;
  "pip install"*)
    [ -e "$state/slow" ] && sleep 1
    for failure in "$state"/fail-*; do
      [ -e "$failure" ] || continue
      case "$*" in *"${{failure##*/fail-}}"*) cat "$failure"; exit 1 ;; esac
    done
    echo "Successfully installed" ;;
  "pip uninstall"*) ;;
  "ruff check"*) [ ! -e "$state/ruff-fails" ] ;;
  "pyright --version"*) [ ! -e "$state/no-node" ] ;;
  *) echo "program output"; echo "PYTHONPATH=$PYTHONPATH"; exit "${{PROGRAM_STATUS:-0}}" ;;
esac
"""

NVIDIA_SMI = """#!/bin/sh
case "$*" in
  *compute_cap*) echo '{cards}' ;;
  *) echo '| NVIDIA-SMI 580.95.05    Driver Version: 580.95.05   {banner}    |' ;;
esac
exit {status}
"""


class Checkout:
    """A copy of what launch.sh needs, with a fake interpreter in its environment, and a PATH of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "LTX Wizard's copy"
        self.bin = folder / "bin"
        self.state = folder / "state"
        for path in (self.root, self.bin, self.state):
            path.mkdir()
        shutil.copy(REPOSITORY / "launch.sh", self.root)
        (self.root / "ltx_wizard").mkdir()
        (self.root / "ltx_wizard" / "__init__.py").touch()
        shutil.copytree(REPOSITORY / "ltx_wizard" / "launch", self.root / "ltx_wizard" / "launch")
        (self.root / "pyproject.toml").write_text("[project]\n")
        for tool in ("sh", "dirname", "readlink", "uname", "cat", "sleep"):
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        major, minor = sys.version_info[:2]
        fake = FAKE_PYTHON.format(state=self.state, major=major, minor=minor)
        self.python = self.root / ".venv" / "bin" / "python"
        self.python.parent.mkdir(parents=True)
        write_script(self.python, fake)

    def variables(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.bin), "LTX_WIZARD_PYTHON": sys.executable, "HOME": str(self.state), **more}

    def start(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "launch.sh", *words],
            env=self.variables(**variables),
            cwd=self.state,
            capture_output=True,
            text=True,
            timeout=360,
            check=False,
        )

    def plan(self, *words: str, **variables: str) -> list[str]:
        done = self.start(*words, LTX_WIZARD_DRY_RUN="1", **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.replace(str(self.root), "ROOT").splitlines()

    def pip_calls(self) -> list[str]:
        """What pip was asked to do since the last look, shortened to the verb and what matters."""
        calls = self.state / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        common = " --disable-pip-version-check --no-input"
        return [
            line.removeprefix("-m pip ").removesuffix(common) for line in lines if line.startswith("-m pip ")
        ]

    def has(self, condition: str, text: str = "") -> None:
        (self.state / condition).write_text(text)

    def has_no(self, condition: str) -> None:
        (self.state / condition).unlink()

    def has_driver(self, banner: str = "CUDA Version: 13.0", cards: str = "8.9", status: int = 0) -> None:
        write_script(self.bin / "nvidia-smi", NVIDIA_SMI.format(banner=banner, cards=cards, status=status))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


# --- Which Python


@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_supported_python_is_taken(minor: int) -> None:
    assert unfit_reason(Interpreter((3, minor))) is None


@pytest.mark.parametrize(
    ("python", "reason"),
    [
        (Interpreter((3, 9)), "this is Python 3.9"),
        (Interpreter((3, 14)), "this is Python 3.14"),
        (Interpreter((3, 12), bits=32), "32-bit"),
        (Interpreter((3, 13), free_threaded=True), "free-threaded"),
        (Interpreter((3, 12), system="Darwin"), "Intel Macs"),
        (Interpreter((3, 11), has_venv=False), "apt-get install python3.11-venv"),
    ],
)
def test_unfit_python_is_refused_with_the_reason(python: Interpreter, reason: str) -> None:
    assert reason in (unfit_reason(python) or "")


@needs_sh
def test_names_that_exist_but_fail_are_passed_over(checkout: Checkout) -> None:
    write_script(checkout.bin / "python3.13", "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    write_script(checkout.bin / "python3.12", "#!/bin/sh\necho 'this is Python 3.9'\nexit 3\n")
    write_script(checkout.bin / "python3", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    assert checkout.plan("doctor", LTX_WIZARD_PYTHON="")[-1].endswith("-m ltx_wizard.cli doctor")


@needs_sh
def test_without_a_python_the_message_says_why_and_what_to_do(checkout: Checkout) -> None:
    write_script(checkout.bin / "python3", "#!/bin/sh\necho 'this is Python 3.9'\nexit 3\n")
    done = checkout.start(LTX_WIZARD_PYTHON="")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Python 3.10, 3.11, 3.12 or 3.13" in done.stderr
    assert "python3: this is Python 3.9" in done.stderr
    assert "What to do:" in done.stderr


@needs_sh
def test_python_that_the_user_names_is_the_only_one_tried(checkout: Checkout) -> None:
    (checkout.bin / "python3").symlink_to(sys.executable)
    done = checkout.start(LTX_WIZARD_PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert "/nowhere/python" in done.stderr


@needs_sh
def test_environment_of_another_version_than_the_user_names_is_made_anew(checkout: Checkout) -> None:
    other = FAKE_PYTHON.format(state=checkout.state, major=3, minor=sys.version_info[1] - 1)
    write_script(checkout.python, other)
    assert " -m venv " in checkout.plan()[0]


# --- Which torch

NO_DRIVER = None
CUDA_13 = Driver((13, 0), ((8, 9),))
CUDA_12_8 = Driver((12, 8), ((8, 6),))
CUDA_12_4 = Driver((12, 4), ((8, 6),))
CUDA_11 = Driver((11, 4), ((8, 6),))
VOLTA = Driver((13, 0), ((7, 0),))
BLACKWELL_OLD_DRIVER = Driver((12, 8), ((12, 0),))
UNKNOWN_CUDA = Driver(None, ())


@pytest.mark.parametrize(
    ("system", "driver", "names"),
    [
        ("Linux", NO_DRIVER, ["cpu", "ordinary", "unpinned"]),
        ("Linux", CUDA_13, ["ordinary", "unpinned"]),
        ("Linux", CUDA_12_8, ["cu126", "ordinary", "unpinned"]),
        ("Linux", VOLTA, ["cu126", "ordinary", "unpinned"]),
        ("Linux", CUDA_11, ["ordinary", "unpinned"]),
        ("Windows", NO_DRIVER, ["ordinary", "unpinned"]),
        ("Windows", CUDA_13, ["cu130", "ordinary", "unpinned"]),
        ("Windows", CUDA_12_8, ["cu126", "ordinary", "unpinned"]),
        ("Windows", CUDA_12_4, ["cu126", "ordinary", "unpinned"]),
        ("Windows", CUDA_11, ["ordinary", "unpinned"]),
        ("Windows", BLACKWELL_OLD_DRIVER, ["ordinary", "unpinned"]),
        ("Windows", UNKNOWN_CUDA, ["cu130", "ordinary", "unpinned"]),
        ("Darwin", NO_DRIVER, ["ordinary", "unpinned"]),
    ],
)
def test_torch_fits_system_driver_and_card(system: str, driver: Driver | None, names: list[str]) -> None:
    assert [source.name for source in torch_sources(system, driver)] == names


def test_card_without_a_fitting_build_brings_advice_to_update_the_driver() -> None:
    warning = torch_warning("Windows", BLACKWELL_OLD_DRIVER, torch_builds.ORDINARY)
    assert "Update the NVIDIA driver" in (warning or "")


def test_windows_card_left_with_the_cpu_build_brings_a_warning() -> None:
    assert "stay unused" in (torch_warning("Windows", CUDA_13, torch_builds.ORDINARY) or "")


@pytest.mark.parametrize(
    ("system", "driver"), [("Linux", CUDA_13), ("Windows", NO_DRIVER), ("Linux", NO_DRIVER)]
)
def test_ordinary_torch_brings_no_warning_where_it_is_right(system: str, driver: Driver | None) -> None:
    assert torch_warning(system, driver, torch_builds.ORDINARY) is None


@needs_sh
@pytest.mark.parametrize(
    ("banner", "cuda"),
    [
        ("CUDA Version: 12.4", (12, 4)),
        ("CUDA UMD Version: 13.3", (13, 3)),
        ("CUDA Version: N/A", None),
    ],
)
def test_driver_is_read_from_old_and_new_nvidia_smi(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, banner: str, cuda: tuple[int, int] | None
) -> None:
    checkout.has_driver(banner, cards="8.9\n12.0")
    monkeypatch.setenv("PATH", str(checkout.bin))
    assert read_driver() == Driver(cuda, ((8, 9), (12, 0)))


@needs_sh
def test_nvidia_smi_that_fails_or_is_missing_means_no_driver(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(checkout.bin))
    assert read_driver() is None
    checkout.has_driver(status=9)
    assert read_driver() is None


CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_FROM_CPU_INDEX = f"install --no-deps --index-url {CPU_INDEX} torch==2.13.0"
TORCH = "install torch==2.13.0"
PROJECT = "install --editable ."
PROJECT_WITH_DEV = "install --editable .[dev]"


def installs(calls: list[str]) -> list[str]:
    return [call for call in calls if not call.startswith("index ")]


@needs_sh
@needs_linux
def test_without_a_driver_the_cpu_build_comes_from_its_own_index(checkout: Checkout) -> None:
    checkout.has("index-answers")
    checkout.start()
    assert installs(checkout.pip_calls()) == [TORCH_FROM_CPU_INDEX, PROJECT]


@needs_sh
@needs_linux
def test_index_that_does_not_answer_is_asked_once_and_briefly(checkout: Checkout) -> None:
    done = checkout.start()
    asked, *installed = checkout.pip_calls()
    assert asked == f"index versions torch --index-url {CPU_INDEX} --timeout 4 --retries 0"
    assert installed == [TORCH, PROJECT]
    assert "does not answer" in done.stderr


@needs_sh
@needs_linux
def test_index_that_answers_but_does_not_deliver_is_given_up(checkout: Checkout) -> None:
    checkout.has("index-answers")
    checkout.has("fail---no-deps", "ERROR: Connection broken: IncompleteRead\n")
    checkout.start()
    assert installs(checkout.pip_calls()) == [TORCH_FROM_CPU_INDEX, TORCH, PROJECT]


@needs_sh
@needs_linux
def test_with_a_driver_linux_takes_the_ordinary_build(checkout: Checkout) -> None:
    checkout.has_driver()
    checkout.start()
    assert checkout.pip_calls() == [TORCH, PROJECT]


@needs_sh
def test_where_the_tested_torch_is_not_to_be_had_the_project_chooses(checkout: Checkout) -> None:
    checkout.has("fail-torch==", "ERROR: No matching distribution found for torch==2.13.0\n")
    assert checkout.start().returncode == 0
    assert installs(checkout.pip_calls()) == [TORCH, PROJECT]
    checkout.start()
    assert checkout.pip_calls() == []


@needs_sh
@needs_linux
def test_driver_that_appears_later_brings_another_torch(checkout: Checkout) -> None:
    checkout.start()
    checkout.pip_calls()
    checkout.has_driver()
    checkout.start()
    assert checkout.pip_calls() == ["uninstall --yes torch", TORCH, PROJECT]
    checkout.start()
    assert checkout.pip_calls() == []


# --- When to install


@needs_sh
def test_second_start_calls_no_pip_and_says_nothing(checkout: Checkout) -> None:
    checkout.start()
    assert checkout.pip_calls()
    done = checkout.start()
    assert checkout.pip_calls() == []
    assert done.stderr == ""


@needs_sh
def test_changed_pyproject_installs_the_project_again_and_leaves_torch(checkout: Checkout) -> None:
    checkout.start()
    checkout.pip_calls()
    (checkout.root / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    checkout.start()
    assert checkout.pip_calls() == [PROJECT]


@needs_sh
def test_tests_need_the_dev_libraries_and_a_plain_start_keeps_them(checkout: Checkout) -> None:
    checkout.start()
    checkout.pip_calls()
    checkout.start("test")
    assert checkout.pip_calls() == [PROJECT_WITH_DEV]
    checkout.start()
    assert checkout.pip_calls() == []
    (checkout.root / "pyproject.toml").write_text("# changed\n")
    checkout.start()
    assert checkout.pip_calls() == [PROJECT_WITH_DEV]


@needs_sh
def test_failed_installation_shows_the_log_and_is_done_again(checkout: Checkout) -> None:
    checkout.has("fail---editable", "Collecting gradio\nERROR: Failed to establish a new connection\n")
    done = checkout.start()
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ERROR: Failed to establish a new connection" in done.stderr
    assert "the package index cannot be reached" in done.stderr
    assert "What to do: check the network" in done.stderr
    assert "Collecting gradio" in (checkout.root / ".venv" / "install.log").read_text()
    checkout.pip_calls()
    checkout.has_no("fail---editable")
    assert checkout.start().returncode == 0
    assert checkout.pip_calls() == [PROJECT]  # torch was in place already


@needs_sh
def test_full_disk_is_not_tried_again_with_another_source(checkout: Checkout) -> None:
    checkout.has("index-answers")
    checkout.has("fail-torch==", "ERROR: Could not install packages: [Errno 28] No space left on device\n")
    done = checkout.start()
    assert len(installs(checkout.pip_calls())) == 1
    assert "the disk is full" in done.stderr


@needs_sh
def test_interrupted_installation_is_done_again(checkout: Checkout) -> None:
    checkout.has("slow")
    starting = subprocess.Popen(
        [checkout.root / "launch.sh"],
        env=checkout.variables(),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_interrupts,
    )
    wait_for(checkout.state / "calls")
    starting.send_signal(signal.SIGINT)
    _, said = starting.communicate(timeout=120)
    assert starting.returncode == 1
    assert "interrupted" in said
    checkout.pip_calls()
    assert checkout.start().returncode == 0
    assert PROJECT in checkout.pip_calls()


def heed_interrupts() -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a test run in the background ignores them, and passes that on


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@needs_sh
def test_two_starts_at_once_install_once(checkout: Checkout) -> None:
    checkout.has("slow")
    starts = [
        subprocess.Popen(
            [checkout.root / "launch.sh"],
            env=checkout.variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [start.communicate(timeout=240)[1] for start in starts]
    assert [start.returncode for start in starts] == [0, 0]
    assert installs(checkout.pip_calls()) == [TORCH, PROJECT]
    assert "Another start of LTX Wizard" in "".join(said)


@needs_sh
def test_environment_of_a_moved_checkout_is_made_anew(checkout: Checkout) -> None:
    checkout.start()
    moved = checkout.root.with_name("moved")
    checkout.root.rename(moved)
    checkout.root = moved
    assert checkout.plan()[0].endswith("-m venv ROOT/.venv")


@needs_sh
def test_broken_environment_is_made_anew_and_a_failure_of_the_real_pip_is_explained(
    checkout: Checkout,
) -> None:
    checkout.python.unlink()
    checkout.python.symlink_to("/nowhere/python3")
    (checkout.root / ".venv" / "left-over").touch()
    done = checkout.start(PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, PIP_NO_CACHE_DIR="1")
    assert done.returncode == 1
    assert "[1/3] Python environment: done" in done.stderr
    assert "a library has no version for this Python and this system" in done.stderr
    assert not (checkout.root / ".venv" / "left-over").exists()
    stamp = json.loads((checkout.root / ".venv" / "ltx-wizard-setup.json").read_text())
    assert (stamp["torch"], stamp["project"]) == ("2.13.0 unpinned", "")


# --- What runs


@needs_sh
@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], "{python} {app}"),
        (["--listen", "--port", "7000"], "{python} {app} --listen --port 7000"),
        (["demo", "--out", "a b", "--json"], "{python} -m ltx_wizard.cli demo --out 'a b' --json"),
        (["doctor"], "{python} -m ltx_wizard.cli doctor"),
        (["python", "benchmarks/x.py", "--n", "3"], "{python} benchmarks/x.py --n 3"),
        (["test", "-k", "a or b"], "{python} -m pytest -k 'a or b'"),
    ],
)
def test_words_choose_the_program(checkout: Checkout, words: list[str], command: str) -> None:
    root = "'" + str(checkout.root).replace("'", "'\"'\"'") + "{}'"
    expected = command.format(python=root.format("/.venv/bin/python"), app=root.format("/app.py"))
    done = checkout.start(*words, LTX_WIZARD_DRY_RUN="1")
    assert done.stdout.splitlines()[-1] == expected


@needs_sh
def test_dry_run_lists_every_step_and_changes_nothing(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / ".venv")
    before = sorted(checkout.root.rglob("*.toml"))
    plan = checkout.plan("test")
    steps = [
        " -m venv ",
        "torch==2.13.0",
        "--editable",
        "-m ruff check",
        "-m ruff format",
        "-m pyright",
        "-m pytest",
    ]
    positions = [next(i for i, line in enumerate(plan) if step in line) for step in steps]
    assert positions == sorted(positions)
    assert not (checkout.root / ".venv").exists()
    assert sorted(checkout.root.rglob("*.toml")) == before


@needs_sh
def test_status_and_output_are_the_programs_own(checkout: Checkout) -> None:
    done = checkout.start("check", "--json", PROGRAM_STATUS="7")
    assert done.returncode == 7
    assert done.stdout == "program output\nPYTHONPATH=\n"
    assert "Ready after" in done.stderr


@needs_sh
def test_no_other_libraries_leak_into_the_program(checkout: Checkout) -> None:
    assert "PYTHONPATH=\n" in checkout.start(PYTHONPATH="/somewhere/else").stdout


@needs_sh
def test_launch_works_through_a_link_from_another_folder(checkout: Checkout, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(Path("LTX Wizard's copy") / "launch.sh")
    (checkout.bin / "ltx").symlink_to(link)
    for command in (link, checkout.bin / "ltx"):
        done = subprocess.run(
            [command], env=checkout.variables(), cwd="/", capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("program output")


# --- Checks and tests


@needs_sh
def test_checks_run_before_the_tests_and_arguments_leave_them_out(checkout: Checkout) -> None:
    checkout.start("test")
    assert programs(checkout) == [
        "ruff check",
        "ruff format",
        "pyright --version",
        "pyright --pythonpath",
        "pytest -n",
    ]
    checkout.start("test", "tests/test_launch.py")
    assert programs(checkout) == ["pytest tests/test_launch.py"]


def programs(checkout: Checkout) -> list[str]:
    calls = (checkout.state / "calls").read_text().splitlines()
    (checkout.state / "calls").unlink()
    return [" ".join(call.split()[1:3]) for call in calls if not call.startswith("-m pip")]


@needs_sh
def test_failed_check_fails_the_whole_though_the_tests_pass(checkout: Checkout) -> None:
    checkout.has("ruff-fails")
    done = checkout.start("test")
    assert done.returncode == 1
    assert "FAILED before the tests: code style (ruff)" in done.stderr
    assert "pytest -n" in programs(checkout)


@needs_sh
def test_failed_tests_give_pytests_status(checkout: Checkout) -> None:
    assert checkout.start("test", PROGRAM_STATUS="5").returncode == 5


@needs_sh
def test_type_check_that_cannot_start_is_skipped_in_words(checkout: Checkout) -> None:
    checkout.has("no-node")
    done = checkout.start("test")
    assert done.returncode == 0
    assert "type check skipped:" in done.stderr
    assert "pyright --pythonpath" not in programs(checkout)


# --- Words for people


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", failures.NO_SPACE),
        ("[WinError 112] There is not enough space on the disk", failures.NO_SPACE),
        ("NewConnectionError(...)\nERROR: No matching distribution found for torch", failures.NO_NETWORK),
        ("SSLError: [SSL: CERTIFICATE_VERIFY_FAILED]\nMax retries exceeded", failures.BAD_CERTIFICATE),
        ("ERROR: No matching distribution found for torch==2.13.0", failures.NO_BUILD),
        ("[WinError 32] The process cannot access the file", failures.NOT_WRITABLE),
        ("HINT: this system does not have Windows Long Path support enabled", failures.PATH_TOO_LONG),
        ("error: subprocess-exited-with-error", failures.UNKNOWN),
    ],
)
def test_cause_is_read_from_the_output(output: str, cause: failures.Cause) -> None:
    assert cause_of(output) is cause


def test_failure_reads_as_log_problem_and_remedy() -> None:
    failure = SetupFailed(failures.NO_SPACE, ["ERROR: full"], Path("install.log"))
    assert str(failure).split("\n")[:4] == ["", "The last lines of install.log:", "    ERROR: full", ""]
    assert "What to do: free some space" in str(failure)


@pytest.mark.parametrize(
    ("output", "activity"),
    [
        ("Collecting torch==2.13.0\n", "looking for torch"),
        ("  Downloading torch-2.13.0-cp312-cp312-linux.whl (888.1 MB)\n", "downloading torch, 888.1 MB"),
        ("Progress 444 of 888\n", "before: 50 %"),
        ("Installing collected packages: torch\n", "unpacking"),
        ("anything else\n", "before"),
    ],
)
def test_pip_output_becomes_an_activity(output: str, activity: str) -> None:
    assert activity_after(output, "before") == activity


def test_both_launch_files_look_for_every_supported_python() -> None:
    sh = (REPOSITORY / "launch.sh").read_text()
    bat = (REPOSITORY / "launch.bat").read_text()
    for minor in range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1):
        assert f"python3.{minor}" in sh
        assert f"call :try py -3.{minor}" in bat


def test_batch_file_is_ascii_with_windows_line_ends() -> None:
    content = (REPOSITORY / "launch.bat").read_bytes()
    assert content.isascii()
    assert content.count(b"\n") == content.count(b"\r\n") > 0
