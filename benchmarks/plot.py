"""The plot of a long training in the real window: page work for each update, and memory over time.

    python benchmarks/plot.py --json [--minutes 30] [--points 100000] [--height 900]

Four runs of that many steps are written; the window shows one on the step Train and all four over each other.
Each second every run gets one step more, as four trainings would write it. A headless Chromium is asked, over
its debugging protocol, how long its main thread worked in each second (everything: fetching, drawing,
layout; in processor time, because other programs lengthen the time by the clock), which tasks took longer
than 50 ms by the clock, and what is left on the heap after a collection. Chromium finishes some canvases
after the task that drew them, so the whole processor time of that thread is asked for too, and judged. The
server's answers and its memory are measured from outside. Needs Chromium and playwright.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from urllib.request import urlopen

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from ltx_wizard.core.documents import write_document
from ltx_wizard.core.events import EventWriter, Started, StepDone, Validated
from ltx_wizard.core.places import ROOT
from ltx_wizard.core.project import Project, ProjectSettings
from ltx_wizard.core.recipe import Recipe, with_settings
from ltx_wizard.core.run import Job, JobFolder, TrainJob, WorkerIdentity

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession, Page

RUNS = 4
LIMIT_MS = 200
"""Processor time of the main thread that 95 of 100 updates must stay under."""
GROWTH_LIMIT = 0.1
"""Memory counts as growing where the last fifth of the time needs so much more than the second fifth, beyond
what the new points themselves take."""
BYTES_PER_POINT = 400
"""What a new point may take: its numbers in the plots (24 bytes a line, with room to grow) and the page."""

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)
_HEAP_EVERY_S = 10
_LONG_TASKS = """window.longTasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
}).observe({ entryTypes: ["longtask"] });"""


class Training:
    """Writes the events of one run, as a worker would; its life is that of this process."""

    def __init__(self, project: Project, number: int, points: int) -> None:
        recipe = with_settings(Recipe(title=f"Run {number}", steps=2 * points), {"lora.rank": 8 * number})
        job = Job(settings=TrainJob(recipe=recipe, dataset_fingerprint="x"), created=time.time())
        self._folder = JobFolder.create(project.runs_folder, "long", job)
        me = psutil.Process()
        write_document(
            self._folder.worker_file,
            WorkerIdentity(pid=me.pid, process_start_time=me.create_time(), host=socket.gethostname()),
        )
        self._draw, self._steps, self.step = random.Random(number), 2 * points, 0
        self._writer = EventWriter(self._folder.events_file)
        self._writer.write(Started(pid=me.pid, steps=self._steps))

    @property
    def name(self) -> str:
        return self._folder.name

    def add(self) -> None:
        self.step += 1
        level = 0.3 + 0.3 * 0.99997**self.step
        self._writer.write(
            StepDone(
                step=self.step, steps=self._steps, loss=abs(self._draw.gauss(level, 0.12)),
                learning_rate=1e-4, grad_norm=abs(self._draw.gauss(0.4, 0.15)), step_s=1.0, memory_gib=13.2,
            )
        )  # fmt: skip
        if self.step % 200 == 0:
            self._writer.write(Validated(step=self.step, loss=level + self._draw.gauss(0.03, 0.005)))


def measure(minutes: float, points: int, height_px: int) -> dict[str, object]:
    """Everything that is reported. Raises RuntimeError where there is no Chromium."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise RuntimeError("There is no Chromium here. Install it, and: pip install playwright")
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        project = Project.create(home / "project", ProjectSettings.model_validate({"name": "Long"}))
        trainings = [Training(project, number, points) for number in range(1, RUNS + 1)]
        for training in trainings:
            for _ in range(points):
                training.add()
        with _app(home) as (address, server), sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=program, args=_FLAGS.split())
            page = browser.new_page(viewport={"width": 1440, "height": height_px})
            page.set_default_timeout(180_000)
            page.add_init_script(_LONG_TASKS)
            began = time.monotonic()
            page.goto(f"{address}/?project={quote(str(project.folder))}&step=train")
            _wait_for_points(page, "#wz-train", points)
            page.locator("#wz-runs summary").first.click()
            page.wait_for_function(
                "all => document.querySelectorAll('#wz-runs .wz-plot-key').length === all", arg=RUNS
            )
            _wait_for_points(page, "#wz-runs", points)
            page.locator("#wz-runs .wz-plot").scroll_into_view_if_needed()
            page.wait_for_timeout(3000)
            loading_s = time.monotonic() - began
            loading_longest = page.evaluate("Math.max(0, ...window.longTasks)")
            page.evaluate("window.longTasks.length = 0")
            watched = _watch(page, server, address, project, trainings, minutes)
            browser.close()
    return {
        "points": points,
        "series": RUNS,
        "minutes": minutes,
        "loading_s": round(loading_s, 1),
        "loading_longest_task_ms": round(loading_longest, 1),
        **watched,
    }


