"""What Prefect costs: the same refresh as plain calls and as a flow, in wall time, CPU-seconds, memory and rows of the server.

    OMP_NUM_THREADS=2 python -m benchmarks.orchestration --images 100000     tiny pictures in 20 tasks, encoder `builtin`
    OMP_NUM_THREADS=1 python -m benchmarks.orchestration --demo 330          the demo's pool, scored by its model

The server is Prefect's own on SQLite, in a process of its own. The second flow run finds everything cached, so its time is what
orchestration costs by itself, listing and keys included. Of the tiny pictures 1 % are instructed, by an endpoint on this
machine that answers at once, and weights are imported: work that would hide the cost is left out, so shares are upper bounds.
"""

from __future__ import annotations

import argparse
import io
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from presel.config import BudgetConfig, ReferenceConfig, ReferenceModelConfig, RefreshConfig
from presel.demo.endpoint import serve
from presel.demo.setting import ENDPOINT, KEY, demo_config, environment, staged

TASKS = 20


def cpu_of(pid: int) -> float:
    """CPU-seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int, what: str = "VmHWM") -> float:
    """MB; VmHWM is the peak, VmRSS what is resident now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def server_process() -> int:
    """The only child of this process that is a server."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return next(int(pid) for pid in children if "uvicorn" in Path(f"/proc/{pid}/cmdline").read_text())


class Database(NamedTuple):
    """What the server has written."""

    megabytes: float
    task_runs: int
    rows: dict[str, int]


def database() -> Database:
    from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

    path = Path(str(PREFECT_API_DATABASE_CONNECTION_URL.value()).partition("///")[2])
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as opened:
        names = ("flow_run", "task_run", "task_run_state", "events", "event_resources", "log", "artifact")
        rows = {name: opened.execute(f"select count(*) from {name}").fetchone()[0] for name in names}
    return Database(size / 1e6, rows["task_run"], rows)


def measured(name: str, work: Callable[[], object], server: int) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    base, before, of_server = memory_of(os.getpid(), "VmRSS"), time.process_time(), cpu_of(server)
    recorded, started = database(), time.perf_counter()
    work()
    wall, here = time.perf_counter() - started, time.process_time() - before
    time.sleep(8)  # the server records task runs from events, a little after they happened
    now = database()
    added = {table: count - recorded.rows[table] for table, count in now.rows.items() if count != recorded.rows[table]}
    print(
        f"{name:18} {wall:7.1f} s wall {here:7.1f} s CPU here {cpu_of(server) - of_server:7.1f} s CPU server "
        f"{memory_of(os.getpid()):6.0f} MB peak here ({base:.0f} before) {memory_of(server):6.0f} MB peak server "
        f"{now.megabytes - recorded.megabytes:6.1f} MB of database {added}",
        flush=True,
    )


def draw(folder: Path, images: int) -> None:
    """Pictures of 32 x 32 in folders of equal size: a colour of the task and noise."""
    generator = np.random.default_rng(0)
    for number in range(images):
        task = number % TASKS
        place = folder / f"task{task:02d}" / f"{number:07d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((32, 32, 3), (12 * task, 255 - 12 * task, 128)) + generator.normal(0, 60, (32, 32, 3))
        data = io.BytesIO()
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=80)
        place.write_bytes(data.getvalue())


@contextmanager
def tiny(folder: Path, images: int) -> Iterator[RefreshConfig]:
    started = time.perf_counter()
    draw(folder / "pool", images)
    print(f"{images:,} pictures drawn in {time.perf_counter() - started:.0f} s", flush=True)
    weights = "task,weight\n" + "".join(f"task{task:02d},{1 / TASKS}\n" for task in range(TASKS))
    (folder / "weights.csv").write_text(weights)
    with serve(lambda *_: [("What is it?", "Noise.")]) as endpoint, environment(**{ENDPOINT: endpoint.url, KEY: "k"}):
        yield demo_config(str(folder / "pool"), "").model_copy(
            update={
                "reference": ReferenceConfig(share=0.005),
                "budget": BudgetConfig(share=0.01),
                "reference_model": ReferenceModelConfig(model="builtin", precomputed=str(folder / "weights.csv")),
            }
        )


@contextmanager
def demo(folder: Path, images: int) -> Iterator[RefreshConfig]:
    with staged(folder, images=images) as setting:
        model = ReferenceModelConfig(model="builtin", fit="none")
        yield setting.config.model_copy(update={"reference_model": model})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--demo", type=int, help="that many pictures of the demo instead")
    parser.add_argument("--part-size", type=int, default=1000)
    asked = parser.parse_args()
    from prefect.testing.utilities import prefect_test_harness

    from flows.refresh import refresh
    from presel.stages.report import build_report
    from tasks.results import results_in
    from tests.refresh.straight import straight

    with (
        tempfile.TemporaryDirectory() as name,
        demo(Path(name), asked.demo) if asked.demo else tiny(Path(name), asked.images) as config,
        prefect_test_harness(server_startup_timeout=120),
    ):
        server = server_process()
        print(f"load {os.getloadavg()[0]:.1f}; start of the server: {cpu_of(server):.1f} s CPU", flush=True)

        def at(store: str) -> RefreshConfig:
            source = config.source.model_copy(update={"part_size": asked.part_size})
            return config.model_copy(update={"store": f"{name}/{store}", "source": source})

        flow = refresh.with_options(result_storage=results_in(at("flow").store))
        measured("plain calls", lambda: build_report(straight(at("plain"))), server)
        measured("flow", lambda: flow(at("flow")), server)
        measured("flow, all cached", lambda: flow(at("flow")), server)


if __name__ == "__main__":
    main()
