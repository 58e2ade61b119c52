"""From an instruction row to a prepared sample, a few ahead of the model.

Fitting and scoring read through the same function, so the same picture is decoded, padded and scaled the same way in both, each
once. Reading from object storage takes tens of milliseconds and decoding some more; a handful of threads hides both behind the
model. Memory holds what is read ahead, never the whole set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from presel.concurrency.ahead import ahead
from presel.config import ImageConfig, SourceConfig
from presel.images import Rejected
from presel.reference_model.prepare import Prepared, Preparer, Unusable
from presel.sources import open_source
from presel.tables.turn import Turn

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")
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


Read = Callable[[Sample], Prepared | Unusable]


class ImageReader:
    """Reads a sample's picture as RGB; safe to call from several threads."""

    def __init__(self, source: SourceConfig, limits: ImageConfig) -> None:
        self._source, self._limits = open_source(source), limits

    def __call__(self, sample: Sample) -> Image.Image | Unusable:
        """Unusable when the image cannot be read or is no longer the one that was instructed."""
        from presel.images.decoders import opened  # Pillow, which the light core does without

        data = self._source.read_content(sample.key, sample.content)
        image = data if isinstance(data, Rejected) else opened(data, self._limits, sample.key)
        return Unusable(image.reason, image.detail) if isinstance(image, Rejected) else image


class SampleReader:
    """Reads and prepares samples; safe to call from several threads."""

    def __init__(self, source: SourceConfig, limits: ImageConfig, preparer: Preparer) -> None:
        self._image, self._prepare = ImageReader(source, limits), preparer

    def __call__(self, sample: Sample) -> Prepared | Unusable:
        """Unusable when its image is (ImageReader), or when it does not fit the model."""
        image = self._image(sample)
        return image if isinstance(image, Unusable) else self._prepare(sample.id, image, sample.turns)


def read_ahead(
    work: Callable[[Sample], T], samples: Iterable[Sample], *, threads: int = 4
) -> Iterator[tuple[Sample, T]]:
    """Every sample with what became of it, in order, up to `AHEAD` of them worked on before they are asked for."""
    with ThreadPoolExecutor(threads, thread_name_prefix="read-ahead") as pool:
        yield from ahead(lambda sample: (sample, work(sample)), samples, pool, max(AHEAD, 2 * threads))