def _watch(
    page: Page,
    server: psutil.Process,
    address: str,
    project: Project,
    trainings: list[Training],
    minutes: float,
) -> dict[str, object]:
    protocol = page.context.new_cdp_session(page)
    protocol.send("Performance.enable", {"timeDomain": "threadTicks"})
    protocol.send("HeapProfiler.enable")
    work: list[float] = []
    whole: list[float] = []
    heap: list[tuple[float, float]] = []
    nodes: list[float] = []
    answers: list[float] = []
    rss: list[float] = []
    first_step, began, next_heap = trainings[0].step, time.monotonic(), 0.0
    last = _worked_s(protocol)
    while (passed := time.monotonic() - began) < minutes * 60:
        for training in trainings:
            training.add()
        page.wait_for_timeout(1000)
        now = _worked_s(protocol)
        work.append((now[0] - last[0]) * 1000)
        whole.append((now[1] - last[1]) * 1000)
        if passed >= next_heap:
            next_heap = passed + _HEAP_EVERY_S
            heap.append((passed, _heap_mib(protocol)))
            nodes.append(_metrics(protocol)["Nodes"])
            answers.append(_answer_ms(address, project, trainings[0]))
            rss.append(server.memory_info().rss / 2**20)
        last = _worked_s(protocol)
    new_points = (trainings[0].step - first_step) * RUNS
    early, late = _part(heap, 0.2, 0.4), _part(heap, 0.8, 1.01)
    allowed = new_points * BYTES_PER_POINT / 2**20 + early * GROWTH_LIMIT
    longest = page.evaluate("Math.max(0, ...window.longTasks)")
    return {
        "updates": len(work),
        "new_points": new_points,
        "page_work_ms": _spread(work),
        "main_thread_ms": _spread(whole),
        "long_tasks": page.evaluate("window.longTasks.length"),
        "longest_task_ms": round(longest, 1),
        "drawing_ms": {
            part: float(page.locator(f"{part} .wz-plot").get_attribute("data-draw-ms") or 0)
            for part in ("#wz-train", "#wz-runs")
        },
        "heap_mib": [[round(at), round(size, 2)] for at, size in heap],
        "heap_early_mib": round(early, 2),
        "heap_late_mib": round(late, 2),
        "nodes_first_last": [nodes[0], nodes[-1]],
        "server_answer_ms": {"median": round(statistics.median(answers), 1), "most": round(max(answers), 1)},
        "load_of_computer": [round(value, 1) for value in os.getloadavg()]
        if hasattr(os, "getloadavg")
        else [],
        "server_rss_mib": [round(rss[0]), round(rss[-1])],
        "page_work_under_limit": _share_below(whole, 0.95) < LIMIT_MS,
        "memory_grows": late - early > allowed,
    }


@contextmanager
def _app(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The window, served by a process of its own: (address, process)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "LTX_WIZARD_HOME": str(home / "home"), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "app.py", "--no-browser", "--port", str(port)],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ready at" in line:
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait(timeout=30)


def _wait_for_points(page: Page, part: str, points: int) -> None:
    page.wait_for_function(
        "([part, points]) => +document.querySelector(`${part} .wz-plot`)?.dataset.points >= points",
        arg=[part, points],
    )


def _worked_s(protocol: CDPSession) -> tuple[float, float]:
    """How long the page's main thread has worked since it was opened: in its tasks, and altogether."""
    found = _metrics(protocol)
    return found["TaskDuration"], found["ThreadTime"]


def _metrics(protocol: CDPSession) -> dict[str, float]:
    found = protocol.send("Performance.getMetrics")["metrics"]
    return {str(item["name"]): float(item["value"]) for item in found}


def _heap_mib(protocol: CDPSession) -> float:
    """What lives on the heap after a collection, typed arrays included."""
    protocol.send("HeapProfiler.collectGarbage")
    usage = protocol.send("Runtime.getHeapUsage")
    return (usage["usedSize"] + usage.get("backingStorageSize", 0)) / 2**20


def _answer_ms(address: str, project: Project, training: Training) -> float:
    """A question for what is new in a run, as the page asks each second."""
    query = f"project={quote(str(project.folder))}&run={training.name}&gen=1&rows={training.step}"
    began = time.monotonic()
    with urlopen(f"{address}/wizard/live/run?{query}") as answer:
        answer.read()
    return (time.monotonic() - began) * 1000


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "p95": round(_share_below(values, 0.95), 1),
        "most": round(max(values), 1),
    }


def _share_below(values: list[float], share: float) -> float:
    """The value that this share of them lies below."""
    return sorted(values)[int(share * (len(values) - 1))]


def _part(series: list[tuple[float, float]], start: float, end: float) -> float:
    """The median of what was measured in a part of the time."""
    whole = series[-1][0] or 1.0
    return statistics.median([size for at, size in series if start <= at / whole <= end] or [series[-1][1]])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--height", type=int, default=2400, help="of the window; 900: one plot at a time")
    parser.add_argument("--json", action="store_true", help="only JSON")
    given = parser.parse_args()
    result = measure(given.minutes, given.points, given.height)
    print(json.dumps(result, indent=None if given.json else 2))
    return 0 if result["page_work_under_limit"] and not result["memory_grows"] else 1


if __name__ == "__main__":
    sys.exit(main())
