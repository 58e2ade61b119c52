from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from presel.cli.app import app
from presel.errors import ConfigError, NotFound
from presel.runs import run_record
from presel.runs.explain_task import ENDS, explain_task, lines
from presel.tables import table_store
from presel.tables.schemas import PLAN, RELEVANCE, rows_of
from presel.tables.table_store import Output
from tests.report.synthetic import make


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three tasks with 13 scored reference samples each."""
    return make(tmp_path_factory.mktemp("run"), tasks=("colour", "chart", "photo"), per_task=260)


def test_the_ends_are_the_samples_with_the_lowest_and_the_highest_irs(run):
    found = explain_task(run, "chart")
    rows = {row["sample_id"]: row for row in rows_of(table_store.read(run.relevance[1]))}
    ordered = sorted(rows.values(), key=lambda row: row["irs"])
    assert [s.sample_id for s in found.most_relevant] == [row["sample_id"] for row in ordered[:ENDS]]
    assert [s.sample_id for s in found.least_relevant] == [row["sample_id"] for row in ordered[::-1][:ENDS]]
    for sample in (*found.most_relevant, *found.least_relevant):
        row = rows[sample.sample_id]
        assert (sample.loss_with_question, sample.key) == (row["loss_with_question"], row["key"])
        assert sample.turns[0]["question"]
        assert sample.turns[0]["response"].startswith("Cluster")


def test_the_words_hold_the_plans_figures(run):
    plan = {row["task"]: row for row in rows_of(table_store.read(run.plan))}
    heaviest = max(plan, key=lambda task: plan[task]["weight"])
    found = explain_task(run, heaviest)
    assert (found.rank, found.tasks, found.equal_share) == (1, 3, pytest.approx(1 / 3))
    assert found.words.startswith(f"{heaviest} weighs {plan[heaviest]['weight']:.1%}")
    assert f"Its IRS is {plan[heaviest]['irs']:.2f} (95 %: {plan[heaviest]['irs_low']:.2f} to" in found.words
    assert "below the tasks' mean" in found.words
    assert "over 13 samples" in found.words
    assert found.loss_without_question == pytest.approx(2.1)


def test_few_samples_are_shown_once(run, tmp_path):
    for count, shown in ((0, (0, 0)), (1, (1, 0)), (5, (2, 3))):
        out = Output(str(tmp_path), "score", f"few-{count}")
        out.write_rows(rows_of(table_store.read(run.relevance[0]))[:count], RELEVANCE, "colour")
        found = explain_task(run.model_copy(update={"relevance": (out.commit({}),)}), "colour")
        assert (len(found.most_relevant), len(found.least_relevant)) == shown
        ids = [s.sample_id for s in (*found.most_relevant, *found.least_relevant)]
        assert len(set(ids)) == count


def test_what_was_not_scored_is_counted_and_an_imported_weight_is_called_that(run, tmp_path):
    out = Output(str(tmp_path), "score", "rejects")
    out.write_rows([], RELEVANCE, "colour")
    for name in ("a", "b"):
        out.reject(task="colour", key=name, id=name, reason="loss_not_finite")
    plan = Output(str(tmp_path), "plan", "imported")
    rows = [row | {"scored": 0, "irs": None, "irs_low": None} for row in rows_of(table_store.read(run.plan))]
    plan.write_rows(rows, PLAN)
    plan.note(verdict="The weights were imported.")
    found = explain_task(run.model_copy(update={"relevance": (out.commit({}),), "plan": plan.commit({})}), "colour")
    assert found.rejected == {"loss_not_finite": 2}
    assert "imported" in found.words
    assert lines(found)[2].split() == ["2", "not", "scored:", "loss_not_finite"]
    assert found.verdict == "The weights were imported."


def test_a_task_that_is_not_there_is_told_from_one_that_is(run):
    with pytest.raises(NotFound, match="one of chart, colour, photo"):
        explain_task(run, "charts")


@pytest.fixture
def configured(run, tmp_path):
    """The command line's arguments for the run."""
    run_record.save(run)
    path = tmp_path / "presel.yaml"
    path.write_text(
        f"source: {{uri: {run.config.source.uri}}}\nstore: {run.config.store}\n"
        f"generator: {{max_cost: 1}}\ndataset: {{name: {run.config.dataset.name}}}\n"
    )
    return ["-c", str(path)]


def test_the_command_shows_it_in_words_and_as_json(run, configured):
    words = CliRunner().invoke(app, ["explain", "--task", "chart", *configured])
    assert words.exit_code == 0, words.output
    assert words.output.count("IRS ") >= 10
    assert "Least relevant question first:" in words.output
    told = json.loads(CliRunner().invoke(app, ["explain", "--task", "chart", "--json", *configured]).output)
    assert told == explain_task(run, "chart").model_dump(mode="json")


def test_one_thing_is_explained_at_a_time(configured):
    for arguments in (["explain"], ["explain", "a.png", "--task", "chart"]):
        result = CliRunner().invoke(app, [*arguments, *configured])
        assert isinstance(result.exception, ConfigError)
