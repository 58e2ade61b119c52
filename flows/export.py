"""Exporting: a published version where trainers read it, pictures included."""

from __future__ import annotations

from prefect import flow

from presel.config import RefreshConfig
from tasks.export import export_version
from tasks.finetune import dataset_version
from tasks.policy import FLOW


@flow(name="export", flow_run_name="export {config.dataset.name}", **FLOW)
def export(config: RefreshConfig, version: int | None = None) -> str | None:
    """Write a version (the latest) as `config.export` says. Returns where it lies; None when that names no place."""
    dataset = dataset_version(config.store, config.dataset.name, version)
    return export_version(dataset, config)
