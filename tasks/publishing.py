"""Publishing, and word of it: Prefect's own event for an asset that was made, so that other deployments can follow.

One asset for each dataset of a store, whatever its version. The event comes once for a version, from the run that published it.
"""

from __future__ import annotations

from prefect.events import emit_event

from presel.dataset import versions
from presel.runs.run_record import RunRecord
from presel.stages import publish as publishing
from presel.storage import open_store
from presel.tables.schemas import DatasetRef

MADE = "prefect.asset.materialization.succeeded"


def _publish(record: RunRecord) -> DatasetRef:
    """As the stage does. Nothing is told where nothing has changed."""
    store, name = record.config.store, record.config.dataset.name
    before = versions.latest(store, name)
    dataset = publishing.publish(record)
    if before is None or before.version != dataset.version:
        tell(store, dataset)
    return dataset


def tell(store: str, dataset: DatasetRef) -> None:
    """Send the event; a server that is away hears nothing, and the run goes on."""
    payload = dataset.model_dump(mode="json")
    emit_event(
        MADE,
        {"prefect.resource.id": asset(store, dataset.name), "prefect.resource.name": dataset.name},
        payload=payload,
    )


def asset(store: str, name: str) -> str:
    """The dataset's key: `s3://bucket/presel/datasets/demo`."""
    address = open_store(store).locate(f"datasets/{name}")
    return address if "://" in address else f"file://{address}"
