"""One export in the making, as a format sees it: records of either side, their pictures, and a place to write to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Literal, Protocol

from presel.concurrency import progress
from presel.config import DatasetConfig, SourceConfig
from presel.export.former import Pictures
from presel.export.likeness import Split
from presel.export.pictures import Writing
from presel.export.place import Place
from presel.export.reading import Finished, Reader, read_ahead
from presel.export.record import Copied, Record, Wanted, is_rated, records_of
from presel.tables import DatasetRef

Side = Literal["train", "validation"]
SIDES: tuple[Side, Side] = ("train", "validation")


class Shard(Protocol):
    """A file that holds records and their pictures, as it is filled."""

    def add(self, record: Record, pictures: tuple[Copied, ...]) -> None: ...
    def close(self) -> None: ...


@dataclass
class Job:
    dataset: DatasetRef
    about: DatasetConfig
    source: SourceConfig
    place: Place
    how: Writing
    split: Split
    data: BinaryIO
    """`data.parquet` of the version, open."""
    folder: str
    """Of this format below the place, with a slash at its end; empty where it is alone."""
    home: str
    """Where the place is on the machine that trains, for commands."""
    least: int | None = None
    """Rating of visual dependency that a record must have."""
    extensions: dict[str, str] = field(default_factory=dict)
    """Of pictures that lie in `images`, by name."""

    @property
    def images(self) -> str:
        """The folder of pictures below the place; one for every way of writing them."""
        return "images" if self.how == Writing() else f"images-{self.how.spec}"

    @property
    def name(self) -> str:
        """Of the data set, as a word that every registry takes."""
        return f"{self.dataset.name}-{self.dataset.version}"

    @property
    def here(self) -> str:
        """This format's own folder on the machine that trains."""
        return f"{self.home}/{self.folder}".rstrip("/")

    def sides(self) -> tuple[Side, ...]:
        """Both, or the first alone where nothing is held out."""
        return SIDES if self.counts["validation"] else SIDES[:1]

    @cached_property
    def counts(self) -> dict[Side, int]:
        held = [self._is_held_out(record) for record in self.records()]
        return {"train": len(held) - sum(held), "validation": sum(held)}

    @cached_property
    def rated(self) -> bool:
        """Whether a judge has rated records of this version."""
        return is_rated(self.data)

    def records(self, side: Side | None = None) -> Iterator[Record]:
        """Records of one side, or all, by id."""
        for record in records_of(self.data, self.rated, self.least):
            if side is None or self._is_held_out(record) == (side == "validation"):
                yield record

    def files_of(self, record: Record) -> list[str]:
        """Its pictures, by their paths below the place."""
        return [f"{self.images}/{wanted.name}.{self.extensions[wanted.name]}" for wanted in record.wanted]

    def copied(self, wanted: Wanted) -> Copied | None:
        """A picture that lies in `images` already."""
        extension = self.extensions.get(wanted.name)
        if extension is None:
            return None
        return Copied(wanted.name, extension, self.place.store.read(f"{self.images}/{wanted.name}.{extension}"))

    def write(self, name: str, data: bytes | str) -> None:
        """A small file of this format."""
        self.place.write(self.folder + name, data.encode() if isinstance(data, str) else data)

    def write_json(self, name: str, document: Any) -> None:
        self.write(name, json.dumps(document, ensure_ascii=False, indent=2) + "\n")

    def write_lines(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """JSON, a record a line."""
        self.place.write_pieces(self.folder + name, (f"{line(row)}\n".encode() for row in lines))

    def write_array(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """A JSON array, a record a line."""
        self.place.write_pieces(self.folder + name, _array(rows))

    def write_shards(
        self,
        side: Side,
        name: Callable[[int], str],
        make: Callable[[BinaryIO], Shard],
        *,
        most: tuple[int, int],
        how: Writing | None = None,
        former: Iterable[Copied] = (),
        weight: float = 1.0,
    ) -> list[str]:
        """All records of a side in shards of at most so many bytes and records; returns their names.

        `name` gives a shard's name by its number; `former` are pictures of an earlier export, by name; `weight` is what a
        byte of a picture takes there.
        """
        names = [self.folder + name(number) for number in range(len(self.place.shards) + 1)]
        done = [each for each in names if each in self.place.shards]
        skipped = sum(self.place.shards[each] for each in done)
        reader, had = Reader(self.source, how or self.how, self.copied), Pictures(former)
        started = (
            (record, tuple(had.take(wanted.name) for wanted in record.wanted))
            for record in islice(self.records(side), skipped, None)
        )
        stream = read_ahead(reader, started)
        told = Told(self, f"{self.folder or '.'} {side}", skipped, self.counts[side])
        waiting = _Waiting(told.each(stream))
        while waiting.more():
            each = self.folder + name(len(done))
            with TemporaryFile() as file:
                shard = make(file)
                try:
                    count = _fill(shard, waiting, most, weight)
                finally:
                    shard.close()
                self.place.write_shard(each, file, count)
            done.append(each)
        return done

    def _is_held_out(self, record: Record) -> bool:
        return any(wanted.content in self.split.held for wanted in record.wanted)


class Told:
    """Progress of one pass over pictures."""

    def __init__(self, job: Job, label: str, done: int, total: int) -> None:
        self._label, self._done, self._total, self._bytes = f"{job.name} {label}", done, total, 0

    def each(self, stream: Iterable[Finished]) -> Iterator[Finished]:
        for record, pictures in stream:
            self._done += 1
            self._bytes += sum(len(picture.data) for picture in pictures)
            yield record, pictures
            progress.report(
                "export", self._label, self._done, self._total, "records", f"{self._bytes / 1e6:,.0f} MB of pictures"
            )


class _Waiting:
    """Records with pictures, one of which may be put off to the next shard."""

    def __init__(self, stream: Iterator[Finished]) -> None:
        self._stream, self._next = stream, next(stream, None)

    def more(self) -> bool:
        return self._next is not None

    def weight(self) -> int:
        record, pictures = self._next or (None, ())
        words = sum(len(q) + len(a) for q, a in record.turns) if record else 0
        return sum(len(picture.data) for picture in pictures) + 4 * words + 2000

    def take(self) -> Finished:
        taken, self._next = self._next, next(self._stream, None)
        assert taken is not None
        return taken


def _fill(shard: Shard, waiting: _Waiting, most: tuple[int, int], weight: float) -> int:
    size = count = 0
    while waiting.more() and count < most[1]:
        size += int(weight * waiting.weight())
        if count and size > most[0]:
            break
        shard.add(*waiting.take())
        count += 1
    return count


def line(row: Mapping[str, Any]) -> str:
    """One line of JSON, without the line breaks that only Unicode knows: half of all readers split lines on them."""
    text = json.dumps(row, ensure_ascii=False)
    return text.replace("\u0085", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _array(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield b"[\n"
    for number, row in enumerate(rows):
        yield ((",\n" if number else "") + line(row)).encode()
    yield b"\n]\n"
