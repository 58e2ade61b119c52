"""An instruction as the records that trainers read: LLaVA JSON, messages JSONL, Parquet.

Pure functions, one record in, one record out, and their inverses, because a format is right when what comes back is what
went in. The one thing no format can carry is the picture's own marker inside a text: every LLaVA reader moves `<image>`
to the front of its turn, *answers included*, and then counts one picture more than there is, which stops training days
later. So a sign that a tokenizer has for itself is written in brackets when an annotator used it as a word (`texts`);
everything else comes back to the letter.

JSON is UTF-8, one record a line, with the line breaks that only Unicode knows (U+0085, U+2028, U+2029) escaped: half of
all readers split lines on them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from presel.dataset.texts import neutral
from presel.tables.ratings import FIELDS
from presel.tables.schemas import INSTRUCTIONS, INT, REAL, TEXT

MARKER = "<image>"
DIGEST = "image_sha256"
"""The column of image digests: `content` once, which ms-swift takes for the answer (see `rows`)."""
Exchange = Mapping[str, str]
Instruction = Mapping[str, Any]
"""A row of INSTRUCTIONS or RECORDS: `sample_id`, `task`, `key` and `turns` are read, the rest is left alone."""

RECORDS = pa.schema(
    [
        ("sample_id", TEXT),
        ("task", TEXT),
        ("key", TEXT),  # of the image, relative to the source
        (DIGEST, TEXT),  # SHA-256 of the image's bytes
        ("plain", pa.bool_()),  # opened as most trainers do, it shows what was instructed; null: it could not be read
        INSTRUCTIONS.field("turns"),
        ("kind", TEXT),
        ("model", TEXT),  # who wrote the instruction
        # reference: drawn at random; selected: chosen by the plan; kept: paid for by an earlier version
        ("origin", TEXT),
        ("cluster", pa.int32()),  # this and the next two: selected only
        ("centrality", pa.float32()),
        ("rank", pa.int32()),
        ("irs", REAL),  # this and the losses: reference samples that were scored
        ("loss_with_question", REAL),
        ("loss_without_question", REAL),
        ("weight", REAL),  # of the task
        ("input_tokens", INT),
        ("output_tokens", INT),
        ("cost_usd", REAL),  # when it was bought
        *FIELDS,  # ratings of a judge, 1 to 5
    ]
)
"""`data.parquet` of a dataset version: one row a sample, ordered by `sample_id`."""
CHOSEN_ORIGINS = frozenset({"selected", "kept"})
"""Origins of what a plan chose, this one's or an earlier one's."""


def size_category(records: int) -> str:
    """The hub's word for a dataset's size."""
    for bound, word in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if records < bound:
            return word
    return "1M<n<10M"


def llava(record: Instruction) -> dict[str, Any]:
    """The record of LLaVA's fine-tuning JSON: `image` is relative to the trainer's `--image_folder`, the source.

    The picture stands before the first question; later turns are about the same picture.
    """
    conversations = []
    for ordinal, turn in enumerate(record["turns"]):
        question = neutral(turn["question"])
        value = f"{MARKER}\n{question}" if ordinal == 0 else question
        conversations.append({"from": "human", "value": value})
        conversations.append({"from": "gpt", "value": neutral(turn["response"])})
    return {"id": record["sample_id"], "image": record["key"], "conversations": conversations}


def messages(record: Instruction) -> dict[str, Any]:
    """Chat messages with typed parts, as OpenAI's and TRL's trainers read them; `images` holds the key the image part means.

    To train with TRL, cast `images` to pictures: `dataset.cast_column("images", [Image()])` after prefixing the keys.
    """
    said: list[dict[str, Any]] = []
    for ordinal, turn in enumerate(record["turns"]):
        picture = [{"type": "image"}] if ordinal == 0 else []
        said.append({"role": "user", "content": [*picture, _text(turn["question"])]})
        said.append({"role": "assistant", "content": [_text(turn["response"])]})
    return {"id": record["sample_id"], "task": record["task"], "images": [record["key"]], "messages": said}


def llava_json(records: Iterable[Instruction]) -> Iterator[bytes]:
    """A JSON array in pieces, one record a line: `json.load` reads it whole, `grep` and `diff` by record."""
    yield b"[\n"
    for ordinal, record in enumerate(records):
        yield ((",\n" if ordinal else "") + _line(llava(record))).encode()
    yield b"\n]\n"


def messages_jsonl(records: Iterable[Instruction]) -> Iterator[bytes]:
    """A message record a line, in pieces."""
    return (f"{_line(messages(record))}\n".encode() for record in records)


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": neutral(text)}


def _line(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, ensure_ascii=False, separators=(", ", ": "))
    return text.replace("\u0085", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
