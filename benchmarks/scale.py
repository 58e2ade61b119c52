"""A refresh of a million images or ten, without the images: every stage that holds pool or task, at full size, step by step.

    python -m benchmarks.scale /big/folder --images 1000000                        all steps, each in a process of its own
    python -m benchmarks.scale /big/folder --images 1000000 --step cluster rank    some of them, on what the others left
    python -m benchmarks.scale /big/folder --images 10000000 --tasks 191 --dimensions 128 --part-size 10000

The catalog lists objects that do not exist; vectors are drawn part by part, instructions and losses are made up; the stages are
the real ones, on real tables. `vectors`, `answers` and `losses` stand for stages whose time is that of a model or a provider.
Printed for each step: wall and CPU seconds, the peak of the process's memory and how much of that was there before it began.
Task sizes fall as 1 / sqrt(rank): of 10 tasks the largest has a fifth of the pool, of 191 a 26th.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.scale_pool import Pool
from presel.dataset import versions
from presel.runs import run_record
from presel.runs.housekeeping import gc, verify
from presel.runs.run_record import RunRecord
from presel.stages import ingest as ingestion
from presel.stages.assemble import assemble
from presel.stages.cluster import cluster
from presel.stages.plan import plan_budget
from presel.stages.publish import publish
from presel.stages.rank import rank
from presel.stages.recall import recall
from presel.stages.reference import draw_reference
from presel.stages.report import build
from presel.stages.select import select
from presel.tables import table_store


def listing(pool: Pool) -> str:
    ingestion.open_source = pool.source  # type: ignore[assignment,attr-defined]
    catalog = ingestion.ingest(pool.config.source, pool.store)
    pool.keep(catalog=[catalog])
    return f"{catalog.rows:,} rows in {len(catalog.parts):,} parts"


def unchanged(pool: Pool) -> str:
    return listing(pool)


def grown(pool: Pool) -> str:
    """One percent more, into a catalog that is not used further."""
    ingestion.open_source = pool.grown  # type: ignore[assignment,attr-defined]
    facts = table_store.facts(ingestion.ingest(pool.config.source, pool.store))
    return f"{facts['new']:,} new, {facts['kept']:,} kept"


def vectors(pool: Pool) -> str:
    embeddings = pool.draw_vectors()
    pool.keep(embeddings=embeddings)
    return f"{sum(part.bytes for ref in embeddings for part in ref.parts) / 1e9:.2f} GB"


def samples(pool: Pool) -> str:
    made = assemble(pool.one("catalog"), pool.some("embeddings"))
    pool.keep(samples=[made])
    return f"{made.rows:,} samples, {len(made.parts)} tasks, the largest {max(part.rows for part in made.parts):,}"


def clusters(pool: Pool) -> str:
    made = [cluster(task, pool.config.clustering, 0) for task in pool.tasks()]
    pool.keep(clusters=made)
    return f"{sum(table_store.facts(ref)['clusters'] for ref in made):,} clusters"


def reference(pool: Pool) -> str:
    made = [draw_reference(task, pool.config.reference, 0) for task in pool.tasks()]
    pool.keep(reference=made)
    return f"{sum(ref.rows for ref in made):,} rows, half of them in reserve"


def answers(pool: Pool) -> str:
    made = [pool.instructions(ref) for ref in pool.some("reference")]
    pool.keep(reference_instructions=made)
    return f"{sum(ref.rows for ref in made):,} answers"


def losses(pool: Pool) -> str:
    pool.keep(relevance=[pool.relevance(ref) for ref in pool.some("reference_instructions")], model=[pool.model()])
    return ""


def history(pool: Pool) -> str:
    pool.keep(history=[recall(pool.one("samples"), pool.config)])
    return ""


def ranking(pool: Pool) -> str:
    inputs = (pool.tasks(), pool.some("clusters"), pool.some("reference_instructions"), pool.one("history").split())
    made = [rank(*refs, pool.config.selection, 0) for refs in zip(*inputs, strict=True)]
    pool.keep(rankings=made)
    return f"{sum(ref.rows for ref in made):,} ranked"


def plan(pool: Pool) -> str:
    lists = [pool.some(name) for name in ("rankings", "reference_instructions", "relevance")]
    made = plan_budget(pool.one("samples"), *lists, pool.config.weights, pool.config.budget, 0)
    pool.keep(plan=[made])
    return f"{sum(table_store.read(made)['quota'].to_pylist()):,} seats"


def selection(pool: Pool) -> str:
    made = [select(ref, pool.one("plan")) for ref in pool.some("rankings")]
    pool.keep(selection=made)
    return ""


def instructions(pool: Pool) -> str:
    made = [pool.instructions(ref) for ref in pool.some("selection")]
    pool.keep(instructions=made)
    return f"{sum(ref.rows for ref in made):,} answers"


def record_of(pool: Pool) -> RunRecord:
    ones = {name: pool.one(name) for name in ("catalog", "samples", "model", "plan", "history")}
    lists = ("embeddings", "clusters", "reference", "reference_instructions", "relevance", "rankings")
    several = {name: tuple(pool.some(name)) for name in (*lists, "selection", "instructions")}
    return RunRecord(config=pool.config, **ones, **several)


def publishing(pool: Pool) -> str:
    record = record_of(pool)
    dataset = publish(record)
    run_record.save(record.model_copy(update={"dataset": dataset}))
    files = versions.manifest(dataset)["files"].values()
    return f"{dataset.records:,} records, {sum(file['bytes'] for file in files) / 1e6:,.0f} MB"


def report(pool: Pool) -> str:
    found = versions.latest(pool.store, pool.config.dataset.name)
    assert found is not None
    tables = {name: tuple(pool.some(name)) for name in ("clusters", "rankings")}
    images = pool.config.encoder.images
    made = build(found, pool.one("samples"), pool.one("model"), tables, pool.config.source, images, pool.store)
    return f"{len(table_store.file(made, 'page.html')) / 1e6:.1f} MB of page"


def garbage(pool: Pool) -> str:
    found = gc.collect(pool.store, delete=False)
    return f"{found.files:,} files not needed"


def checking(pool: Pool) -> str:
    """Tables and version; the answers are made up, so the ledger has none of them: see benchmarks.ledger."""
    record = run_record.latest(pool.store, pool.config.dataset.name)
    assert record.dataset is not None
    wrong = verify.verify(record.dataset, record.model_copy(update={"instructions": (), "reference_instructions": ()}))
    return f"{len(wrong)} faults"


STEPS: dict[str, Callable[[Pool], str]] = {
    "list": listing,
    "list again": unchanged,
    "list, 1 % new": grown,
    "vectors": vectors,
    "assemble": samples,
    "cluster": clusters,
    "reference": reference,
    "answers": answers,
    "losses": losses,
    "history": history,
    "rank": ranking,
    "plan": plan,
    "select": selection,
    "more answers": instructions,
    "publish": publishing,
    "report": report,
    "gc": garbage,
    "verify": checking,
}


def measured(step: str, pool: Pool) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, cpu = time.perf_counter(), time.process_time()
    said = STEPS[step](pool)
    wall, spent = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"| {step} | {wall:,.1f} | {spent:,.1f} | {peak:,.0f} | {before:,.0f} | {said} |", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--images", type=int, default=1_000_000)
    options.add_argument("--tasks", type=int, default=191)
    options.add_argument("--dimensions", type=int, default=256)
    options.add_argument("--part-size", type=int, default=1000)
    options.add_argument("--mixed", action="store_true", help="tasks come from a mapping: every part holds all of them")
    options.add_argument("--step", nargs="+", choices=STEPS, default=list(STEPS))
    options.add_argument("--within", nargs="+", default=[], help="a command that runs each step's process")
    asked = options.parse_args()
    if len(asked.step) == 1:
        pool = Pool(asked.folder, asked.images, asked.tasks, asked.dimensions, asked.part_size, asked.mixed)
        measured(asked.step[0], pool)
        return
    print(f"load {os.getloadavg()[0]:.1f}; {json.dumps(vars(asked), default=str)}")
    print("| step | wall s | CPU s | peak MB | before MB | |\n|---|---|---|---|---|---|", flush=True)
    rest = [f"--images={asked.images}", f"--tasks={asked.tasks}", f"--dimensions={asked.dimensions}"]
    rest += [f"--part-size={asked.part_size}", *(["--mixed"] if asked.mixed else [])]
    for step in asked.step:
        command = [sys.executable, "-m", "benchmarks.scale", str(asked.folder), *rest, "--step", step]
        subprocess.run([*asked.within, *command], check=True)


if __name__ == "__main__":
    main()
