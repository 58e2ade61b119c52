"""A stage's progress as a Prefect artifact on its task run: created late, updated seldom, finished at 100 %.

An update costs a request to the server, so there is at most one every two seconds, and work that ends sooner shows none.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from presel.progress import Progress

_SECONDS_BETWEEN_UPDATES = 2.0


class ProgressArtifact:
    """Listens to one task run's progress."""

    def __init__(self) -> None:
        self._artifact: UUID | None = None
        self._shown_at = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if not progress.total or time.monotonic() - self._shown_at < _SECONDS_BETWEEN_UPDATES:
            return
        self._shown_at = time.monotonic()
        percent = 100.0 * progress.done / progress.total
        text = (
            f"{progress.stage} {progress.label}: {progress.done} of {progress.total} {progress.unit}. {progress.note}"
        )
        if self._artifact is None:
            self._artifact = create_progress_artifact(percent, description=text)  # type: ignore[assignment]
        else:
            update_progress_artifact(self._artifact, percent, description=text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._artifact is not None:
            update_progress_artifact(self._artifact, 100.0)
