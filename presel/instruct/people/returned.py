"""What comes back from a labelling tool, in whatever form: Label Studio's exports and target storage, JSONL, CSV.

All of it is a stranger's: a file may be cut, edited, from another project, or no JSON at all. What cannot be read is a
`Refused` with its reason and its place, and the next one is read.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from presel.errors import InputError, NotFound
from presel.images.reasons import Reason
from presel.instruct.words import encodable, parsed, printable
from presel.storage import open_store

_FIELD = re.compile(r"(question|response)_(\d{1,2})")
_CSV_FIELD = 16 * 2**20
"""Bytes of a field of a CSV: Python's own limit is less than a long answer, or an inline picture."""


class Returned(NamedTuple):
    """One annotation as it came back, before anything in it is believed."""

    place: str
    """Where it stands, for people."""
    key: str
    sample_id: str
    turns: tuple[tuple[str, str], ...]
    """Question and response, either may be empty."""
    who: str
    seconds: float
    """Not negative and finite, and 0 where nobody said."""
    at: str
    """When it was made, as the tool says it."""
    skipped: bool


class Refused(NamedTuple):
    """What is no answer: where it stands, the key it claims, and why."""

    place: str
    key: str
    reason: Reason
    detail: str


Found = Returned | Refused


def read(address: str) -> Iterator[Found]:
    """Everything in a file, or in the files of a folder or an S3 prefix, in the order of their names.

    A task that nobody has annotated is nothing. Raises InputError where there is no such file.
    """
    folder, _, name = address.rstrip("/").rpartition("/")
    if not address.startswith("s3://") and Path(address).is_file():
        yield from _file(name or address, Path(address).read_bytes())
        return
    if address.startswith("s3://") and re.search(r"\.(json|jsonl|csv)$", name):
        folder_store = open_store(folder)
        try:
            yield from _file(name, folder_store.read(name))
        except NotFound as error:
            raise InputError("there is no such file", where=address) from error
        return
    store, any_file = open_store(address), False
    for entry in store.list():
        any_file = True
        yield from _file(entry.path, store.read(entry.path))
    if not any_file:
        raise InputError("there is no such file, and no folder with files in it", where=address)


def _file(name: str, data: bytes) -> Iterator[Found]:
    text = _decoded(data)
    if name.lower().endswith(".csv"):
        yield from _table(name, text)
    elif name.lower().endswith(".jsonl"):
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield from _document(f"{name}:{number}", line)
    else:
        yield from _document(name, text)


def _decoded(data: bytes) -> str:
    """As text, whatever a spreadsheet made of it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")


def _document(place: str, text: str) -> Iterator[Found]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield Refused(place, "", Reason.INVALID_JSON, f"no JSON: {error}"[:300])
        return
    items = found if isinstance(found, list) else [found]
    for number, item in enumerate(items):
        yield from _item(f"{place}[{number}]" if isinstance(found, list) else place, item)


def _table(name: str, text: str) -> Iterator[Found]:
    before = csv.field_size_limit(_CSV_FIELD)
    try:
        head = text.partition("\n")[0]
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
        for row in reader:
            yield from _item(f"{name}:{reader.line_num}", row)
    except csv.Error as error:
        yield Refused(name, "", Reason.SCHEMA, f"the table cannot be read: {error}"[:300])
    finally:
        csv.field_size_limit(before)


def _item(place: str, item: Any) -> Iterator[Found]:
    """A Label Studio task with its annotations, one annotation of a target storage with its task, or a plain row."""
    if not isinstance(item, Mapping):
        yield Refused(place, "", Reason.SCHEMA, "neither a task, an annotation nor a row")
    elif isinstance(item.get("annotations"), list):
        for number, annotation in enumerate(item["annotations"]):
            yield _annotation(f"{place}.annotations[{number}]", annotation, item.get("data"))
    elif isinstance(item.get("task"), Mapping):
        yield _annotation(place, item, item["task"].get("data"))
    elif "presel" in item and not str(item.get("annotator") or "").strip():
        return  # a row that nobody has put a name to: it may hold a draft, and is not answered yet
    elif "presel" in item:
        yield _returned(place, item, item, {str(name): _text(value) for name, value in item.items() if value})
    elif "data" in item:
        return  # a task of an export that holds all tasks, and nobody has annotated this one
    else:
        yield Refused(place, "", Reason.FOREIGN, "it has no `presel`: the key that a task is known by")


def _annotation(place: str, annotation: Any, data: Any) -> Found:
    if not isinstance(annotation, Mapping) or not isinstance(data, Mapping):
        return Refused(place, "", Reason.SCHEMA, "an annotation without its task's data")
    result = annotation.get("result")
    texts: dict[str, str] = {}
    for part in result if isinstance(result, list) else []:
        if isinstance(part, Mapping) and isinstance(part.get("value"), Mapping):
            texts[str(part.get("from_name"))] = _text(part["value"].get("text"))
    return _returned(place, data, annotation, texts)


def _returned(place: str, data: Mapping[str, Any], about: Mapping[str, Any], texts: Mapping[str, str]) -> Returned:
    """`data`: what it is known by; `about`: who, when and how long."""
    who = about.get("completed_by", about.get("annotator"))
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    skipped = about.get("was_cancelled", about.get("skipped"))
    return Returned(
        place=place,
        key=_name(data.get("presel")),
        sample_id=_name(data.get("sample_id")),
        turns=_turns(texts),
        who=_name(who),
        seconds=_seconds(about.get("lead_time")),
        at=_name(about.get("created_at")),
        skipped=skipped is True or str(skipped).strip().lower() in {"true", "yes", "1", "x"},
    )


def _turns(texts: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    filled: dict[int, dict[str, str]] = {}
    for name, text in texts.items():
        if (found := _FIELD.fullmatch(name)) and text.strip():
            filled.setdefault(int(found[2]), {})[found[1]] = text
    return tuple((turn.get("question", ""), turn.get("response", "")) for _, turn in sorted(filled.items()))


def _text(value: Any) -> str:
    """What was written in a field: Label Studio has it as a list, or as one string in its smaller exports."""
    if isinstance(value, str) and value.startswith("[") and isinstance(listed := parsed(value), list):
        value = listed if all(isinstance(part, str) for part in listed) else value
    if isinstance(value, list):
        value = "\n".join(part for part in value if isinstance(part, str))
    return encodable(value) if isinstance(value, str) else ""


def _name(value: Any) -> str:
    return printable(str(value))[:200] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _seconds(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0
