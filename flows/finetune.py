"""Fine-tuning: a model trained on a published dataset version, so that pool, dataset and model are one line."""

from __future__ import annotations

from prefect import flow

from presel.config import RefreshConfig
from tasks.finetune import (
    dataset_version,
    exported_version,
    fine_tune,
    fine_tune_export,
    keep_model,
    show_tuned,
)
from tasks.policy import FLOW


@flow(name="finetune", flow_run_name="finetune {config.dataset.name}", **FLOW)
def finetune(
    config: RefreshConfig, version: int | None = None, held_out: float = 0.05, export: str | None = None
) -> str:
    """Tune `reference_model.model` by `reference_model.lora` on a version (the latest), or on an export of one.

    Returns where the adapter lies.
    """
    images, model, seed = config.encoder.images, config.reference_model, config.seed
    if export is None:
        dataset = dataset_version(config.store, config.dataset.name, version)
        tuned = fine_tune(dataset, config.source, images, model, held_out, seed, config.store, config.twins_from)
    else:
        dataset = exported_version(export)
        tuned = fine_tune_export(dataset, images, model, seed, config.store)
    address = keep_model(tuned, dataset, model)
    show_tuned(dataset, tuned, address)
    return address
