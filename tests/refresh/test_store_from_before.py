"""A store that an older presel made (24 November 2026: the drawn pool of 330 images, its paid answers and version 1)."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from presel.config import RefreshConfig
from presel.dataset import versions
from presel.demo.setting import Setting
from presel.instruct.ledger import Ledger
from presel.stages.assemble import assemble
from presel.stages.embed import embed_part
from presel.stages.ingest import ingest
from presel.stages.instruct import instruct
from presel.stages.reference import draw_reference
from presel.storage import open_store

BEFORE = Path(__file__).with_name("store_of_2026_11_24.tgz")


def test_what_an_older_presel_paid_for_and_published_is_found_again(
    drawn: tuple[Setting, RefreshConfig, Path], tmp_path: Path
) -> None:
    setting, config, _ = drawn
    store = open_store(str(tmp_path / "store"))
    with tarfile.open(BEFORE) as kept:
        kept.extractall(store.uri, filter="data")
    bought, asked = set(Ledger(store).all_keys()), setting.requests()

    catalog = ingest(config.source, store.uri)
    parts = [embed_part(part, config.source, config.encoder) for part in catalog.split()]
    tasks = assemble(catalog, parts).split()
    reference = [draw_reference(task, config.reference, config.seed) for task in tasks]
    for chosen in reference:
        instruct(chosen, config.source, config.generator, config.encoder.images)

    assert sum(chosen.rows for chosen in reference) > 0
    assert setting.requests() == asked, "a paid answer was bought again"
    assert set(Ledger(store).all_keys()) == bought

    version = versions.latest(store.uri, config.dataset.name)
    assert version is not None
    assert version.version == 1
    records = pq.read_table(pa.BufferReader(versions.file(version, "data.parquet")))
    assert len(records) == version.records == len(bought)
