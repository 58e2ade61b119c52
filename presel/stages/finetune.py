"""A model tuned on a published dataset version: where pool -> dataset -> model closes.

The same code as the reference model's, with more data. Question dropout is switched off, because it serves the measuring of
relevance and nothing else. What an export of the version holds out is not fitted, and is scored before and after. The data are
the version's records and the source's pictures, or an export, read as any other trainer reads it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from math import fsum, isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from presel.concurrency.device import in_key
from presel.concurrency.progress import report
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.config.keys import short_digest
from presel.dataset import rows
from presel.dataset.trainer_formats import DIGEST
from presel.export.exported import unpacked
from presel.export.likeness import split_of
from presel.reference_model import ReferenceModel, Unusable, load, lora, score
from presel.reference_model.fitting import Fitting
from presel.reference_model.frozen import reader
from presel.reference_model.reading import Read, Sample, read_ahead
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, TableRef, rows_of
from presel.tables.stage import stage
from presel.tables.table_store import Output

EVALUATION = "evaluation.json"
_ADAPTER = "tuned"
_DIGITS = 6


def _beyond(inputs: Mapping[str, Any]) -> str:
    """What is held out depends on versions before this one and on the store's vectors."""
    split = split_of(inputs["dataset"], inputs["store"], inputs["twins_from"], inputs["held_out"])
    return short_digest(in_key(inputs["config"].device) or "", *sorted(split.held))


@stage("finetune", version=2, outside=_beyond)
def fine_tune(
    out: Output,
    dataset: DatasetRef,
    source: SourceConfig,
    images: ImageConfig,
    config: ReferenceModelConfig,
    held_out: float,
    seed: int,
    store: str,
    twins_from: float = 0.95,
) -> None:
    """The loss curve (FIT), the adapter and `evaluation.json`.

    `held_out`: share of the images, 0 to 1, that is not fitted: those that an export holds out (`presel.export.split`), with
    all that have a cosine of `twins_from` or more to one.

    A record whose image is gone or has changed is a reject. Raises ModelError when the model cannot be loaded.
    """
    samples = [Sample.of(row) for row in rows_of(_records(dataset))]
    held = split_of(dataset, store, twins_from, held_out).held
    kept_back = [sample for sample in samples if sample.content in held]
    fitted = [sample for sample in samples if sample.content not in held]
    _tune(out, dataset, fitted, kept_back, source, images, config, seed)


@stage("finetune-export", version=1, outside=lambda inputs: in_key(inputs["config"].device))
def fine_tune_export(
    out: Output,
    export: DatasetRef,
    images: ImageConfig,
    config: ReferenceModelConfig,
    seed: int,
    store: str,  # noqa: ARG001 - where the table is written
) -> None:
    """The same on an export (`presel.export.exported`), of which `validation` is not fitted.

    Its pictures are laid out in a folder under TMPDIR while it runs.
    """
    sides: dict[str, list[Sample]] = {"train": [], "validation": []}
    with TemporaryDirectory(prefix="presel-finetune-") as folder:
        for side, row in unpacked(export, Path(folder)):
            sides[side].append(Sample.of(row))
        source = SourceConfig(uri=folder, tasks="single")
        _tune(out, export, sides["train"], sides["validation"], source, images, config, seed)


def _tune(
    out: Output,
    dataset: DatasetRef,
    fitted: list[Sample],
    kept_back: list[Sample],
    source: SourceConfig,
    images: ImageConfig,
    config: ReferenceModelConfig,
    seed: int,
) -> None:
    plain = config.model_copy(update={"lora": config.lora.model_copy(update={"question_dropout": 0.0})})
    fitting = Fitting(out, source, images, plain, seed, label=f"{dataset.name} {dataset.version}")
    files = fitting.add("", fitted)
    fitting.finish(fitted)
    evaluation = _evaluated(plain, files, kept_back, source, images)
    out.write_file(EVALUATION, (json.dumps(evaluation, indent=1, sort_keys=True) + "\n").encode())


def keep_model(tuned: TableRef, dataset: DatasetRef, config: ReferenceModelConfig) -> str:
    """Copy a tuned model to `<store>/models/<dataset>/<version>-<key>/`, where housekeeping leaves it; returns its address.

    A folder as peft loads it, with the curve, the evaluation and `model.json`: of what base, on which data. Written again it is
    the same.
    """
    place = open_store(tuned.store)
    folder = f"models/{dataset.name}/{dataset.version}-{tuned.key[:8]}"
    names = [lora.WEIGHTS, lora.SETTINGS, EVALUATION] if tuned.rows else [EVALUATION]
    for name in names:
        place.write(f"{folder}/{name}", table_store.file(tuned, name))
    place.write(f"{folder}/loss_curve.parquet", table_store.encode(table_store.read(tuned)))
    about = {
        "base": config.model,
        "dataset": {"name": dataset.name, "version": dataset.version, "digest": dataset.digest},
        "recipe": config.lora.model_dump(mode="json", exclude={"question_dropout"}),
    }
    place.write(f"{folder}/model.json", (json.dumps(about, indent=1, sort_keys=True) + "\n").encode())
    return place.locate(folder)


def _records(dataset: DatasetRef) -> Any:
    columns = ["sample_id", "task", "key", DIGEST, "turns"]
    return rows.table(dataset, columns).rename_columns({DIGEST: "content"})


def _evaluated(
    config: ReferenceModelConfig,
    adapter: dict[str, bytes],
    samples: list[Sample],
    source: SourceConfig,
    images: ImageConfig,
) -> dict[str, Any]:
    """Mean loss in nats per response token on the held-out records, by the base and by the tuned model, in all and by task."""
    if not samples or not adapter:
        return {"records": 0, "loss_before": None, "loss_after": None, "tasks": {}}
    model = load(config)
    lora.apply_several(model, {_ADAPTER: adapter})
    read = reader(model, source, images, config)
    before, after = (_losses(model, name, samples, read, config.batch_size) for name in ("", _ADAPTER))
    by_task: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.id in before:
            by_task[sample.task].append(sample)
    tasks = {task: _means(members, before, after) for task, members in sorted(by_task.items())}
    return {**_means([s for members in by_task.values() for s in members], before, after), "tasks": tasks}


def _losses(
    model: ReferenceModel, adapter: str, samples: list[Sample], read: Read, batch_size: int
) -> dict[str, float]:
    """L_{R|Q,I} by sample id, of those that can be read and whose loss is finite."""
    found: dict[str, float] = {}
    stream = read_ahead(read, samples)
    with lora.active(model, adapter):
        while chunk := list(islice(stream, 8 * batch_size)):
            ready = [prepared for _, prepared in chunk if not isinstance(prepared, Unusable)]
            for losses in score(model, ready, batch_size):
                found[losses.id] = losses.with_question
            report("finetune", f"evaluation {adapter or 'base'}", len(found), len(samples), "records")
    return {name: loss for name, loss in found.items() if isfinite(loss)}


def _means(samples: Sequence[Sample], before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    known = [sample.id for sample in samples if sample.id in before and sample.id in after]
    both = [
        round(fsum(losses[name] for name in known) / len(known), _DIGITS) if known else None
        for losses in (before, after)
    ]
    return {"records": len(known), "loss_before": both[0], "loss_after": both[1]}
