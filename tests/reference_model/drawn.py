"""Reference samples for tests: pictures of the demo's tasks with instructions from their ground truth."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from presel.config import ImageConfig, SourceConfig
from presel.config.keys import digest, sample_id
from presel.demo.drawing.tasks import TASKS, draw
from presel.reference_model.conversation import Turn
from presel.reference_model.prepare import Prepared, Preparer
from presel.reference_model.reading import Sample, SampleReader
from presel.tables.schemas import INSTRUCTIONS, TableRef
from presel.tables.table_store import Output

FIRST = 5_000_000  # seen by no base and in no pool


def samples(folder: Path, tasks: list[str], count: int, *, seed: int = 0, turns: int = 1) -> list[Sample]:
    """`count` samples of each task, their pictures written below `folder`; one random question each (or `turns`)."""
    made = []
    for task in tasks:
        (folder / task).mkdir(parents=True, exist_ok=True)
        for index in range(FIRST, FIRST + count):
            drawn = draw(task, index, seed)
            (folder / drawn.key).write_bytes(drawn.data)
            content = digest(drawn.data)
            asked = list(drawn.facts.questions)
            chosen = Random(f"{seed}/{task}/{index}").sample(asked, min(turns, len(asked)))
            made.append(
                Sample(
                    sample_id(task, content),
                    task,
                    drawn.key,
                    content,
                    tuple(Turn(qa.question, qa.answer) for qa in chosen),
                )
            )
    return made


def prepared(folder: Path, made: list[Sample], processor: Any, max_length: int = 512) -> list[Prepared]:
    read = SampleReader(SourceConfig(uri=str(folder)), ImageConfig(), Preparer(processor, max_length))
    out = [read(sample) for sample in made]
    assert all(isinstance(sample, Prepared) for sample in out), out
    return [sample for sample in out if isinstance(sample, Prepared)]


def instructions(store: Path, made: list[Sample]) -> list[TableRef]:
    """One INSTRUCTIONS table a task, as the instruct stage writes them."""
    refs = []
    for task in dict.fromkeys(sample.task for sample in made):
        rows = [_row(sample) for sample in sorted(made) if sample.task == task]
        out = Output(str(store), "instruct", digest(repr(rows).encode())[:32])
        out.write_rows(rows, INSTRUCTIONS, task)
        refs.append(out.commit({}))
    return refs


def _row(sample: Sample) -> dict[str, Any]:
    return {
        "sample_id": sample.id,
        "task": sample.task,
        "key": sample.key,
        "content": sample.content,
        "kind": "short_answer",
        "turns": [turn._asdict() for turn in sample.turns],
        "model": "drawn",
        "request": "none",
        "input_tokens": 0,
        "output_tokens": 0,
        "cost_usd": 0.0,
    }


ALL = list(TASKS)
