"""presel and bespokelabs-curator on the same endpoint: `python -m benchmarks.instructions side --peer-python PATH`.

Calls are counted at the endpoint. Each side begins with an empty store, asks, asks again, asks for one more row, and asks with
another system prompt; then once under each fault profile.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.endpoints import endpoint
from benchmarks.instruct_pool import pool, settings, table_of
from presel.config import ImageConfig, PromptConfig, SourceConfig
from presel.stages.instruct import instruct


def side(n: int, peer: str | None) -> dict[str, Any]:
    """Both on the same endpoint, each with an empty store: calls it takes, calls again, calls for one more row, and so on."""
    if peer is None or not Path(peer).exists():
        return {"skipped": "no --peer-python: a Python that has bespokelabs-curator 0.1.31 or later"}
    found: dict[str, Any] = {"rows": n}
    for name, ask in (("presel", ask_presel), ("curator", lambda *of: ask_curator(peer, *of))):
        for faults in ("none", "mild", "storm"):
            with tempfile.TemporaryDirectory() as folder, endpoint(0.05, "--faults", faults) as server:
                pool(
                    Path(folder), n + 1, pictures=n + 1
                )  # faults are drawn by what is sent: equal pictures, equal faults
                if faults != "none":
                    seconds, rows, said = ask(server.url, folder, n, "Be exact.")
                    found[f"{name}, {faults}"] = {
                        "calls_per_row": round(server.counts()["total"] / n, 2),
                        "rows": rows,
                        "seconds": round(seconds, 1),
                        **({"error": said} if said else {}),
                    }
                    continue
                calls, results = [0], []
                for rows, system in ((n, "Be exact."), (n, "Be exact."), (n + 1, "Be exact."), (n + 1, "Be brief.")):
                    results.append(ask(server.url, folder, rows, system))
                    calls.append(server.counts()["total"])
                first, again, one_more, reworded = np.diff(calls).tolist()
                found[name] = {
                    "requests_per_second": round(first / results[0][0], 1),
                    "calls": first,
                    "calls_on_rerun": again,
                    "calls_after_one_more_row": one_more,
                    "calls_after_a_changed_system_prompt": reworded,
                }
    return {**found, "load": round(os.getloadavg()[0], 1)}


def ask_presel(url: str, folder: str, rows: int, system: str) -> tuple[float, int, str | None]:
    prompt = PromptConfig(system=system)
    started = time.monotonic()
    wanted = table_of(Path(folder), rows)
    ref = instruct(
        wanted, SourceConfig(uri=f"{folder}/pool"), settings(url, concurrency=48, prompt=prompt), ImageConfig()
    )
    return time.monotonic() - started, ref.rows, None


def ask_curator(peer: str, url: str, folder: str, rows: int, system: str) -> tuple[float, int, str | None]:
    script = str(Path(__file__).with_name("curator_rows.py"))
    command = [peer, script, url, f"{folder}/pool/t", str(rows), f"{folder}/cache", system, "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = next((line for line in done.stdout.splitlines()[::-1] if line.startswith('{"seconds"')), None)
    if said is None:
        return float("nan"), 0, done.stderr[-300:]
    result = json.loads(said)
    return result["seconds"], result["rows"], result["error"]
