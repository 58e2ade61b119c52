"""A small published dataset version of drawn samples, for what is trained on one."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from presel.config import ImageConfig
from presel.dataset import versions
from presel.dataset.trainer_formats import DIGEST, RECORDS, messages_jsonl
from presel.reference_model.reading import Sample
from presel.tables import table_store
from presel.tables.schemas import DatasetRef
from presel.tables.turn import Turn
from tests.reference_model.drawn import samples


def manner(made: list[Sample]) -> list[Sample]:
    """The samples with answers in a manner that the base does not know, so that tuning has something to teach."""
    return [
        sample._replace(turns=tuple(Turn(turn.question, f"Seen here: {turn.response}") for turn in sample.turns))
        for sample in made
    ]


def publish_drawn(
    folder: Path, tasks: list[str], count: int, name: str = "demo", store: str | None = None
) -> DatasetRef:
    """Pictures below `folder/pool`, the version on `store`, else on `folder/store`."""
    made = manner(samples(folder / "pool", tasks, count))
    rows = [
        {
            "sample_id": sample.id, "task": sample.task, "key": sample.key, DIGEST: sample.content, "plain": True,
            "turns": [turn._asdict() for turn in sample.turns], "kind": "short_answer", "model": "drawn",
            "origin": "selected", "weight": 1 / len(tasks), "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0,
        }
        for sample in sorted(made)
    ]  # fmt: skip
    settings = {"encoder": {"images": ImageConfig().model_dump()}}
    files = {
        "data.parquet": table_store.encode(pa.Table.from_pylist(rows, schema=RECORDS)),
        "config.json": json.dumps(settings).encode(),
        "messages.jsonl": b"".join(messages_jsonl(rows)),
    }
    about = {"content": versions.content_digest(files), "before": None, "records": len(rows)}
    store, run = store or str(folder / "store"), {"source": str(folder / "pool")}
    return versions.complete(store, name, versions.claim(store, name, about), files, about, run)
