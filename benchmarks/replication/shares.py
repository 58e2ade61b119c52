"""What `presel plan` quotes: the share of full-data quality that budgets reached on the benchmark pools.

    python -m benchmarks.replication.shares RESULTS.jsonl=POOL ...

writes presel/runs/benchmark.json from lines that are there; the command of the evidence ends with the same, into its
work folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.replication.pools import Pool
from benchmarks.replication.results import Results
from benchmarks.replication.scoring import held_out

ARM = "prior-coverage-auto"  # presel/runs/benchmark.py says it in words
PRODUCT = Path(__file__).parents[2] / "presel" / "runs" / "benchmark.json"


def shares(results: Results, training: str = "steps") -> dict[str, Any] | None:
    """Of one pool: by budget, what ours and random picks reached of full data; None without full data."""
    whole = results.seeds("full", 1.0, training)
    if not whole:
        return None
    full = results.macro(results.matrix("full", 1.0, training, whole))
    found = {
        name: [
            {"share": budget, "seeds": len(seeds), "of_full": round(of_full, 4)}
            for budget in sorted({t.budget for t in results.lines if (t.arm, t.training) == (arm, training)})
            if (seeds := results.seeds(arm, budget, training))
            and (of_full := results.macro(results.matrix(arm, budget, training, seeds)) / full)
        ]
        for name, arm in (("ours", ARM), ("random", "random"))
    }
    return {"pool": results.path.stem, **found}


def write_shares(results: Results, work: Path) -> str:
    """Those of every pool of the work folder, in `benchmark.json`; says where."""
    path = work / "benchmark.json"
    known = json.loads(path.read_text())["pools"] if path.exists() else []
    here = shares(results)
    pools = [pool for pool in known if pool["pool"] != results.path.stem] + ([here] if here else [])
    write(pools, path)
    return f"Shares of full data by budget: {path}"


def write(pools: Iterable[dict[str, Any]], path: Path) -> None:
    ordered = sorted(pools, key=lambda pool: str(pool["pool"]))
    path.write_text(json.dumps({"made_by": "python -m benchmarks.replication", "pools": ordered}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="RESULTS.jsonl=POOL")
    parser.add_argument("--questions", type=int, default=250)
    given = parser.parse_args()
    named = [pair.rsplit("=", 1) for pair in given.results]
    found = [shares(Results(Path(lines), tasks_of(Path(pool), given.questions))) for lines, pool in named]
    write([pool for pool in found if pool], PRODUCT)


def tasks_of(pool: Path, a_task: int) -> list[str]:
    """The task of every question of the pool's test."""
    return [one.task for one in held_out(Pool(pool), a_task)]


if __name__ == "__main__":
    main()
