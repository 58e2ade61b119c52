"""What people see of a tuned model in the Prefect UI: its loss curve and how it does on records that it was not shown."""

from __future__ import annotations

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from presel.report.tuned import curve_markdown, evaluation_rows, evaluation_words
from presel.tables import DatasetRef, TableRef


def _show_tuned(dataset: DatasetRef, tuned: TableRef, address: str) -> None:
    """The curve as a picture, the evaluation as a table, and where the model lies."""
    create_markdown_artifact(curve_markdown(tuned), key=f"{dataset.name}-tuning")
    create_table_artifact(evaluation_rows(tuned), key=f"{dataset.name}-evaluation", description=evaluation_words(tuned))
    create_link_artifact(address, key=f"{dataset.name}-model", link_text=f"Tuned on version {dataset.version}")
