"""What a rule for tasks makes of a source, seen before anything runs; and names in mappings that are written otherwise."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from pydantic import ValidationError

from presel.config import SourceConfig
from presel.sources import open_source
from presel.sources.preview import preview

SPLITS = ["train/cats/1.jpg", "train/cats/2.jpg", "train/dogs/1.jpg", "val/cats/3.jpg", "val/readme.txt", "top.jpg"]


def made(folder: Path, *keys: str) -> Path:
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(b"x")
    return folder


def tasks(folder: Path, **settings: object) -> dict[str, str]:
    source = open_source(SourceConfig.model_validate({"uri": str(folder), **settings}))
    return {key: task for key, task, _ in source.entries()}


@pytest.mark.parametrize("rule", [{"pattern": "*/{task}/**"}, {"depth": 2}])
def test_split_folders_can_hold_tasks(rule: dict[str, object], tmp_path: Path) -> None:
    found = tasks(made(tmp_path, *SPLITS), tasks=rule)
    assert found.pop("top.jpg") == found.pop("val/readme.txt") == ""
    assert {key: key.split("/")[1] for key in found} == found


def test_a_pattern_may_name_a_part_of_a_file(tmp_path: Path) -> None:
    made(tmp_path, "x/cat_1_a.jpg", "x/dog_2.png", "x/bird.jpg")
    assert tasks(tmp_path, tasks={"pattern": "**/{task}_*"}) == {
        "x/cat_1_a.jpg": "cat", "x/dog_2.png": "dog", "x/bird.jpg": ""
    }  # fmt: skip


@pytest.mark.parametrize("rule", [{}, {"depth": 1, "pattern": "{task}/*"}, {"pattern": "a/*"}, {"depth": 0}, "folders"])
def test_a_rule_that_says_nothing_is_refused(rule: object) -> None:
    with pytest.raises(ValidationError):
        SourceConfig.model_validate({"uri": "pool", "tasks": rule})


def test_splits_are_called_splits_and_three_names_of_each_are_shown(tmp_path: Path) -> None:
    found = preview(open_source(SourceConfig(uri=str(made(tmp_path, *SPLITS)))))
    assert found.lines() == [
        "train: 3 (train/cats/1.jpg, train/cats/2.jpg, train/dogs/1.jpg)",
        "val: 1 (val/cats/3.jpg)",
        "without a task: 1 (top.jpg)",
    ]
    assert "{pattern: '*/{task}/**'}" in found.advice


def test_a_mapping_may_write_names_as_its_author_did(tmp_path: Path) -> None:
    pool = made(
        tmp_path / "pool", "coco/1.jpg", "coco/2.jpg", "gqa/" + unicodedata.normalize("NFD", "é.jpg"), "gqa/4.jpg"
    )
    records = [
        {"id": "1", "image": f"{pool}/coco/1.jpg", "task": "one"},
        {"id": "2", "image": "coco\\2.jpg", "task": "two"},
        {"id": "3", "image": "gqa/é.jpg"},
        {"id": "4", "images": ["./gqa/4.jpg"], "messages": []},
    ]
    mapping = tmp_path / "mix.json"
    mapping.write_text(json.dumps(records, ensure_ascii=False))
    found = tasks(pool, tasks="llava", mapping=str(mapping))
    assert sorted(found.values()) == ["gqa", "gqa", "one", "two"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/elsewhere/pool/a/1.jpg", "the folder that holds"),
        ("other/1.jpg", "correct"),
        ("other/9.jpg", "names other files"),
    ],
)
def test_names_that_fit_no_key_are_shown_with_the_cure(name: str, told: str, tmp_path: Path) -> None:
    pool, mapping = made(tmp_path / "pool", "a/1.jpg"), tmp_path / "mix.json"
    mapping.write_text(json.dumps([{"id": "1", "image": name}]))
    found = preview(open_source(SourceConfig(uri=str(pool), tasks="llava", mapping=str(mapping))))
    assert told in found.advice
