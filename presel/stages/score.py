"""Two losses and the Instruction Relevance Score of every reference sample of a task (METHOD, step 3)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from presel import table_store
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.progress import report
from presel.reference_model import Losses, Prepared, Preparer, ReferenceModel, Unusable, load, lora, score
from presel.reference_model.reading import Sample, SampleReader, ahead
from presel.stage import stage
from presel.table_store import Output
from presel.tables import RELEVANCE, TableRef, rows_of

# Tasks are scored by several threads at once, but there is one model and one card: they take turns.
_turn = threading.Lock()
_DIGITS = 6  # float rounding differs between batch sizes from the seventh on
_CHUNK = 8  # batches that are prepared together, so that samples of equal length can meet


@stage("score", version=1)
def score_relevance(
    out: Output,
    instructions: TableRef,
    model: TableRef,
    source: SourceConfig,
    images: ImageConfig,
    config: ReferenceModelConfig,
) -> None:
    """One row a scored sample, by sample id; a sample that cannot be scored is a reject with its reason."""
    samples = sorted(map(Sample.of, rows_of(table_store.read(instructions))), key=lambda sample: sample.id)
    rows: list[dict[str, Any]] = []
    started = time.monotonic()
    with _turn:
        if samples:
            loaded = _loaded(config, model)
            read = SampleReader(source, images, Preparer(loaded.processor, config.max_length))
            by_id = {sample.id: sample for sample in samples}
            for done, losses in enumerate(_losses(out, loaded, samples, read, config.batch_size), start=1):
                _note(out, rows, by_id[losses.id], losses, config.loss_floor)
                report("score", instructions.label, done, len(samples), "samples")
    out.write_rows(sorted(rows, key=lambda row: row["sample_id"]), RELEVANCE, instructions.label)
    out.note(samples=len(rows), seconds=round(time.monotonic() - started, 3))


def relevance(with_question: float, without_question: float, floor: float = 0.0) -> float:
    """The Instruction Relevance Score: the ratio of the two losses; 1 where a response is certain either way.

    A response that the model knows from the image to 0.002 nats a token has a ratio too, of two kinds of rounding: one such
    sample can outweigh a task (5.4 was the mean of twenty in the demo). So a loss counts for at least `floor`.
    """
    above, below = max(with_question, floor), max(without_question, floor)
    return above / below if below > 0 else 1.0


@lru_cache(maxsize=1)
def _loaded(config: ReferenceModelConfig, model: TableRef) -> ReferenceModel:
    """Loaded once for all tasks of a run. A model without a loss curve was not fitted and has no adapter."""
    files = {name: table_store.file(model, name) for name in (lora.WEIGHTS, lora.SETTINGS)} if model.rows else None
    return load(config, files)


def _losses(
    out: Output, model: ReferenceModel, samples: list[Sample], read: SampleReader, batch_size: int
) -> Iterator[Losses]:
    """Losses as they come, a few batches' worth of samples in memory at a time, short conversations first."""
    stream = ahead(read, sorted(samples, key=_length))
    while chunk := list(islice(stream, _CHUNK * batch_size)):
        ready: list[Prepared] = []
        for sample, prepared in chunk:
            if isinstance(prepared, Unusable):
                out.reject(
                    task=sample.task, key=sample.key, id=sample.id, reason=prepared.reason, detail=prepared.detail
                )
            else:
                ready.append(prepared)
        yield from score(model, ready, batch_size)


def _length(sample: Sample) -> tuple[int, str]:
    return sum(len(turn.question) + len(turn.response) for turn in sample.turns), sample.id


def _note(out: Output, rows: list[dict[str, Any]], sample: Sample, losses: Losses, floor: float) -> None:
    first, second = round(losses.with_question, _DIGITS), round(losses.without_question, _DIGITS)
    if not (math.isfinite(first) and math.isfinite(second)):
        detail = f"with question {first}, without {second}"
        out.reject(task=sample.task, key=sample.key, id=sample.id, reason="loss_not_finite", detail=detail)
        return
    rows.append(
        {
            "sample_id": sample.id,
            "task": sample.task,
            "key": sample.key,
            "response_tokens": losses.tokens,
            "loss_with_question": first,
            "loss_without_question": second,
            "irs": relevance(first, second, floor),
        }
    )
