"""A refresh and what trainers get of it: tests kept apart, twins on one side, the same images held out ever after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np

from presel.config import ExportConfig
from presel.dataset import versions
from presel.export import export_version
from presel.tables import table_store
from tests.refresh.conftest import Pool, Refreshed
from tests.refresh.test_changed_pools import put


def exported(pool: Pool, run: Refreshed, to: Path) -> dict[str, set[str]]:
    """Sample ids by side."""
    config = pool.config.model_copy(update={"export": ExportConfig(to=str(to), formats=("llava",), validation=0.3)})
    export_version(run.record.dataset, config)
    return {
        side: {row["id"] for row in json.loads((to / f"{side}.json").read_text())} for side in ("train", "validation")
    }


def vectors_of(run: Refreshed) -> dict[str, np.ndarray]:
    table = table_store.read(run.record.samples, ["sample_id", "vector"]).to_pylist()
    return {row["sample_id"]: np.asarray(row["vector"], np.float32) for row in table}


def test_no_held_out_image_has_a_twin_in_training_and_it_stays_held_out(pool: Pool, tmp_path: Path) -> None:
    first = exported(pool, pool.last, tmp_path / "first")
    vectors = vectors_of(pool.last)
    train, held = (np.stack([vectors[name] for name in sorted(first[side])]) for side in ("train", "validation"))
    assert len(held) > 3
    assert (held @ train.T).max() < 0.95
    put(pool, "scene", range(900, 940))
    put(pool, "colour", range(900, 920))
    second = exported(pool, pool.refresh(), tmp_path / "second")
    assert len(second["train"]) > len(first["train"])
    assert not first["validation"] & second["train"]
    assert len(first["train"] & second["validation"]) <= 1  # where a newcomer ties it to what is held out


def test_an_image_of_a_test_is_in_no_version_and_the_card_says_how_many_there_were(pool: Pool, tmp_path: Path) -> None:
    spoiled = [row for row in pool.last.rows.values() if row["origin"] == "selected"][:3]
    (tmp_path / "benchmark").mkdir()
    for number, row in enumerate(spoiled):
        shutil.copy(pool.images / row["key"], tmp_path / "benchmark" / f"{number}.jpg")
    run = pool.refresh(exclude=(str(tmp_path / "benchmark"),))
    assert not {row["sample_id"] for row in spoiled} & run.rows.keys()
    rejects = table_store.decode(versions.file(run.record.dataset, "rejects.parquet")).to_pylist()
    refused = {row["id"]: row for row in rejects if row["reason"] == "held_out"}
    assert {row["sample_id"] for row in spoiled} <= refused.keys()
    card = versions.file(run.record.dataset, "README.md").decode()
    assert f"{len(refused)} images of the pool are one of benchmark, or nearly" in card
    assert str(tmp_path) not in versions.file(run.record.dataset, "config.json").decode()
    assert all(plan["images"] == plan["usable"] + plan["rejected"] for plan in run.plan.values())
