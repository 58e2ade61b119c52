"""Fine-tuning: a model trained on a published dataset version, so that pool, dataset and model are one line."""

from __future__ import annotations

from prefect import flow

from presel.config import RefreshConfig
from tasks.finetune import dataset_version, fine_tune, keep_model, show_tuned
from tasks.policy import FLOW


@flow(name="finetune", flow_run_name="finetune {config.dataset.name}", **FLOW)
def finetune(config: RefreshConfig, version: int | None = None, held_out: float = 0.05) -> str:
    """Tune `reference_model.model` by `reference_model.lora` on a version (the latest). Returns where the adapter lies."""
    dataset = dataset_version(config.store, config.dataset.name, version)
    tuned = fine_tune(
        dataset,
        config.source,
        config.encoder.images,
        config.reference_model,
        held_out,
        config.seed,
        config.store,
        config.twins_from,
    )
    address = keep_model(tuned, dataset, config.reference_model)
    show_tuned(dataset, tuned, address)
    return address
