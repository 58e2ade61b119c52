"""Adapters into a stage's output: the loss curve as FIT rows, the files beside them, a checkpoint under the output's key.

The reference model and the model that is tuned on a published dataset are fitted by this one class; they differ in what
they are shown and in how many adapters come of it.
"""

from __future__ import annotations

import time

from presel.concurrency.progress import report
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.images.reasons import Reason
from presel.reference_model import lora
from presel.reference_model.backbone import ReferenceModel, load_backbone
from presel.reference_model.checkpoint import Checkpoint
from presel.reference_model.fit import Fitted, fit
from presel.reference_model.frozen import reader
from presel.reference_model.reading import Sample
from presel.tables.schemas import FIT
from presel.tables.table_store import Output

CHECKPOINT = "checkpoint.safetensors"


def file_name(adapter: str, name: str) -> str:
    """A file of one of several adapters. All lie in the output's own folder: what is below it nobody would look after."""
    return f"{adapter}.{name}" if adapter else name


class Fitting:
    """Adapters fitted one after the other, each from its own checkpoint if the stage was killed."""

    def __init__(
        self,
        out: Output,
        source: SourceConfig,
        images: ImageConfig,
        config: ReferenceModelConfig,
        seed: int,
        label: str = "reference model",
    ) -> None:
        self._label = label
        self._out, self._source, self._images, self._config, self._seed = out, source, images, config, seed
        self._started = time.monotonic()
        self._checkpoints: list[Checkpoint] = []
        self._unusable: dict[str, tuple[Reason, str]] = {}
        self._steps = 0

    def add(self, name: str, samples: list[Sample], *, last: bool = True) -> dict[str, bytes]:
        """Fit one adapter ('' where there is only one) and write its curve and files. `last`: no other follows.

        Returns the files as peft names them; none when no step was possible.
        """
        place = f"tables/{self._out.stage}/{self._out.key}/{file_name(name, CHECKPOINT)}"
        self._checkpoints.append(Checkpoint(self._out.store, place))
        model = load_backbone(self._config)
        lora.attach(model, self._config.lora, self._seed)
        fitted = self._fit(model, name, samples, keep_last=not last)
        files = self._write(model, name, fitted)
        self._out.note(parameters=sum(p.numel() for p in lora.trained(model).values()), device=str(model.device))
        return files

    def finish(self, samples: list[Sample]) -> None:
        """Reject what could not be fitted, note what the whole came to, and let the checkpoints go."""
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
            report(self._out.stage, name or self._label, done, total, "steps", f"loss {loss:.3f}")

        read = reader(model, self._source, self._images, self._config)
        return fit(
            model, samples, read, self._config.lora, self._seed, self._checkpoints[-1], on_step,
            self._config.checkpoint_seconds, keep_last=keep_last,
        )  # fmt: skip

    def _write(self, model: ReferenceModel, name: str, fitted: Fitted) -> dict[str, bytes]:
        rows = [row | {"step": row["step"] + self._steps} for row in fitted.history]
        self._out.write_rows(rows, FIT, name or "all")
        files = lora.export(model, self._config.model) if rows else {}
        for file, data in files.items():
            self._out.write_file(file_name(name, file), data)
        self._steps += fitted.steps
        self._unusable.update(fitted.unusable)
        return files
