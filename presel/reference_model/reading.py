"""From an instruction row to a prepared sample, a few ahead of the model.

Fitting and scoring read through the same function, so the same picture is decoded, padded and scaled the same way in both, each
once. Reading from object storage takes tens of milliseconds and decoding some more; a handful of threads hides both behind the
model. Memory holds what is read ahead, never the whole set.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from presel.config import ImageConfig, SourceConfig
from presel.images import Reason, Rejected, decode
from presel.keys import digest
from presel.reference_model.conversation import Turn
from presel.reference_model.prepare import Prepared, Preparer, Unusable
from presel.sources import open_source

AHEAD = 32  # samples


class Sample(NamedTuple):
    """What fitting and scoring need of an instruction row."""

    id: str
    task: str
    key: str
    content: str
    turns: tuple[Turn, ...]

    @classmethod
    def of(cls, row: dict[str, Any]) -> Sample:
        turns = tuple(Turn(turn["question"], turn["response"]) for turn in row["turns"])
        return cls(row["sample_id"], row["task"], row["key"], row["content"], turns)


class SampleReader:
    """Reads and prepares samples; safe to call from several threads."""

    def __init__(self, source: SourceConfig, limits: ImageConfig, preparer: Preparer) -> None:
        self._source, self._limits, self._prepare = open_source(source), limits, preparer

    def __call__(self, sample: Sample) -> Prepared | Unusable:
        """Unusable when the image cannot be read, is no longer the one that was instructed, or does not fit the model."""
        data = self._source.read(sample.key)
        if isinstance(data, Rejected):
            return Unusable(data.reason.value, data.detail)
        if digest(data) != sample.content:
            return Unusable(Reason.CHANGED.value, "the image is no longer the one that was instructed")
        image = decode(data, self._limits, sample.key)
        if isinstance(image, Rejected):
            return Unusable(image.reason.value, image.detail)
        return self._prepare(sample.id, image, sample.turns)


def ahead(
    read: Callable[[Sample], Prepared | Unusable], samples: Iterable[Sample], *, threads: int = 4
) -> Iterator[tuple[Sample, Prepared | Unusable]]:
    """Every sample with what became of it, in order, up to `AHEAD` of them prepared before they are asked for."""
    waiting: deque[tuple[Sample, Future[Prepared | Unusable]]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="read-ahead")
    try:
        for sample in samples:
            waiting.append((sample, pool.submit(read, sample)))
            if len(waiting) >= AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
