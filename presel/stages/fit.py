"""The reference model's adapter from the reference instructions of all tasks (METHOD, step 2).

One adapter (the paper), two for cross-fitting, or none: then the model is used as it is, is served elsewhere, or its losses are
imported. An import is read and checked here and kept with the output, so that it too is an input of scoring by content.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from presel import table_store
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.keys import digest
from presel.progress import report
from presel.reference_model import folds, imports, lora
from presel.reference_model.backbone import ReferenceModel, load_backbone
from presel.reference_model.checkpoint import Checkpoint
from presel.reference_model.fit import Fitted, fit
from presel.reference_model.prepare import Preparer
from presel.reference_model.reading import Sample, SampleReader
from presel.stage import stage
from presel.table_store import Output
from presel.tables import FIT, TableRef, rows_of

log = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 300.0


def _imported(inputs: Mapping[str, Any]) -> str | None:
    """The digest of the table that is imported in place of a model."""
    uri = inputs["config"].precomputed
    return None if uri is None else digest(imports.fetch(uri))


@stage("fit", version=2, outside=_imported)
def fit_reference_model(
    out: Output,
    instructions: list[TableRef],
    source: SourceConfig,
    images: ImageConfig,
    config: ReferenceModelConfig,
    seed: int,
) -> None:
    """The loss curve as a table (a part for each adapter, steps counted on) and the adapters as files beside it.

    Neither when `fit` is none or nothing can be fitted. Raise the version when the builtin model's weights change: its name in
    the configuration stays the same.
    """
    if config.precomputed is not None:
        _keep_import(out, config.precomputed, [ref.label for ref in instructions])
    samples = [Sample.of(row) for ref in instructions for row in rows_of(table_store.read(ref))]
    parts = _parts(samples, config) if samples else {}
    if not parts:
        out.write_rows([], FIT)
        out.note(samples=0, steps=0, seconds=0.0)
        return
    fitting = _Fitting(out, source, images, config, seed)
    for name, members in parts.items():
        fitting.add(name, members, last=name == list(parts)[-1])
    fitting.finish(samples)


def _parts(samples: list[Sample], config: ReferenceModelConfig) -> dict[str, list[Sample]]:
    """What each adapter is fitted on, by the folder its files go to; an adapter that would see nothing is left out."""
    if config.fit == "none":
        return {}
    if config.fit == "lora":
        return {"": samples}
    parts = {folds.unseen_by(fold): folds.to_fit(samples, fold) for fold in folds.FOLDS}
    return {name: members for name, members in parts.items() if members}


class _Fitting:
    """Adapters fitted one after the other, each from its own checkpoint if the stage was killed."""

    def __init__(
        self, out: Output, source: SourceConfig, images: ImageConfig, config: ReferenceModelConfig, seed: int
    ) -> None:
        self._out, self._source, self._images, self._config, self._seed = out, source, images, config, seed
        self._started = time.monotonic()
        self._checkpoints: list[Checkpoint] = []
        self._unusable: dict[str, tuple[str, str]] = {}
        self._steps = self._curve = 0

    def add(self, name: str, samples: list[Sample], *, last: bool) -> None:
        path = "/".join(filter(None, (f"tables/{self._out.stage}/{self._out.key}", name, "checkpoint.safetensors")))
        self._checkpoints.append(Checkpoint(self._out.store, path))
        model = load_backbone(self._config)
        lora.attach(model, self._config.lora, self._seed)
        fitted = self._fit(model, name, samples, keep_last=not last)
        self._write(model, name, fitted)
        self._out.note(parameters=sum(p.numel() for p in lora.trained(model).values()), device=str(model.device))

    def finish(self, samples: list[Sample]) -> None:
        for sample in samples:
            if sample.id in self._unusable:
                reason, detail = self._unusable[sample.id]
                self._out.reject(task=sample.task, key=sample.key, id=sample.id, reason=reason, detail=detail)
        usable, seconds = len(samples) - len(self._unusable), round(time.monotonic() - self._started, 3)
        self._out.note(samples=usable, steps=self._steps, seconds=seconds)
        for checkpoint in self._checkpoints:
            checkpoint.clear()

    def _fit(self, model: ReferenceModel, name: str, samples: list[Sample], *, keep_last: bool) -> Fitted:
        def on_step(done: int, total: int, loss: float) -> None:
            report("fit", name or "reference model", done, total, "steps", f"loss {loss:.3f}")

        read = SampleReader(
            self._source, self._images, Preparer(model.processor, self._config.max_length, self._config.turns)
        )
        return fit(
            model, samples, read, self._config.lora, self._seed, self._checkpoints[-1], on_step, CHECKPOINT_SECONDS,
            keep_last=keep_last,
        )  # fmt: skip

    def _write(self, model: ReferenceModel, name: str, fitted: Fitted) -> None:
        rows = [row | {"step": row["step"] + self._steps} for row in fitted.history]
        self._out.write_rows(rows, FIT, name or "all")
        if rows:
            for file, data in lora.export(model, self._config.model).items():
                self._out.write_file(f"{name}/{file}" if name else file, data)
        self._steps += fitted.steps
        self._unusable.update(fitted.unusable)


def _keep_import(out: Output, uri: str, tasks: list[str]) -> None:
    table = imports.parse(imports.fetch(uri), uri)
    unknown, missing = imports.compare(table, tasks)
    if unknown:
        log.warning("%s names %d tasks that the pool does not have: %s", uri, len(unknown), ", ".join(unknown[:10]))
    if missing:
        log.warning("%s lacks %d tasks, which weigh as the mean: %s", uri, len(missing), ", ".join(missing[:10]))
    out.write_file(imports.FILE, table_store.encode(table))
    out.note(unknown_tasks=unknown, missing_tasks=missing)
