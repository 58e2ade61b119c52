import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from presel.config import ImageConfig
from presel.dataset import versions
from presel.report.compare import SHOWN, Comparison, compare
from presel.report.page import comparison_page
from presel.runs.run_record import RunRecord
from tests.report.synthetic import TASKS


@pytest.fixture(scope="module")
def found(reported: RunRecord) -> Comparison:
    old, new = (versions.find(reported.config.store, "drawn", number) for number in (1, 2))
    return compare(old, new, reported.config.source, ImageConfig())


def test_picks_that_came_stayed_and_went_add_up_to_those_of_either_version(found: Comparison) -> None:
    added, kept, dropped = (kind.count for kind in found.picks)
    assert kept + dropped == sum(row["sides"][0]["picked"] for row in found.tasks)
    assert kept + added == sum(row["sides"][1]["picked"] for row in found.tasks)
    assert added > 0 < dropped
    assert [row["task"] for row in found.tasks] == list(TASKS)
    assert all(len(kind.shown) == min(SHOWN, kind.count) for kind in found.picks)


def test_the_page_of_two_versions_shows_pictures_and_runs_nothing(found: Comparison) -> None:
    page = comparison_page(found).decode()
    assert "<script" not in page
    assert page.count('class="cell s0"') > 20
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)


def test_hostile_names_are_words_on_it_and_a_task_of_one_version_alone_is_new_or_gone(found: Comparison) -> None:
    evil = "</style><script>alert(1)</script>\u202e\"'"
    side = found.tasks[0]["sides"][0]
    picks = [replace(kind, shown=[{"sample_id": evil, "key": evil, "task": evil}]) for kind in found.picks]
    tasks = [{"task": evil, "sides": [side, None]}, {"task": "later", "sides": [None, side]}]
    page = comparison_page(replace(found, picks=picks, tasks=tasks)).decode()
    assert "<script" not in page
    assert (page.count(">gone<"), page.count(">new<")) == (1, 1)


def test_two_versions_are_compared_from_the_command_line(reported: RunRecord, tmp_path: Path) -> None:
    from presel.cli.app import app

    config, page = tmp_path / "presel.yaml", tmp_path / "two.html"
    config.write_text(yaml.safe_dump(reported.config.model_dump(mode="json", exclude_unset=True)))
    asked = ["report", "--config", str(config), "--compare", "1", "2", "--to", str(page)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert b"versions 1 and 2" in page.read_bytes()
    assert CliRunner().invoke(app, [*asked[:-4], "1", "9", "--to", str(page)]).exit_code != 0
