"""What the instruction benchmarks ask about: a pool of pictures, its table, and the settings of the generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from presel.config import GeneratorConfig, PriceConfig
from presel.config.keys import digest, sample_id
from presel.tables.schemas import REFERENCE, TableRef
from presel.tables.table_store import Output

KEY = "PRESEL_BENCHMARK_KEY"


SIDE = 768


def picture(seed: int, quality: int) -> bytes:
    """A 768 x 600 JPEG with the detail of a photograph; about 100 kB at quality 43, 350 kB at 90."""
    import io

    coarse = np.random.default_rng(seed).integers(0, 255, (200, 256, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(coarse).resize((SIDE, 600), Image.Resampling.BICUBIC).save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def settings(url: str, **more: Any) -> GeneratorConfig:
    prices = PriceConfig(input_per_million=0.4, output_per_million=1.6)
    return GeneratorConfig(model="m", base_url=url, api_key_env=KEY, max_cost=1000.0, prices=prices, **more)


def pool(root: Path, n: int, pictures: int = 4) -> TableRef:
    """`n` JPEGs on disk, all picked: some pictures, and a comment that makes each file's content its own."""
    kinds = [picture(seed, 43) for seed in range(pictures)]
    (root / "pool" / "t").mkdir(parents=True)
    for i in range(n):
        data = kinds[i % pictures][:-2] + b"\xff\xfe\x00\x0a" + f"{i:08d}".encode() + b"\xff\xd9"
        (root / "pool" / "t" / f"{i}.jpg").write_bytes(data)
    return table_of(root, n)


def table_of(root: Path, n: int) -> TableRef:
    """The first `n` of the pool, all picked."""
    rows = []
    for i in range(n):
        content = digest((root / "pool" / "t" / f"{i}.jpg").read_bytes())
        row = {"sample_id": sample_id("t", content), "task": "t", "key": f"t/{i}.jpg", "content": content}
        rows.append({**row, "cluster": 0, "order": i, "picked": True})
    out = Output(str(root / "store"), "reference", f"{n:032d}")
    out.write_rows(rows, REFERENCE, "t")
    return out.commit({})
