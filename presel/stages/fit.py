"""The reference model's adapter from the reference instructions of all tasks (METHOD, step 2).

One adapter (the paper), two for cross-fitting, or none: then the model is used as it is, is served elsewhere, or its losses are
imported. An import is read and checked here and kept with the output, so that it too is an input of scoring by content.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from presel.concurrency.device import in_key
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.config.keys import digest
from presel.reference_model import folds, imports
from presel.reference_model.fitting import Fitting
from presel.reference_model.reading import Sample
from presel.tables import table_store
from presel.tables.schemas import FIT, TableRef, rows_of
from presel.tables.stage import stage
from presel.tables.table_store import Output

log = logging.getLogger(__name__)


def _outside(inputs: Mapping[str, Any]) -> str | None:
    """The digest of the table that is imported in place of a model, or the device of a model that is fitted."""
    config: ReferenceModelConfig = inputs["config"]
    if config.precomputed is not None:
        return digest(imports.fetch(config.precomputed))
    return None if config.fit == "none" else in_key(config.device)


@stage("fit", version=2, outside=_outside)
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
    fitting = Fitting(out, source, images, config, seed)
    for name, members in parts.items():
        fitting.add(name, members, last=name == list(parts)[-1])
    fitting.finish(samples)


def _parts(samples: list[Sample], config: ReferenceModelConfig) -> dict[str, list[Sample]]:
    """What each adapter is fitted on, by its name; an adapter that would see nothing is left out."""
    if config.fit == "none":
        return {}
    if config.fit == "lora":
        return {"": samples}
    parts = {folds.unseen_by(fold): folds.to_fit(samples, fold) for fold in folds.FOLDS}
    return {name: members for name, members in parts.items() if members}


def _keep_import(out: Output, uri: str, tasks: list[str]) -> None:
    table = imports.parse(imports.fetch(uri), uri)
    unknown, missing = imports.compare(table, tasks)
    if unknown:
        log.warning("%s names %d tasks that the pool does not have: %s", uri, len(unknown), ", ".join(unknown[:10]))
    if missing:
        log.warning("%s lacks %d tasks, which weigh as the mean: %s", uri, len(missing), ", ".join(missing[:10]))
    out.write_file(imports.FILE, table_store.encode(table))
    out.note(unknown_tasks=unknown, missing_tasks=missing)
