"""From a stream of prepared samples to their losses, with a few batches in memory; for the stage and for Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from presel.reference_model.backbone import ReferenceModel
from presel.reference_model.prepare import Prepared, Unusable
from presel.reference_model.score import Losses, score

T = TypeVar("T")
_CHUNK = 8  # batches that are prepared together, so that samples of equal length can meet


def scored(
    model: ReferenceModel, stream: Iterable[tuple[T, Prepared | Unusable]], batch_size: int
) -> Iterator[tuple[T, Losses | Unusable]]:
    """What became of each sample, in no particular order. The ids of prepared samples tell them apart."""
    waiting = iter(stream)
    while chunk := list(islice(waiting, _CHUNK * batch_size)):
        ready: list[Prepared] = []
        owner: dict[str, T] = {}
        for sample, prepared in chunk:
            if isinstance(prepared, Unusable):
                yield sample, prepared
            else:
                owner[prepared.id] = sample
                ready.append(prepared)
        for losses in score(model, ready, batch_size):
            yield owner[losses.id], losses
