"""A pool of pictures whose questions and answers are known: `images/` and `truth.jsonl`, a line a picture.

    {"key": "chart/000012.png", "task": "chart", "split": "base" | "pool" | "test",
     "questions": [["How many bars are there?", "Five bars."], ...], "caption": "A chart of five bars."}

A picture may have several lines, one for each task it belongs to. Any vocabulary, any picture size and format.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from presel.errors import ConfigError, InputError

log = logging.getLogger(__name__)
SPLITS = ("base", "pool", "test")
_WORD = re.compile(r"\w+|[^\w\s]+")


class Row(NamedTuple):
    """What is known about a picture in one task."""

    key: str
    task: str
    split: str
    questions: tuple[tuple[str, str], ...]
    caption: str

    @property
    def texts(self) -> Iterator[str]:
        for question, answer in self.questions:
            yield question
            yield answer
        if self.caption:
            yield self.caption

    def document(self) -> dict[str, object]:
        return {**self._asdict(), "questions": [list(pair) for pair in self.questions]}


@dataclass(frozen=True)
class Pool:
    """A folder that was read. Raises InputError, naming the line, for a truth that is not one."""

    folder: Path

    @property
    def name(self) -> str:
        return re.sub(r"[^a-z0-9_-]", "-", self.folder.name.lower()).strip("-_") or "pool"

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        path = self.folder / "truth.jsonl"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                "the pool has no truth", where=str(path), got=error.strerror, fix="name a folder that holds truth.jsonl"
            ) from error
        rows = [_row(line, f"{path}, line {n}") for n, line in enumerate(lines, start=1) if line.strip()]
        found = tuple(row for row in rows if row.split == "base" or row.questions)
        if len(found) < len(rows):
            log.warning(
                "%s: %d pictures of pool and test have no question and are left out", path, len(rows) - len(found)
            )
        for split in SPLITS:
            if not any(row.split == split for row in found):
                raise InputError("the pool lacks a split", where=str(path), expected=", ".join(SPLITS), got=split)
        return found

    def split(self, name: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.split == name)

    def bytes_of(self, key: str) -> bytes:
        path = self.folder / "images" / key
        try:
            return path.read_bytes()
        except OSError as error:
            raise InputError("a picture of the truth cannot be read", where=str(path), got=error.strerror) from error

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Every distinct word of the base and pool texts, as it stands at the start of a text and inside one, sorted.

        Never a test text: a word that only the test has is spelled in bytes, as any unknown word is.
        """
        found = set()
        for row in self.rows:
            if row.split != "test":
                for text in row.texts:
                    found.update(words_of(text))
        return tuple(sorted(found))

    def lay_out(self, folder: Path) -> Path:
        """The pool split alone, as hard links below `folder/images`, and `folder/tasks.jsonl`, the mapping; returns it."""
        mapping = folder / "tasks.jsonl"
        if mapping.exists():
            return mapping
        rows = self.split("pool")
        for row in rows:
            _link(self.folder / "images" / row.key, folder / "images" / row.key)
        text = "".join(json.dumps({"key": row.key, "task": row.task}) + "\n" for row in rows)
        _write_whole(mapping, text)
        return mapping


def words_of(text: str) -> Iterator[str]:
    """Words and runs of punctuation, each with the space before it, if there is one."""
    for found in _WORD.finditer(text):
        before = " " if found.start() and text[found.start() - 1].isspace() else ""
        yield before + found[0]


def write(folder: Path, rows: Sequence[Row]) -> None:
    """`truth.jsonl`, last of all: a folder without it is not finished."""
    _write_whole(folder / "truth.jsonl", "".join(json.dumps(row.document()) + "\n" for row in rows))


def _write_whole(path: Path, text: str) -> None:
    aside = path.with_suffix(".part")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _row(line: str, where: str) -> Row:
    try:
        found = json.loads(line)
        pairs = tuple((str(question), str(answer)) for question, answer in found.get("questions", ()))
        row = Row(str(found["key"]), str(found["task"]), found["split"], pairs, str(found.get("caption") or ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "not a line of truth",
            where=where,
            expected='{"key", "task", "split", "questions", "caption"}',
            got=line[:200],
        ) from error
    if row.split not in SPLITS:
        raise InputError("an unknown split", where=where, expected=", ".join(SPLITS), got=row.split)
    if Path(row.key).is_absolute() or ".." in Path(row.key).parts:
        raise InputError("a key leads out of the folder", where=where, expected="a path below images/", got=row.key)
    return row


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError as error:
        raise InputError("a picture of the truth is missing", where=str(source)) from error
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
