"""A version of 1.5 million records (15 % of ten million images), without the pool: what publishing and its memory come to.

    python -m benchmarks.publishing /big/folder --records 1500000

A third of the records are reference samples with losses, the others were selected; their answers are as long as a conversation
of two turns. The tables are made up; publishing is the real one, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.scale_pool import Pool
from presel.config.keys import digest, sample_id, stage_key
from presel.dataset import versions
from presel.runs.run_record import RunRecord
from presel.stages.publish import publish
from presel.tables.schemas import CATALOG, INSTRUCTIONS, PLAN, SELECTION, TableRef, samples
from presel.tables.table_store import Output

_TASKS = 191
_WORDS = [f"word{number}" for number in range(5000)]


def make(pool: Pool) -> None:
    generator = np.random.default_rng(0)
    catalog, pooled = (_empty(pool, *one) for one in (("ingest", CATALOG), ("assemble", samples(8))))
    names = [f"task{task:03d}" for task in range(_TASKS)]
    both = [list(_instructed(pool, task, kind, generator)) for task in names for kind in ("reference", "instruct")]
    reference, instructions = [refs[0] for refs in both[::2]], [refs[0] for refs in both[1::2]]
    pool.keep(
        catalog=[catalog],
        samples=[pooled],
        model=[pool.model()],
        plan=[_plan(pool, names)],
        reference_instructions=reference,
        instructions=instructions,
        selection=[refs[1] for refs in both[1::2]],
        relevance=[pool.relevance(ref) for ref in reference],
    )


def _instructed(pool: Pool, task: str, kind: str, generator: np.random.Generator) -> Iterator[TableRef]:
    """Instructions, and the selection that they answer."""
    count = int(pool.sizes[int(task[4:])]) // (3 if kind == "reference" else 1)
    count = count if kind == "reference" else count - count // 3
    content = [digest(f"{kind} {task} {number}".encode()) for number in range(count)]
    words = generator.choice(_WORDS, (200, 60))
    said = [[{"question": " ".join(row[:10]), "response": " ".join(row[10:])}] * 2 for row in words]
    columns: dict[str, object] = {
        "sample_id": [sample_id(task, one) for one in content],
        "task": [task] * count,
        "key": [f"{task}/train/2026/{kind}-{number:012d}.jpg" for number in range(count)],
        "content": content,
    }
    answered = {
        "kind": ["conversation"] * count,
        "turns": [said[number % 200] for number in range(count)],
        "model": ["made up"] * count,
        "request": content,
        "input_tokens": [900] * count,
        "output_tokens": [300] * count,
        "cost_usd": [0.0005] * count,
    }
    yield _table(pool, "instruct", f"{kind} {task}", INSTRUCTIONS, columns | answered)
    place = {
        "cluster": [number // 100 for number in range(count)],
        "centrality": [0.5] * count,
        "rank": [0] * count,
        "order": range(count),
        "picked": [True] * count,
        "kept": [False] * count,
    }
    yield _table(pool, "select", f"{kind} {task}", SELECTION, columns | place)


def _plan(pool: Pool, names: list[str]) -> TableRef:
    counts = {field.name: [0.5 if pa.types.is_floating(field.type) else 1000] * len(names) for field in PLAN}
    return _table(pool, "plan", "all", PLAN, counts | {"task": names})


def _empty(pool: Pool, stage: str, schema: pa.Schema) -> TableRef:
    return _table(pool, stage, "none", schema, {name: [] for name in schema.names})


def _table(pool: Pool, stage: str, label: str, schema: pa.Schema, columns: dict[str, object]) -> TableRef:
    out = Output(pool.store, stage, stage_key(stage, 0, {"label": label}))
    out.write(pa.table(columns, schema=schema), schema, label)
    out.note(pool="made up")
    return out.commit({})


def publishing(pool: Pool) -> str:
    ones = {name: pool.one(name) for name in ("catalog", "samples", "model", "plan")}
    several = {
        name: tuple(pool.some(name)) for name in ("reference_instructions", "relevance", "selection", "instructions")
    }
    nothing = dict.fromkeys(("embeddings", "clusters", "reference", "rankings"), ())
    dataset = publish(RunRecord.model_validate({"config": pool.config, **ones, **several, **nothing}))
    files = versions.manifest(dataset)["files"].values()
    return f"{dataset.records:,} records, {sum(file['bytes'] for file in files) / 1e6:,.0f} MB"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--records", type=int, default=1_500_000)
    options.add_argument("--step", choices=["make", "publish"])
    asked = options.parse_args()
    pool = Pool(asked.folder, asked.records, _TASKS, 8, 1000, mixed=False)
    if asked.step == "make":
        make(pool)
    elif asked.step == "publish":
        cpu, wall = time.process_time(), time.perf_counter()
        said = publishing(pool)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| publish | {wall:,.1f} | {cpu:,.1f} | {peak:,.0f} | {said} |")
    else:
        print(
            f"load {os.getloadavg()[0]:.1f}; {json.dumps(vars(asked), default=str)}\n| step | wall s | CPU s | peak MB | |"
        )
        for step in ("make", "publish"):
            command = [sys.executable, "-m", "benchmarks.publishing", str(asked.folder), f"--records={asked.records}"]
            subprocess.run([*command, "--step", step], check=True)


if __name__ == "__main__":
    main()
