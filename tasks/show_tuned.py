"""What people see of a tuned model in the Prefect UI: its loss curve and how it does on records that it was not shown."""

from __future__ import annotations

from presel.report.tuned import curve_markdown, evaluation_rows, evaluation_words
from presel.tables.schemas import DatasetRef, TableRef
from tasks.artifacts import show_markdown, show_table


def _show_tuned(dataset: DatasetRef, tuned: TableRef, address: str) -> None:
    """The curve as a picture, the evaluation as a table, and where the model lies."""
    show_markdown(f"{dataset.name}-tuning", curve_markdown(tuned), "How the model was tuned")
    show_table(f"{dataset.name}-evaluation", evaluation_rows(tuned), evaluation_words(tuned))
    lies = f"Tuned on version {dataset.version} of {dataset.name}. It lies at `{address}`.\n"
    show_markdown(f"{dataset.name}-model", lies, "Where the tuned model lies")
