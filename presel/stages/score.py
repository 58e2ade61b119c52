"""Two losses and the Instruction Relevance Score of every reference sample of a task (METHOD, step 3).

Where the losses come from is the configuration's to say (a model here, a model behind a server, a table); what becomes of
them is the same for all three, and so is the table that the plan reads.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from presel.concurrency.device import in_key
from presel.concurrency.progress import report
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig, VerdictConfig
from presel.errors import ConfigError
from presel.images.reasons import PASSING, Reason
from presel.instruct.questions.parsing import Problem
from presel.instruct.sharing import draining_on_sigterm, shared
from presel.instruct.verdict import Asked, Judge, api
from presel.reference_model import (
    Losses,
    ReferenceModel,
    Unusable,
    folds,
    imports,
    load,
    lora,
)
from presel.reference_model.backbone import load_processor
from presel.reference_model.conversation import ChatFormat
from presel.reference_model.fitting import file_name
from presel.reference_model.frozen import reader
from presel.reference_model.reading import ImageReader, Read, Sample, read_ahead
from presel.reference_model.scoring import scored
from presel.reference_model.served import ServedModel
from presel.selection.relevance import not_finite, relevance, rounded
from presel.tables import table_store, unfinished
from presel.tables.schemas import RELEVANCE, TableRef, rows_of
from presel.tables.table_store import Output

# Tasks are scored by several threads at once, but there is one model and one card: they take turns.
_turn = threading.Lock()

Scored = Iterator[tuple[Sample, Losses | Unusable]]


def _score(
    out: Output,
    instructions: TableRef,
    model: TableRef,
    source: SourceConfig,
    images: ImageConfig,
    config: ReferenceModelConfig,
) -> None:
    """One row a scored sample, by sample id; a sample that cannot be scored is a reject with its reason.

    Where an IRS or a weight of tasks was imported: the task's one row. Raises EndpointRefused when a server cannot say what
    scoring needs, EndpointUnavailable when it does not answer.
    """
    unfinished.is_last(out)
    samples = sorted(map(Sample.of, rows_of(table_store.read(instructions))), key=lambda sample: sample.id)
    started = time.monotonic()
    rows = _task_row(model, instructions.label) if config.precomputed is not None else None
    if rows is None:
        rows = []
        scored = _scored(samples, model, source, images, config)
        for done, (sample, losses) in enumerate(scored, start=1):
            _note(out, rows, sample, losses, config.loss_floor)
            report("score", instructions.label, done, len(samples), "samples")
    out.write_rows(sorted(rows, key=lambda row: row["sample_id"]), RELEVANCE, instructions.label)
    out.note(samples=len(rows), seconds=round(time.monotonic() - started, 3), unread=out.rejected(PASSING))


def _outside(inputs: Mapping[str, Any]) -> str | None:
    """The device of a model that is run here."""
    config: ReferenceModelConfig = inputs["config"]
    local = config.precomputed is None and config.served is None and config.verdict is None
    return in_key(config.device) if local else None


score_relevance = unfinished.OpenStage(_score, "score", 3, lacks="unread", outside=_outside)
"""score_relevance(instructions, model, source, images, config) -> TableRef of RELEVANCE."""


def _scored(
    samples: list[Sample], model: TableRef, source: SourceConfig, images: ImageConfig, config: ReferenceModelConfig
) -> Scored:
    if not samples:
        return iter(())
    if config.precomputed is not None:
        return _imported(samples, model)
    if config.served is not None:
        return _served(samples, source, images, config)
    if config.verdict is not None:
        return _judged(samples, config.verdict, model.store, source, images)
    return _local(samples, model, source, images, config)


def _local(
    samples: list[Sample], model: TableRef, source: SourceConfig, images: ImageConfig, config: ReferenceModelConfig
) -> Scored:
    with _turn:
        loaded = _loaded(config, model)
        read = reader(loaded, source, images, config)
        if config.fit != "cross":
            yield from _losses(loaded, samples, read, config.batch_size)
            return
        for fold in folds.FOLDS:
            with lora.active(loaded, folds.unseen_by(fold)):
                yield from _losses(loaded, folds.to_score(samples, fold), read, config.batch_size)


@lru_cache(maxsize=1)
def _loaded(config: ReferenceModelConfig, model: TableRef) -> ReferenceModel:
    """Loaded once for all tasks of a run. An adapter without a loss curve was not fitted and is not there."""
    if config.fit != "cross":
        return load(config, _adapter(model) if model.rows else None)
    loaded = load(config)
    fitted = [part.label for part in model.parts if part.rows and part.label != "all"]
    lora.apply_several(loaded, {name: _adapter(model, name) for name in fitted})
    return loaded


def _adapter(model: TableRef, adapter: str = "") -> dict[str, bytes]:
    return {name: table_store.file(model, file_name(adapter, name)) for name in (lora.WEIGHTS, lora.SETTINGS)}


def _losses(model: ReferenceModel, samples: list[Sample], read: Read, batch_size: int) -> Scored:
    """Losses as they come, short conversations first."""
    return scored(model, read_ahead(read, sorted(samples, key=_length)), batch_size)


def _length(sample: Sample) -> tuple[int, str]:
    return sum(len(turn.question) + len(turn.response) for turn in sample.turns), sample.id


def _served(samples: list[Sample], source: SourceConfig, images: ImageConfig, config: ReferenceModelConfig) -> Scored:
    assert config.served is not None
    with ServedModel(config.served, _chat(config), config.max_length, config.turns) as model:
        yield from model.score(samples, ImageReader(source, images))


def _judged(
    samples: list[Sample], config: VerdictConfig, store: str, source: SourceConfig, images: ImageConfig
) -> Scored:
    """Verdicts of a judge, as losses."""
    if config.max_cost is None:
        raise ConfigError("nothing says what the judge may spend", where="reference_model.verdict.max_cost")
    asked = [Asked(sample.task, sample.key, sample.content, sample.turns) for sample in samples]
    with draining_on_sigterm(), shared(store, api(config, config.max_cost)) as engine:
        found = engine.run(Judge(engine, config, source, images).losses(asked)).result()
    for sample, losses in zip(samples, found, strict=True):
        if isinstance(losses, Problem):
            yield sample, Unusable(losses.reason, losses.detail)
        else:
            yield sample, Losses(sample.id, None, *losses)


@lru_cache(maxsize=1)
def _chat(config: ReferenceModelConfig) -> ChatFormat:
    return ChatFormat(load_processor(config))


def _imported(samples: list[Sample], model: TableRef) -> Scored:
    found = imports.ImportedLosses(_import(model))
    for sample in samples:
        row = found.of(sample.id, sample.task, sample.key)
        if row is None:
            yield sample, Unusable(Reason.NOT_IMPORTED, "the imported table has no row for it")
        else:
            first, second = (row[name] if imports.finite(row[name]) else math.nan for name in imports.LOSSES)
            yield sample, Losses(sample.id, row.get("response_tokens"), first, second)


def _task_row(model: TableRef, task: str) -> list[dict[str, Any]] | None:
    """The row of a task whose IRS or weight was imported, if the table has it; None where losses were imported."""
    table = _import(model)
    kind = imports.kind_of(table)
    if kind == "losses":
        return None
    found = (imports.value_of(row, kind) for row in rows_of(table) if row["task"] == task)
    return [{"sample_id": "", "task": task, "key": "", kind: value} for value in found if value is not None]


def _import(model: TableRef) -> Any:
    return table_store.decode(table_store.file(model, imports.FILE))


def _note(out: Output, rows: list[dict[str, Any]], sample: Sample, losses: Losses | Unusable, floor: float) -> None:
    if isinstance(losses, Unusable):
        out.reject(task=sample.task, key=sample.key, id=sample.id, reason=losses.reason, detail=losses.detail)
        return
    first, second = rounded(losses.with_question, losses.without_question)
    if (detail := not_finite(first, second)) is not None:
        out.reject(task=sample.task, key=sample.key, id=sample.id, reason=Reason.LOSS_NOT_FINITE, detail=detail)
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
