"""A small pool on disk and a table of samples, for tests of everything that asks an endpoint."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from presel.config import BatchConfig, GeneratorConfig, ImageConfig, PriceConfig, SourceConfig
from presel.config.keys import digest, sample_id
from presel.stages.instruct import instruct
from presel.tables import table_store
from presel.tables.schemas import REFERENCE, TableRef
from presel.tables.table_store import Output

KEY_VARIABLE = "PRESEL_TEST_KEY"
SECRET = "sk-test-4f3d9a7c1b2e"
PRICES = PriceConfig(input_per_million=0.4, output_per_million=1.6)


BATCH = BatchConfig(gather=0.1, poll=0.05)


@dataclass
class Pool:
    """`images` files of one task in a folder, and a store beside it."""

    root: Path
    images: int = 12
    task: str = "shapes"

    def __post_init__(self) -> None:
        folder = self.root / "pool" / self.task
        folder.mkdir(parents=True, exist_ok=True)
        self.content = []
        for i in range(self.images):
            data = picture(i)
            (folder / f"{i:04d}.jpg").write_bytes(data)
            self.content.append(digest(data))

    @property
    def store(self) -> str:
        return str(self.root / "store")

    @property
    def source(self) -> SourceConfig:
        return SourceConfig(uri=str(self.root / "pool"))

    def file(self, i: int) -> Path:
        return self.root / "pool" / self.task / f"{i:04d}.jpg"

    def wanted(self, picked: int, clusters: int = 1, images: int | None = None) -> TableRef:
        """The first `picked` samples are picked, the others are the reserve."""
        rows = [
            {
                "sample_id": sample_id(self.task, content),
                "task": self.task,
                "key": f"{self.task}/{i:04d}.jpg",
                "content": content,
                "cluster": i % clusters,
                "order": i,
                "picked": i < picked,
            }
            for i, content in enumerate(self.content[:images])
        ]
        rows.sort(key=lambda row: str(row["sample_id"]))
        out = Output(self.store, "reference", digest(json.dumps(rows).encode())[:32])
        out.write_rows(rows, REFERENCE, self.task)
        return out.commit({})

    def instruct(self, generator: GeneratorConfig, picked: int, **shape: Any) -> TableRef:
        return instruct(self.wanted(picked, **shape), self.source, generator, ImageConfig())

    def forget_tables(self) -> None:
        """So that the next run makes its table again, from the ledger."""
        for manifest in (self.root / "store" / "tables" / "instruct").glob("*/manifest.json"):
            manifest.unlink()


def picture(seed: int) -> bytes:
    """A small JPEG, another one for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24 + seed % 5, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "JPEG", quality=80)
    return sink.getvalue()


def generator(url: str, **settings: Any) -> GeneratorConfig:
    defaults = {"model": "m", "api_key_env": KEY_VARIABLE, "max_cost": 10.0, "prices": PRICES, "timeout": 10.0}
    return GeneratorConfig(base_url=url, **{**defaults, **settings})


def rows(ref: TableRef) -> list[dict[str, Any]]:
    return table_store.read(ref).to_pylist()


def reasons(ref: TableRef) -> list[str]:
    return table_store.rejects(ref)["reason"].to_pylist()


class Annotator:
    """Answers by a script: what to say at the n-th call about a picture, else two plain words."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self._lock = threading.Lock()

    def __call__(self, sent: bytes, words: str, request: Mapping[str, Any]) -> list[tuple[str, str]]:
        with self._lock:
            self.calls[digest(sent)] = self.calls.get(digest(sent), 0) + 1
        return [("What is it?", f"Picture {digest(sent)[:8]}.")]
