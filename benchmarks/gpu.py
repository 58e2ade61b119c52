"""What a GPU is worth here, and whether it computes the same: one command on a bare machine, one JSON of results.

    python -m benchmarks.gpu --minutes 8 --out gpu.json
    python -m benchmarks.gpu --device cpu --tiny --minutes 3        the same code in small, on a CPU

Every part runs in a process of its own and is ended when its share of the minutes is over; what it had measured until
then counts. Weights are random and pictures are made here: nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.gpu_parts import PARTS, Size


def main(arguments: list[str] | None = None) -> None:
    given = _given(arguments)
    size = Size(given.device, given.tiny)
    if given.part:
        PARTS[given.part].measure(size, lambda **found: print(json.dumps(found), flush=True))
        return
    until, found = time.monotonic() + 60 * given.minutes, {"machine": _machine(given.device)}
    wanted = given.parts or list(PARTS)
    for n, name in enumerate(wanted):
        shares = sum(PARTS[later].share for later in wanted[n:])
        seconds = (until - time.monotonic()) * PARTS[name].share / shares
        found[name] = {"is": PARTS[name].says, **_run(name, given, seconds)}
        print(f"{name}: {json.dumps(found[name])}", flush=True)
        _write(given.out, found)


def _run(name: str, given: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """What the part printed, a line of JSON for every figure, and how it ended."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--part", name, "--device", given.device]
    started, found = time.monotonic(), dict[str, Any]()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen([*command, *["--tiny"] * given.tiny], stdout=out, stderr=err, start_new_session=True)
        try:
            ended = "done" if child.wait(seconds) == 0 else "failed"
        except subprocess.TimeoutExpired:
            ended = "its time was over"
            os.killpg(child.pid, 9)
            child.wait()
        out.seek(0), err.seek(0)
        for line in out:
            if line.startswith("{"):
                found |= json.loads(line)
        if ended == "failed":
            found["error"] = err.read()[-600:]
    return {**found, "ended": ended, "seconds": round(time.monotonic() - started, 1)}


def _machine(device: str) -> dict[str, Any]:
    import torch

    card = torch.cuda.get_device_name() if device == "cuda" else None
    told = {"device": device, "card": card, "cores": os.cpu_count(), "cpu": platform.machine()}
    return {**told, "torch": torch.__version__, "date": datetime.now(UTC).date().isoformat()}


def _write(path: Path | None, found: dict[str, Any]) -> None:
    if path is not None:
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(found, indent=1) + "\n")
        aside.replace(path)


def _given(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8, help="in all, never more")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="sizes that a CPU does in seconds")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), help="these alone")
    parser.add_argument("--out", type=Path, help="the JSON of all results, written after every part")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not given.part:
        import torch

        if not torch.cuda.is_available():
            parser.error("torch sees no GPU: check the driver, or ask for --device cpu --tiny")
    return given


if __name__ == "__main__":
    main()
