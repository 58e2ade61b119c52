"""A pool and the store of its first refresh, drawn once; every test starts from a copy at the same address."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from presel.config import ReferenceModelConfig, RefreshConfig
from presel.dataset import versions
from presel.demo.setting import Setting, staged
from presel.instruct.ledger import Ledger
from presel.runs.run_record import RunRecord
from presel.runs.summary import Summary
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import DatasetRef, rows_of
from tests.refresh.straight import straight


@dataclass
class Refreshed:
    """One refresh as its tests see it."""

    record: RunRecord
    paid: int
    """Requests that the endpoint was sent."""
    embedded: int
    """Images that were read and embedded."""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The published records by sample id."""

    @property
    def version(self) -> int:
        return self.record.dataset.version

    @property
    def diff(self) -> dict[str, Any]:
        return json.loads(versions.file(self.record.dataset, "diff.json"))

    @property
    def plan(self) -> dict[str, dict[str, Any]]:
        return {row["task"]: row for row in Summary(self.record).task_rows()}


def published(ref: DatasetRef) -> list[dict[str, Any]]:
    return rows_of(pq.read_table(pa.BufferReader(versions.file(ref, "data.parquet"))))


class Pool:
    """A pool that changes, and refreshes of it."""

    def __init__(self, setting: Setting, config: RefreshConfig) -> None:
        self.setting, self.config = setting, config
        self.images = Path(config.source.uri)
        self.last: Refreshed | None = None

    def refresh(self, **sections: Any) -> Refreshed:
        """The next refresh, with some sections of the configuration replaced from now on."""
        self.config = self.config.model_copy(update=sections)
        asked, known = self.setting.requests(), self._embedded_keys()
        record = straight(self.config)
        fresh = [ref for ref in record.embeddings if ref.key not in known]
        rows = published(record.dataset)
        self.last = Refreshed(
            record=record,
            paid=self.setting.requests() - asked,
            embedded=sum(table_store.facts(ref)["images"] for ref in fresh),
            rows={row["sample_id"]: row for row in rows},
        )
        return self.last

    def answers(self) -> int:
        """Paid answers on the store."""
        return sum(1 for _ in Ledger(open_store(self.config.store)).all_keys())

    def _embedded_keys(self) -> set[str]:
        entries = open_store(self.config.store).list("tables/embed/")
        return {entry.path.split("/")[2] for entry in entries if entry.path.endswith("manifest.json")}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Setting, RefreshConfig, Path]]:
    folder = tmp_path_factory.mktemp("refresh")
    with staged(folder, images=330) as setting:
        config = setting.config.model_copy(
            update={"reference_model": ReferenceModelConfig(model="builtin", fit="none")}
        )
        straight(config)
        for name in ("pool", "store"):
            shutil.copytree(folder / name, folder / "first" / name)
        yield setting, config, folder


@pytest.fixture
def pool(drawn: tuple[Setting, RefreshConfig, Path]) -> Pool:
    """The pool after its first refresh, which is `pool.last`."""
    setting, config, folder = drawn
    for name in ("pool", "store"):
        shutil.rmtree(folder / name)
        shutil.copytree(folder / "first" / name, folder / name)
    found = Pool(setting, config)
    found.refresh()
    return found
