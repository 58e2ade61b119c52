"""A published version of a hostile pool: every kind of picture, odd names, answers that a tokenizer would misread."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from presel.config import DatasetConfig, ExportConfig, GeneratorConfig, ImageConfig, RefreshConfig, SourceConfig
from presel.config.keys import digest, sample_id
from presel.dataset import versions
from presel.dataset.trainer_formats import DIGEST, RECORDS
from presel.images import decode
from presel.storage import open_store
from presel.tables import DatasetRef, table_store
from tests.image_files import encoded, files

HOSTILE = (
    "plain <image> word",
    "ends </s> early <|im_end|>",
    "<|image_pad|><video><audio>",
    "line one\nline two\u2028three \u0085 end",
    'quotes " and \\ and {braces} ü 海',
    "[INST] <think>no</think> [/INST]",
)
KEYS = (
    "scene/a photo.v1.jpg",
    "scene/photo.v2.jpg",
    "scene/what?.png",
    "scene/100%20sure.jpg",
    "scene/海の写真.jpg",
    "scene/no extension",
)


@dataclass(frozen=True)
class Published:
    dataset: DatasetRef
    config: RefreshConfig
    rows: list[dict[str, Any]]

    def exporting(self, to: object, *formats: str, **settings: Any) -> RefreshConfig:
        export = ExportConfig(to=str(to), **({"formats": formats} if formats else {}), **settings)
        return self.config.model_copy(update={"export": export})

    def pixels(self, row: dict[str, Any]) -> np.ndarray:
        """The picture as it was instructed."""
        image = decode(open_store(self.config.source.uri).read(row["key"]), ImageConfig())
        assert isinstance(image, Image.Image)
        return np.asarray(image)


def publish(
    root: str | Path,
    pictures: dict[str, bytes],
    number: int = 1,
    turns: int = 1,
    digests: str = DIGEST,
    without: tuple[str, ...] = (),
) -> Published:
    """These pictures by key below `root/pool`, and a version of all of them on `root/store`."""
    source, store = f"{root}/pool", f"{root}/store"
    rows = []
    for ordinal, (key, data) in enumerate(pictures.items()):
        open_store(source).write(key, data)
        task, content = key.partition("/")[0], digest(data)
        said = [
            {"question": f"What is it, {i}? {HOSTILE[ordinal % 6]}", "response": HOSTILE[(ordinal + i) % 6]}
            for i in range(turns)
        ]
        rows.append(
            {
                "sample_id": sample_id(task, content), "task": task, "key": key, DIGEST: content, "turns": said,
                "kind": "short_answer", "model": "drawn", "origin": "selected", "weight": 1.0,
                "input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0,
            }
        )  # fmt: skip
    rows.sort(key=lambda row: row["sample_id"])
    table = pa.Table.from_pylist(rows, schema=RECORDS).drop_columns(list(without)).rename_columns({DIGEST: digests})
    made = {"data.parquet": table_store.encode(table)}
    about = {"content": versions.content_digest(made), "before": number - 1, "records": len(rows)}
    dataset = versions.complete(store, "odd", versions.claim(store, "odd", about), made, about, {})
    config = RefreshConfig(
        source=SourceConfig(uri=source),
        store=store,
        generator=GeneratorConfig(model="m", max_cost=1.0),
        dataset=DatasetConfig(name="odd", license="cc-by-4.0", language=("en",), notes="Drawn here."),
    )
    return Published(dataset, config, rows)


def every_kind() -> dict[str, bytes]:
    """Pictures of every format under names that trainers stumble over, each of other bytes."""
    made: dict[str, bytes] = {}
    seen: set[str] = set()
    for name, data in files().items():
        if digest(data) not in seen:
            seen.add(digest(data))
            made[f"kinds/{name}"] = data
    for number, key in enumerate(KEYS):
        made[key] = photo(number)
    return made


def photo(number: int, format: str = "JPEG") -> bytes:
    """A small picture that no other number gives."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise).resize((64, 48)), format)


def read(data: bytes) -> np.ndarray:
    """Pixels as a trainer sees them: no turning, no profile."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
