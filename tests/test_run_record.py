"""The record of a run is read by presels that come later, and by those that were there before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from presel.demo.setting import demo_config
from presel.errors import IntegrityError, NotFound
from presel.runs import run_record
from presel.runs.run_record import RunRecord
from presel.tables.schemas import DatasetRef, TableRef


@pytest.fixture
def saved(tmp_path: Path) -> RunRecord:
    ref = TableRef(stage="plan", store=str(tmp_path), key="k", digest="d", rows=0, parts=())
    ones = dict.fromkeys(("catalog", "samples", "model", "plan"), ref)
    names = ("embeddings", "clusters", "reference", "reference_instructions", "relevance", "rankings")
    record = RunRecord(config=demo_config("pool", str(tmp_path)), **ones, **dict.fromkeys(names, (ref,)))
    run_record.save(record)
    return record


def change(store: str, **fields: object) -> None:
    """Without the checksum, as records were before there were any."""
    path = Path(store) / "runs/demo/latest.json"
    document = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in document.items() if name != "sha256"}))


def test_a_record_is_read_back_and_says_who_wrote_it(saved: RunRecord) -> None:
    store = saved.config.store
    assert run_record.latest(store, "demo") == saved
    assert list(run_record.of_store(store)) == [saved]
    document = json.loads((Path(store) / "runs/demo/latest.json").read_text())
    assert document["format"] == run_record.FORMAT
    assert document["presel"]


def test_a_record_from_before_formats_were_named_is_read(saved: RunRecord) -> None:
    path = Path(saved.config.store) / "runs/demo/latest.json"
    path.write_text(saved.model_dump_json())
    assert run_record.latest(saved.config.store, "demo") == saved


def test_a_newer_record_is_refused(saved: RunRecord) -> None:
    change(saved.config.store, format=run_record.FORMAT + 1, something="new")
    with pytest.raises(IntegrityError, match="upgrade presel"):
        run_record.latest(saved.config.store, "demo")


def test_a_record_with_a_setting_this_presel_does_not_have_names_it_and_who_wrote_it(saved: RunRecord) -> None:
    config = {**saved.config.model_dump(mode="json"), "colour": "red"}
    change(saved.config.store, config=config, presel="9.9")
    with pytest.raises(IntegrityError) as caught:
        run_record.latest(saved.config.store, "demo")
    assert "written by 9.9: config.colour" in caught.value.got
    assert "presel run" in caught.value.fix


def test_a_changed_byte_is_noticed(saved: RunRecord) -> None:
    path = Path(saved.config.store) / "runs/demo/latest.json"
    path.write_text(path.read_text().replace('"rows": 0', '"rows": 1', 1))
    with pytest.raises(IntegrityError, match="changed after it was written"):
        run_record.latest(saved.config.store, "demo")


def test_without_a_record_it_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing has been planned"):
        run_record.latest(str(tmp_path), "demo")


def test_a_plan_leaves_the_record_of_what_is_published_alone(saved: RunRecord) -> None:
    store = saved.config.store
    assert run_record.published(store, "demo") is None
    dataset = DatasetRef(name="demo", version=3, uri=f"{store}/datasets/demo/3", digest="d", records=7)
    refreshed = saved.model_copy(update={"dataset": dataset})
    run_record.save(refreshed)
    run_record.save(saved)
    assert run_record.latest(store, "demo") == saved
    assert run_record.published(store, "demo") == refreshed
    assert list(run_record.of_store(store)) == [saved, refreshed]
