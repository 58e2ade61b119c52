"""The reference model's adapter from the reference instructions of all tasks (METHOD, step 2)."""

from __future__ import annotations

import time

from presel import table_store
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.progress import report
from presel.reference_model import lora
from presel.reference_model.backbone import ReferenceModel, load_backbone
from presel.reference_model.checkpoint import Checkpoint
from presel.reference_model.fit import Fitted, fit
from presel.reference_model.prepare import Preparer
from presel.reference_model.reading import Sample, SampleReader
from presel.stage import stage
from presel.table_store import Output
from presel.tables import FIT, TableRef, rows_of

CHECKPOINT_SECONDS = 300.0


@stage("fit", version=1)
def fit_reference_model(
    out: Output,
    instructions: list[TableRef],
    source: SourceConfig,
    images: ImageConfig,
    config: ReferenceModelConfig,
    seed: int,
) -> None:
    """The loss curve as a table and the adapter as files beside it; neither when `fit` is none or nothing can be fitted.

    Raise the version when the builtin model's weights change: its name in the configuration stays the same.
    """
    samples = [Sample.of(row) for ref in instructions for row in rows_of(table_store.read(ref))]
    if config.fit == "none" or not samples:
        out.write_rows([], FIT)
        out.note(samples=0, steps=0, seconds=0.0)
        return
    started = time.monotonic()
    checkpoint = Checkpoint(out.store, f"tables/{out.stage}/{out.key}/checkpoint.safetensors")
    model = load_backbone(config)
    lora.attach(model, config.lora, seed)
    fitted = _fit(model, samples, source, images, config, seed, checkpoint)
    _write(out, model, config.model, samples, fitted)
    out.note(
        samples=len(samples) - len(fitted.unusable),
        steps=fitted.steps,
        seconds=round(time.monotonic() - started, 3),
        parameters=sum(p.numel() for p in lora.trained(model).values()),
        device=str(model.device),
    )
    checkpoint.clear()


def _fit(
    model: ReferenceModel,
    samples: list[Sample],
    source: SourceConfig,
    images: ImageConfig,
    config: ReferenceModelConfig,
    seed: int,
    checkpoint: Checkpoint,
) -> Fitted:
    def on_step(done: int, total: int, loss: float) -> None:
        report("fit", "reference model", done, total, "steps", f"loss {loss:.3f}")

    read = SampleReader(source, images, Preparer(model.processor, config.max_length))
    return fit(model, samples, read, config.lora, seed, checkpoint, on_step, CHECKPOINT_SECONDS)


def _write(out: Output, model: ReferenceModel, base: str, samples: list[Sample], fitted: Fitted) -> None:
    out.write_rows(fitted.history, FIT)
    if fitted.history:
        for name, data in lora.export(model, base).items():
            out.write_file(name, data)
    for sample in samples:
        if sample.id in fitted.unusable:
            reason, detail = fitted.unusable[sample.id]
            out.reject(task=sample.task, key=sample.key, id=sample.id, reason=reason, detail=detail)
