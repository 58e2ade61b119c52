"""One Hugging Face folder that `datasets`, TRL, LLaMA-Factory, ms-swift, axolotl and Unsloth read: Parquet with
pictures inside.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from presel.export.card import croissant, readme
from presel.export.former import of_parquet
from presel.export.job import Job, Side
from presel.export.record import Copied, Record
from presel.export.shapes import conversations, typed_messages
from presel.tables.ratings import FIELDS

FILES = False
MOST = (480_000_000, 1 << 40)
"""Bytes and records of a shard: what hubs and loaders like is at most 500 MB."""
_ROWS, _BYTES = 100, 64_000_000
"""Of a row group: a reader holds one whole."""
_TEXT = pa.string()
_PART = pa.struct([("type", _TEXT), ("text", _TEXT)])
_VALUE: dict[str, Any] = {"dtype": "string", "_type": "Value"}
FEATURES: dict[str, Any] = {
    "id": _VALUE,
    "task": _VALUE,
    "images": {"feature": {"_type": "Image"}, "_type": "List"},
    "messages": {
        "feature": {"role": _VALUE, "content": {"feature": {"type": _VALUE, "text": _VALUE}, "_type": "List"}},
        "_type": "List",
    },
    "conversations": {"feature": {"from": _VALUE, "value": _VALUE}, "_type": "List"},
}
"""What makes `images` show up as pictures, wherever the file is opened by `datasets`."""
SCHEMA = pa.schema(
    [
        ("id", _TEXT),
        ("task", _TEXT),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", _TEXT)]))),
        ("messages", pa.list_(pa.struct([("role", _TEXT), ("content", pa.list_(_PART))]))),
        ("conversations", pa.list_(pa.struct([("from", _TEXT), ("value", _TEXT)]))),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": FEATURES}})},
)


def _rated_schema() -> pa.Schema:
    """SCHEMA with the columns of ratings, in a version that has any."""
    one = {"dtype": "int8", "_type": "Value"}
    more = {name: {"feature": one, "_type": "List"} if pa.types.is_list(kind) else one for name, kind in FIELDS}
    described = {"huggingface": json.dumps({"info": {"features": {**FEATURES, **more}}})}
    return pa.schema([*SCHEMA, *FIELDS], metadata=described)


def write(job: Job) -> None:
    """`data/<side>-<digest>-00000.parquet` and so on, `croissant.json`, `README.md` last: it names the new shards."""
    for side in job.sides():
        _write_side(job, side)
    job.write("croissant.json", croissant(job))
    job.write("TRAIN.md", _train(job))
    job.write("README.md", readme(job, {side: _pattern(job, side) for side in job.sides()}))


def _write_side(job: Job, side: Side) -> None:
    def name(number: int) -> str:
        return f"data/{side}-{job.place.generation}-{number:05d}.parquet"

    def shard(file: BinaryIO) -> ParquetShard:
        return ParquetShard(file, _rated_schema() if job.rated else SCHEMA)

    job.write_shards(side, name, shard, most=MOST, former=of_parquet(job.place, f"{job.folder}data/"))


def _pattern(job: Job, side: Side) -> str:
    return f"data/{side}-{job.place.generation}-*.parquet"


class ParquetShard:
    """Rows of SCHEMA in row groups of about 100."""

    def __init__(self, file: BinaryIO, schema: pa.Schema = SCHEMA) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(
            file, schema, compression="zstd", compression_level=1, use_dictionary=["task"], write_statistics=False
        )
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, record: Record, pictures: tuple[Copied, ...]) -> None:
        self._rows.append(row(record, pictures))
        self._bytes += sum(len(picture.data) for picture in pictures)
        if len(self._rows) >= _ROWS or self._bytes >= _BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema), row_group_size=len(self._rows))
            self._rows, self._bytes = [], 0


def row(record: Record, pictures: tuple[Copied, ...]) -> dict[str, Any]:
    """A record as a row of SCHEMA."""
    return {
        "id": record.id,
        "task": record.task,
        "images": [{"bytes": picture.data, "path": picture.file} for picture in pictures],
        "messages": typed_messages(record),
        "conversations": conversations(record),
        **record.ratings,
    }


def _train(job: Job) -> str:
    evaluated = ', eval_dataset=data["validation"]' if "validation" in job.sides() else ""
    return f"""# Train on {job.name} from this one folder

TRL. The loss is on the last answer alone; rows of several turns want `messages` and `assistant_only_loss=True` instead:

```python
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

data = load_dataset("{job.here}")
data = data.map(
    lambda row: {{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}},
    remove_columns=["messages", "conversations"],
)
arguments = SFTConfig(output_dir="checkpoints/{job.name}", max_length=None)
SFTTrainer("Qwen/Qwen2.5-VL-3B-Instruct", arguments, train_dataset=data["train"]{evaluated}).train()
```

LLaMA-Factory: in the `dataset_info.json` of its `dataset_dir`

```json
{{"{job.name}": {{
  "hf_hub_url": "{job.here}", "formatting": "sharegpt",
  "columns": {{"messages": "conversations", "images": "images"}}
}}}}
```

and `dataset: {job.name}` in the run's YAML (a second entry with `"split": "validation"` for `eval_dataset`).

ms-swift:

```
swift sft --model Qwen/Qwen2.5-VL-7B-Instruct --tuner_type lora --dataset {job.here} --output_dir output/{job.name}
```

axolotl: `datasets: [{{path: {job.here}, type: chat_template, field_messages: messages}}]`, with `skip_prepare_dataset: true`,
`remove_unused_columns: false`, `sample_packing: false`. Unsloth: `load_dataset` as above, then its vision collator.
"""
