"""What Prefect costs: the same refresh as plain calls and as a flow, in CPU-seconds of this process and of the server.

    OMP_NUM_THREADS=1 python -m benchmarks.orchestration --images 330

CPU-seconds, because a shared machine's wall time says more about the neighbours. The server is Prefect's own on SQLite, in a
process of its own; its CPU includes its start, which is measured apart. The second flow run finds everything cached.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from presel.config import ReferenceModelConfig, RefreshConfig
from presel.demo.setting import staged


def cpu_of(pid: int) -> float:
    """CPU-seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def server_process() -> int:
    """The only child of this process that is a server."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return next(int(pid) for pid in children if "uvicorn" in Path(f"/proc/{pid}/cmdline").read_text())


def measured(name: str, work: Callable[[], object], server: int) -> None:
    before, of_server, started = time.process_time(), cpu_of(server), time.perf_counter()
    work()
    here = time.process_time() - before
    time.sleep(5)  # the server records task runs from events, a little after they happened
    wall = time.perf_counter() - started - 5
    print(f"{name:24} {here:7.2f} s here {cpu_of(server) - of_server:7.2f} s server {wall:7.1f} s wall", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=330)
    arguments = parser.parse_args()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, PREFECT_LOGGING_LEVEL, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    from flows.refresh import refresh
    from tasks.results import results_in
    from tests.refresh.straight import straight

    quiet = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_LOGGING_LEVEL: "ERROR"}
    with (
        tempfile.TemporaryDirectory() as folder,
        staged(Path(folder), images=arguments.images) as setting,
        prefect_test_harness(server_startup_timeout=120),
        temporary_settings(quiet),
    ):
        server = server_process()
        print(f"{'server start':24} {'':15} {cpu_of(server):7.2f} s server")
        model = ReferenceModelConfig(model="builtin", fit="none")

        def at(store: str) -> RefreshConfig:
            return setting.config.model_copy(update={"store": f"{folder}/{store}", "reference_model": model})

        straight(at("warm"))  # imports, the model, the compiled loops
        measured("plain calls", lambda: straight(at("plain")), server)
        flow = refresh.with_options(result_storage=results_in(at("flow").store))
        measured("flow", lambda: flow(at("flow")), server)
        measured("flow, all cached", lambda: flow(at("flow")), server)


if __name__ == "__main__":
    main()
