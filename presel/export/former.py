"""Pictures that an earlier export left in its shards, handed over in passing.

Records and shards are both ordered by id, so the shards are read once, from end to end, beside the
records that want pictures: memory holds a row group, and nothing is read twice.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from heapq import merge
from itertools import groupby
from operator import attrgetter

import pyarrow as pa
import pyarrow.parquet as pq

from presel.export.place import Place
from presel.export.record import Copied

_NUMBER = re.compile(r"-?\d+\.(parquet|tar)$")


class Pictures:
    """A stream of pictures by ascending name, from which the wanted ones are taken, in the same order."""

    def __init__(self, stream: Iterable[Copied]) -> None:
        self._stream = iter(stream)
        self._next: Copied | None = next(self._stream, None)

    def take(self, name: str) -> Copied | None:
        while self._next is not None and self._next.name < name:
            self._next = next(self._stream, None)
        return self._next if self._next is not None and self._next.name == name else None


def of_parquet(place: Place, folder: str) -> Iterator[Copied]:
    """Pictures of the Parquet shards in a folder, by name."""
    return _together(place, place.former_shards(".parquet", folder), _of_parquet)


def of_tar(place: Place, folder: str) -> Iterator[Copied]:
    """Pictures of the WebDataset shards in a folder, by name."""
    return _together(place, place.former_shards(".tar", folder), _of_tar)


def _together(place: Place, shards: list[str], read: Callable[[Place, str], Iterator[Copied]]) -> Iterator[Copied]:
    """Shards of one export and side are one ascending stream; several of those are merged."""
    streams = [_chained(place, list(names), read) for _, names in groupby(shards, lambda name: _NUMBER.sub("", name))]
    return merge(*streams, key=attrgetter("name"))


def _chained(place: Place, names: list[str], read: Callable[[Place, str], Iterator[Copied]]) -> Iterator[Copied]:
    return (picture for name in names for picture in read(place, name))


def _of_parquet(place: Place, name: str) -> Iterator[Copied]:
    with place.store.open(name) as opened, suppress(pa.ArrowInvalid):  # not ours: what it holds is read from the source
        file = pq.ParquetFile(opened, pre_buffer=False)
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, ["images"], use_threads=False)["images"].to_pylist():
                yield from (_copied(picture["path"], picture["bytes"]) for picture in row)


def _of_tar(place: Place, name: str) -> Iterator[Copied]:
    with place.store.open(name) as opened, suppress(tarfile.TarError), tarfile.open(fileobj=opened) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and not member.name.endswith(".json"):
                yield _copied(member.name, content.read())


def _copied(file: str, data: bytes) -> Copied:
    stem, _, extension = file.rpartition(".")
    return Copied(stem.replace(".", "-"), extension, data)
