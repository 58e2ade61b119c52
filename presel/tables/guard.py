"""What a calibration of the near-duplicate guard found, as the file beside its table that ranking and the plan read."""

from __future__ import annotations

import json
from typing import Any

from presel.tables import table_store
from presel.tables.schemas import TableRef

GUARD_FILE = "guard.json"


def encoded_guard(found: dict[str, Any]) -> bytes:
    return (json.dumps(found, indent=1, sort_keys=True) + "\n").encode()


def guard_of(ref: TableRef) -> dict[str, dict[str, Any]]:
    """Of each task `threshold`; and, where it was calibrated, from how many `retakes`, their median, what others reach."""
    found: dict[str, dict[str, Any]] = json.loads(table_store.file(ref, GUARD_FILE))["tasks"]
    return found


def threshold_of(ref: TableRef, task: str) -> float | None:
    """The cosine from which an image of the task is a copy; None: no guard."""
    threshold: float | None = guard_of(ref)[task]["threshold"]
    return threshold
