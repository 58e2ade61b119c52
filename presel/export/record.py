"""One record of a version as every format gets it: words no tokenizer misreads, pictures by the name they are
copied under.

Records carry lists on purpose: one picture and one turn today, but a page with three pictures or a
question without any is a record, too, and each format says what it makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

from presel.dataset.rows import rows
from presel.dataset.texts import neutral
from presel.dataset.trainer_formats import DIGEST


class Wanted(NamedTuple):
    """A picture of a sample, before it is copied."""

    name: str
    """What it is copied as, without an extension: the sample's id, and of several an ordinal."""
    key: str
    content: str


@dataclass(frozen=True)
class Record:
    """A record of a version; `turns` are pairs of question and answer."""

    id: str
    task: str
    turns: tuple[tuple[str, str], ...]
    wanted: tuple[Wanted, ...]


class Copied(NamedTuple):
    """A picture as it is handed over."""

    name: str
    extension: str
    """`jpg` or `png`: what the bytes are."""
    data: bytes

    @property
    def file(self) -> str:
        return f"{self.name}.{self.extension}"


COLUMNS = ("sample_id", "task", "key", DIGEST, "turns")


def records_of(data: BinaryIO) -> Iterator[Record]:
    """Records of an open `data.parquet`, in its order: by id."""
    return map(record_of, rows(data, COLUMNS))


def record_of(row: Mapping[str, Any]) -> Record:
    """A row of RECORDS as a record."""
    turns = tuple((neutral(turn["question"]), neutral(turn["response"])) for turn in row["turns"])
    return Record(row["sample_id"], row["task"], turns, (Wanted(row["sample_id"], row["key"], row[DIGEST]),))
