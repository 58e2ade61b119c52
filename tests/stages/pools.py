"""Small pools of real pictures for the tests of ingest, embed and assemble."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from presel.config import EncoderConfig, SourceConfig
from presel.stages.assemble import assemble
from presel.stages.embed import embed_part
from presel.stages.ingest import ingest
from presel.storage import open_store
from presel.tables.schemas import TableRef
from tests.image_files import encoded

ENCODER = EncoderConfig(name="builtin", batch_size=8)


def picture(number: int) -> bytes:
    """A JPEG that no other number gives."""
    noise = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise).resize((64, 48)), "JPEG")


def put(uri: str, *keys: str) -> None:
    """Pictures under these keys, each its own, the same on every call."""
    for key in keys:
        open_store(uri).write(key, picture(zlib.crc32(key.encode())))


def keys(task: str, *numbers: int) -> list[str]:
    return [f"{task}/{number:03d}.jpg" for number in numbers]


@dataclass(frozen=True)
class Run:
    catalog: TableRef
    embeddings: list[TableRef]
    samples: TableRef


def catalogue(uri: str, store: str, part_size: int = 10) -> TableRef:
    return ingest(SourceConfig(uri=uri, part_size=part_size), store)


def run(uri: str, store: str, part_size: int = 10, encoder: EncoderConfig = ENCODER) -> Run:
    source = SourceConfig(uri=uri, part_size=part_size)
    catalog = ingest(source, store)
    embeddings = [embed_part(part, source, encoder) for part in catalog.split()]
    return Run(catalog, embeddings, assemble(catalog, embeddings))
