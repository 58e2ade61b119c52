"""A fitted model in figures: the loss curve as a picture; a tuned one's evaluation as rows and a sentence."""

from __future__ import annotations

import base64
import json
from typing import Any

from presel.report.curves import loss_curve
from presel.report.pictures import curve_png
from presel.tables import table_store
from presel.tables.schemas import TableRef, rows_of


def curve_markdown(fitted: TableRef, title: str = "Loss while tuning") -> str:
    """Markdown of the loss curve (a FIT table's); a sentence where there is none."""
    rows = rows_of(table_store.read(fitted))
    curve = loss_curve(rows)
    if curve is None:
        return "Nothing was fitted, or in fewer than two steps: there is no curve.\n"
    picture = base64.b64encode(curve_png(rows)).decode()
    return (
        f"## {title}\n\n![loss curve](data:image/png;base64,{picture})\n\n"
        f"{curve['steps']} steps, from {curve['first']:.2f} to {curve['last']:.2f} nats per response token.\n"
    )


def evaluation_rows(tuned: TableRef) -> list[dict[str, Any]]:
    """A row a task: held-out records and their mean loss before and after."""
    return [{"task": task, **values} for task, values in _evaluation(tuned)["tasks"].items()]


def evaluation_words(tuned: TableRef) -> str:
    """The evaluation in a sentence."""
    found = _evaluation(tuned)
    if not found["records"]:
        return "No record was held out that could be scored."
    return (
        f"{found['records']} records that were not fitted: {found['loss_before']:.3f} nats per response token before, "
        f"{found['loss_after']:.3f} after."
    )


def _evaluation(tuned: TableRef) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(table_store.file(tuned, "evaluation.json"))
    return found
