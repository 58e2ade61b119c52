"""Tables as the stages before the choice leave them: samples with vectors, reference instructions, scores."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa

from presel.config.keys import digest, sample_id
from presel.tables import table_store
from presel.tables.schemas import INSTRUCTIONS, PAID, RELEVANCE, TableRef
from presel.tables.schemas import samples as samples_schema
from presel.tables.table_store import Output

DIMENSIONS = 16


def vectors(count: int, seed: int = 0) -> np.ndarray:
    """Unit rows around a few centres."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((max(2, count // 60), DIMENSIONS))
    rows = centres[generator.integers(0, len(centres), count)] + 0.4 * generator.standard_normal((count, DIMENSIONS))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def samples_of(store: str, tasks: dict[str, np.ndarray]) -> TableRef:
    """SAMPLES, one part a task, by ascending sample id."""
    out, schema = Output(store, "samples", "made"), samples_schema(DIMENSIONS)
    for task, rows in tasks.items():
        ids = [sample_id(task, digest(f"{task} {i}".encode())) for i in range(len(rows))]
        order = np.argsort(ids)
        columns = {
            "sample_id": [ids[i] for i in order],
            "task": [task] * len(rows),
            "key": [f"{task}/{i:05d}.jpg" for i in order],
            "content": [f"content {i}" for i in order],
            "width": pa.array([8] * len(rows), pa.int32()),
            "height": pa.array([8] * len(rows), pa.int32()),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(rows[order].astype(np.float16).ravel()), DIMENSIONS),
        }
        out.write(pa.table(columns, schema=schema), schema, task)
    counts = {task: {"images": len(rows), "usable": len(rows)} for task, rows in tasks.items()}
    out.write_file("tasks.json", json.dumps(counts).encode())
    return out.commit({})


def ids_of(ref: TableRef) -> list[str]:
    ids: list[str] = table_store.read(ref, ["sample_id"])["sample_id"].to_pylist()
    return ids


def instructed(store: str, task: str, ids: list[str], refused: list[str] | None = None, cost: float = 0.01) -> TableRef:
    """The task's reference instructions; `refused` were asked about in vain."""
    out = Output(store, "instruct", f"reference {task}")
    row = {"task": task, "key": "k", "content": "c", "kind": "x", "turns": [], "model": "m", "request": "r"}
    paid = {"input_tokens": 1, "output_tokens": 1, "cost_usd": cost}
    out.write_rows([{"sample_id": one, **row, **paid} for one in ids], INSTRUCTIONS, task)
    for one in refused or []:
        out.reject(task=task, key="k", id=one, reason="refused")
    return out.commit({})


def paid_before(store: str, samples: TableRef, stays: list[str] | None = None) -> TableRef:
    """PAID of one task: what an earlier version bought and keeps."""
    out, found = Output(store, "recall", f"paid {samples.label}"), set(stays or [])
    rows = table_store.read(samples, ["sample_id", "task", "key", "content"]).to_pylist()
    kept = [{**row, "stays": True, "answered": True} for row in rows if row["sample_id"] in found]
    out.write_rows(kept, PAID, samples.label)
    return out.commit({})


def scored(store: str, task: str, values: list[float]) -> TableRef:
    """RELEVANCE with these IRS."""
    out = Output(store, "score", f"scores {task}")
    row = {"task": task, "key": "k", "response_tokens": 9, "loss_with_question": 1.0, "loss_without_question": 1.0}
    out.write_rows(
        [{"sample_id": f"{task} {i}", **row, "irs": irs, "weight": None} for i, irs in enumerate(values)],
        RELEVANCE,
        task,
    )
    return out.commit({})
