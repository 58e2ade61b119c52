"""Tasks out of an existing instruction dataset, so that the paper's own setting can be rerun on its own images.

Vision-Flan says in each record which of its 191 tasks it is from. LLaVA-665K does not: its 624,610 records with an image come
from nine datasets that only share a file. What still tells them apart is the folder of the image (`gqa`, `ocr_vqa`, `textvqa`,
`vg`, `coco`) and, in `coco`, which five datasets share, the format that the question asks its answer in.

The files are JSON lists of up to a gigabyte; records are decoded one after the other, so memory holds the file once
and one record, not five gigabytes of Python objects.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from presel.errors import ConfigError

Record = dict[str, Any]
_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[\s,\[\]]*")
_SHARED_FOLDER = "coco"
# The response-format prompts of LLaVA-1.5, in the order in which they are looked for.
_FORMATS = (
    ("option's letter", "multiple_choice"),
    ("single word or phrase", "short_answer"),
    ("bounding box coordinate", "region"),
    ("short description for this region", "region"),
)


def parse(data: bytes, where: str) -> Iterator[Record]:
    """The records of a JSON list, or of JSON lines, one at a time. Raises ConfigError where it is neither."""
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    decoder, text, at, read = json.JSONDecoder(), "", 0, 0
    while True:
        start = _BETWEEN.match(text, at)
        at = start.end() if start else at
        try:
            record, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if read >= len(data):
                if at < len(text):
                    raise _not_json(where, f"{error.msg} near {text[at : at + 40]!r}") from error
                return
            try:
                text, at = text[at:] + decode(data[read : read + _CHUNK]), 0
            except UnicodeDecodeError as wrong:
                raise _not_json(where, str(wrong)) from wrong
            read += _CHUNK
            continue
        if not isinstance(record, dict):
            raise _not_json(where, f"a {type(record).__name__} in place of a record")
        yield record


def vision_flan_tasks(records: Iterator[Record]) -> Iterator[tuple[str, str]]:
    """(image, task): what `task_name` says. Records without one name nothing."""
    for record in records:
        task = record.get("task_name")
        for image in _images(record):
            yield image, task if isinstance(task, str) else ""


def llava_tasks(records: Iterator[Record], otherwise: str) -> Iterator[tuple[str, str]]:
    """(image, task), by the first of these that says something (docs/sources.md):

    1. the record's own `task_name` or `task`;
    2. the first folder of `image`; for `coco`, with the answer format of the first question: `coco:short_answer`
       (VQAv2, OKVQA), `coco:multiple_choice` (A-OKVQA), `coco:region` (RefCOCO) or `coco:conversation` (LLaVA-158K);
    3. what stands before the first digit of `id` (`GCC_train_000001` is `GCC_train`);
    4. `otherwise`.

    Records without an image are text alone and name nothing.
    """
    for record in records:
        for image in _images(record):
            yield image, _llava_task(record, image) or otherwise


def _llava_task(record: Record, image: str) -> str:
    said = record.get("task_name") or record.get("task")
    if isinstance(said, str):
        return said
    folder, separator, _ = image.partition("/")
    if separator:
        return f"{folder}:{_answer_format(record)}" if folder == _SHARED_FOLDER else folder
    return re.split(r"\d", str(record.get("id", "")), maxsplit=1)[0].strip("_-./ ")


def _answer_format(record: Record) -> str:
    turns = record.get("conversations")
    first = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
    question = str(first.get("value", ""))
    return next((name for phrase, name in _FORMATS if phrase in question), "conversation")


def _images(record: Record) -> list[str]:
    image = record.get("image")
    several = image if isinstance(image, list) else [image]
    return [name.removeprefix("./").lstrip("/") for name in several if isinstance(name, str) and name]


def _not_json(where: str, got: str) -> ConfigError:
    return ConfigError("the dataset cannot be read", where=where, expected="a JSON list of records", got=got)
