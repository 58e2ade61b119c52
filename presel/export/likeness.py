"""Which images of a version are held out: its history and the store's vectors, handed to `split`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from presel.dataset import rows, versions
from presel.dataset.trainer_formats import DIGEST
from presel.errors import NotFound
from presel.export.split import held_out, near
from presel.runs import run_record
from presel.tables import DatasetRef, TableRef, table_store


@dataclass(frozen=True)
class Split:
    """What is held out, by the digests of images, and what that rests on."""

    held: frozenset[str]
    share: float
    threshold: float
    compared: int
    """Images of this and earlier versions whose vectors the store still has."""
    images: int


def split_of(dataset: DatasetRef, store: str, threshold: float, share: float) -> Split:
    """The images of a version that are held out: of `share`, with all that are nearly the same."""
    if not share:
        return Split(frozenset(), share, threshold, 0, 0)
    ages = _ages(dataset, store)
    found = _vectors(_samples(store, dataset.name), ages)
    pairs = near(found.vectors, threshold)
    twins = ((found.names[one], found.names[other]) for one, other in pairs.tolist())
    return Split(held_out(ages, twins, share), share, threshold, len(found.names), len(ages))


def _ages(dataset: DatasetRef, store: str) -> dict[str, int]:
    """The first version that has an image, for all images of this version and those before."""
    ages: dict[str, int] = {}
    before = (number for number in versions.versions(store, dataset.name) if number < dataset.version)
    for version in (*(versions.find(store, dataset.name, number) for number in before), dataset):
        for content in rows.table(version, [DIGEST])[DIGEST].to_pylist():
            ages.setdefault(content, version.version)
    return ages


def _samples(store: str, name: str) -> TableRef | None:
    """The pool as it was last published: where vectors are."""
    try:
        record = run_record.published(store, name)
    except NotFound:
        return None
    return None if record is None else record.samples


class _Vectors(NamedTuple):
    names: list[str]
    vectors: NDArray[np.float32]


def _vectors(samples: TableRef | None, wanted: Mapping[str, int]) -> _Vectors:
    """One vector of each wanted image that the table has, in the order of digests."""
    found: dict[str, NDArray[np.float16]] = {}
    for names, vectors in _by_task(samples, pa.array(list(wanted), pa.string())) if samples else ():
        for name, vector in zip(names, vectors, strict=True):
            found.setdefault(name, vector)
    names = sorted(found)
    dimensions = len(found[names[0]]) if names else 1
    return _Vectors(names, np.array([found[name] for name in names], np.float32).reshape(len(names), dimensions))


def _by_task(samples: TableRef, wanted: pa.Array) -> Iterator[tuple[list[str], NDArray[np.float16]]]:
    for part in samples.parts:
        table = table_store.read_part(samples, part, ["content", "vector"])
        table = table.filter(pc.is_in(table["content"], value_set=wanted)).combine_chunks()
        if len(table):
            vectors = table["vector"].combine_chunks()
            yield table["content"].to_pylist(), vectors.flatten().to_numpy().reshape(len(table), -1)
