"""Losses, IRS or weights from a table in place of a reference model, through fit, score and the weights of the plan."""

from __future__ import annotations

import csv
import json
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig, WeightsConfig
from presel.dataset.history import inputs_digest
from presel.demo.setting import demo_config
from presel.errors import ConfigError
from presel.selection.seats import weigh
from presel.stages.fit import fit_reference_model
from presel.stages.plan import _values
from presel.stages.score import score_relevance
from presel.tables import table_store
from presel.tables.schemas import RELEVANCE, rows_of
from tests.reference_model.drawn import instructions, samples

IMAGES = ImageConfig()
TASKS = ["colour", "ocr", "scene"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    found = samples(folder / "pool", TASKS, 3)
    return folder, found, instructions(folder / "store", found)


def write(folder, rows, ending):
    path = folder / f"table.{ending}"
    if ending == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def run(made, uri, **changes):
    folder, _, refs = made
    config, source = ReferenceModelConfig(precomputed=uri, **changes), SourceConfig(uri=str(folder / "pool"))
    model = fit_reference_model(refs, source, IMAGES, config, 0)
    return model, [score_relevance(ref, model, source, IMAGES, config) for ref in refs]


def weighed(refs):
    return weigh(
        [_values(r, "irs") for r in refs], [9] * 3, WeightsConfig(), 0, given=[_values(r, "weight") for r in refs]
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["sample_id", "key"])
def test_losses_become_irs_by_the_rules_of_scoring(made, tmp_path, ending, name):
    found = [s.id if name == "sample_id" else s.key for s in made[1]]
    rows = [
        {name: value, "loss_with_question": 0.02 * n, "loss_without_question": 0.5} for n, value in enumerate(found)
    ]
    _, refs = run(made, write(tmp_path, rows, ending), loss_floor=0.05)
    assert [ref.rows for ref in refs] == [3, 3, 3]
    scored = {row["sample_id"]: row for ref in refs for row in rows_of(table_store.read(ref))}
    for n, sample in enumerate(made[1]):
        assert scored[sample.id]["irs"] == pytest.approx(max(0.02 * n, 0.05) / 0.5)
        assert scored[sample.id]["response_tokens"] is None
    assert all(table_store.read(ref).schema == RELEVANCE for ref in refs)


def test_a_loss_that_is_none_and_a_sample_that_is_missing_are_rejects(made, tmp_path):
    first = [sample for sample in made[1] if sample.task == "colour"]
    losses = [("nan", 0.5), (0.2, -1.0)]
    rows = [
        {"sample_id": s.id, "loss_with_question": a, "loss_without_question": b}
        for s, (a, b) in zip(first, losses, strict=False)
    ]
    _, refs = run(made, write(tmp_path, rows, "csv"))
    reasons = {row["id"]: row["reason"] for row in rows_of(table_store.rejects(refs[0]))}
    assert reasons == {first[0].id: "loss_not_finite", first[1].id: "loss_not_finite", first[2].id: "not_imported"}


def test_an_irs_by_task_weighs_as_ours_does_and_a_missing_task_as_the_mean(made, tmp_path, caplog):
    rows = [{"task": "colour", "irs": 0.4}, {"task": "ocr", "irs": 0.8}, {"task": "texture", "irs": 0.1}]
    with caplog.at_level(logging.WARNING):
        model, refs = run(made, write(tmp_path, rows, "csv"))
        found = weighed(refs)
    assert "does not have: texture" in caplog.text
    assert "weigh as the mean: scene" in caplog.text
    assert table_store.facts(model)["unknown_tasks"] == ["texture"]
    assert found.irs == pytest.approx([0.4, 0.8, 0.6])
    expected = np.exp(-np.array([0.4, 0.8, 0.6]) * np.sqrt(3))
    assert found.weight == pytest.approx(expected / expected.sum())


@pytest.mark.parametrize("bad", ["nan", "inf", -0.2, ""])
def test_a_value_that_is_no_number_counts_as_missing(made, tmp_path, bad, caplog):
    rows = [{"task": "colour", "irs": 0.4}, {"task": "ocr", "irs": 0.8}, {"task": "scene", "irs": bad}]
    with caplog.at_level(logging.WARNING):
        found = weighed(run(made, write(tmp_path, rows, "csv"))[1])
    assert "scene" in caplog.text
    assert np.isfinite(found.weight).all()
    assert found.irs[2] == pytest.approx(0.6)


def test_weights_by_task_are_taken_as_they_are(made, tmp_path):
    rows = [{"task": "colour", "weight": 3.0}, {"task": "ocr", "weight": 1.0}]
    found = weighed(run(made, write(tmp_path, rows, "jsonl"))[1])
    assert found.weight == pytest.approx([0.5, 1 / 6, 1 / 3])
    assert found.row(0)["irs"] is None
    assert "imported" in found.verdict


def test_another_content_of_the_same_file_is_another_input_and_another_place_is_not(made, tmp_path):
    rows = [{"task": task, "irs": 0.5} for task in TASKS]
    before, refs = run(made, write(tmp_path, rows, "csv"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert run(made, write(elsewhere, rows, "csv"))[0] == before
    after, changed = run(made, write(tmp_path, [*rows[:2], {"task": "scene", "irs": 0.9}], "csv"))
    assert after.key != before.key
    assert [one.key == two.key for one, two in zip(refs, changed, strict=True)] == [False] * 3


def test_another_content_of_an_import_is_another_origin_of_a_version(made, tmp_path):
    folder, _, refs = made

    def origin(uri):
        config = demo_config(str(folder / "pool"), str(folder / "store"))
        return inputs_digest(
            refs[0], config.model_copy(update={"reference_model": ReferenceModelConfig(precomputed=uri)})
        )

    rows = [{"task": task, "irs": 0.5} for task in TASKS]
    before = origin(write(tmp_path, rows, "csv"))
    assert origin(write(tmp_path, rows, "csv")) == before
    assert origin(write(tmp_path, [*rows[:2], {"task": "scene", "irs": 0.9}], "csv")) != before


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"task": "colour", "score": 1.0}], "columns do not say"),
        ([{"task": "colour", "irs": 1.0, "weight": 1.0}], "columns do not say"),
        ([{"sample_id": "a", "loss_with_question": 1.0}], "columns do not say"),
        ([{"task": "colour", "irs": "low"}], "cannot be read"),
        ([{"task": "colour", "irs": 1.0}, {"task": "colour", "irs": 0.5}], "more than once"),
    ],
)
def test_a_table_that_does_not_say_what_it_imports_is_refused(made, tmp_path, rows, said):
    with pytest.raises(ConfigError, match=said):
        run(made, write(tmp_path, rows, "csv"))


def test_a_table_that_is_not_there_or_of_another_kind_is_refused(made, tmp_path):
    with pytest.raises(ConfigError, match="not there"):
        run(made, str(tmp_path / "none.csv"))
    (tmp_path / "table.xlsx").write_bytes(b"PK")
    with pytest.raises(ConfigError, match=r"must be \.csv"):
        run(made, str(tmp_path / "table.xlsx"))
