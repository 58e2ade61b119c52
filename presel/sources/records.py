"""Tasks out of an existing instruction dataset, so that the paper's own setting can be rerun on its own images.

Vision-Flan says in each record which of its 191 tasks it is from. LLaVA-665K does not: its 624,610 records with an image come
from nine datasets that only share a file. What still tells them apart is the folder of the image (`gqa`, `ocr_vqa`, `textvqa`,
`vg`, `coco`) and, in `coco`, which five datasets share, the format that the question asks its answer in and how many questions
there are: VQAv2 asks at least three about an image, OKVQA one (9,009 about 8,998 images), and each image is one record.

The files are JSON lists of up to a gigabyte; records are decoded one after the other, so memory holds a piece of the file
and one record, not five gigabytes of Python objects.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from presel.errors import ConfigError

Record = dict[str, Any]
_CHUNK = 1 << 20
_BETWEEN = re.compile(r"[\s,\[\]]*")
_SHARED_FOLDER = "coco"
# The response-format prompts of LLaVA-1.5, in the order in which they are looked for.
_FORMATS = (
    ("option's letter", "aokvqa"),
    ("single word or phrase", "vqav2"),
    ("bounding box coordinate", "refcoco"),
    ("short description for this region", "refcoco"),
)
_FEWEST_OF_VQAV2 = 3


def parse(file: BinaryIO, where: str) -> Iterator[Record]:
    """The records of a JSON list, or of JSON lines, one at a time. Raises ConfigError where it is neither."""
    decode = codecs.getincrementaldecoder("utf-8-sig")().decode
    decoder, text, at, ended = json.JSONDecoder(), "", 0, False
    while True:
        start = _BETWEEN.match(text, at)
        at = start.end() if start else at
        try:
            record, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if ended:
                if at < len(text):
                    raise _not_json(where, f"{error.msg} near {text[at : at + 40]!r}") from error
                return
            piece = file.read(max(_CHUNK, len(text) - at))  # a record of many pieces is not looked at once for each
            try:
                text, at, ended = text[at:] + decode(piece, final=not piece), 0, not piece
            except UnicodeDecodeError as wrong:
                raise _not_json(where, str(wrong)) from wrong
            continue
        if not isinstance(record, dict):
            raise _not_json(where, f"a {type(record).__name__} in place of a record")
        yield record


def vision_flan_tasks(records: Iterator[Record], named: str = "") -> Iterator[tuple[str, str]]:
    """(image, task): what `task_name` says, else what the file is `named`. Records without either name nothing."""
    for record in records:
        task = record.get("task_name") or named
        for image in _images(record):
            yield image, task if isinstance(task, str) else ""


def llava_tasks(
    records: Iterator[Record], named: str, otherwise: str, key_of: Callable[[str], str]
) -> Iterator[tuple[str, str]]:
    """(image, task): `key_of` makes a key of an image's name; the task by the first of these that says something:

    1. the record's own `task_name` or `task`;
    2. what the file is `named`, where there is one for each task;
    3. the first folder of `image`; in place of `coco` the dataset that the questions show: `vqav2`, `okvqa`, `aokvqa`,
       `refcoco` or `llava`;
    4. what stands before the first digit of `id` (`GCC_train_000001` is `GCC_train`);
    5. `otherwise`.

    Records without an image are text alone and name nothing.
    """
    for record in records:
        said = record.get("task_name") or record.get("task") or named
        for image in map(key_of, _images(record)):
            yield image, said if isinstance(said, str) and said else _llava_task(record, image) or otherwise


def _llava_task(record: Record, image: str) -> str:
    folder, separator, _ = image.partition("/")
    if separator:
        return _on_coco(record) if folder == _SHARED_FOLDER else folder
    return re.split(r"\d", str(record.get("id", "")), maxsplit=1)[0].strip("_-./ ")


def _on_coco(record: Record) -> str:
    turns = record.get("conversations")
    asked = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
    first = str(asked[0].get("value", "")) if asked else ""
    found = next((name for phrase, name in _FORMATS if phrase in first), "llava")
    questions = sum(turn.get("from") == "human" for turn in asked)
    return "okvqa" if found == "vqav2" and questions < _FEWEST_OF_VQAV2 else found


def _images(record: Record) -> list[str]:
    """What a record names: LLaVA's `image`, or `images` as messages have them, each a name or an object with a `path`."""
    image = record.get("image")
    several = image if isinstance(image, list) else [image]
    if image is None and isinstance(images := record.get("images"), list):
        several = [one.get("path") if isinstance(one, dict) else one for one in images]
    return [name for name in several if isinstance(name, str) and name]


def _not_json(where: str, got: str) -> ConfigError:
    return ConfigError("the dataset cannot be read", where=where, expected="a JSON list of records", got=got)
