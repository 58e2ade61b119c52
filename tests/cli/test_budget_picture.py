"""`presel plan --budget 5%..50%`: which budgets are meant, and that the picture fits."""

from __future__ import annotations

from itertools import pairwise

import pytest

from presel.cli import budget_picture
from presel.cli.budget_picture import block, shares
from presel.errors import ConfigError
from presel.runs.budget_curve import Point


@pytest.mark.parametrize("said", ["20%", "0.2", " 20 % "])
def test_one_budget(said: str) -> None:
    assert shares(said) == [0.2]


@pytest.mark.parametrize("said", ["5%..50%", "0.05..0.5", "5..50%", "5% .. 50 %"])
def test_a_range_has_both_its_ends_and_whole_steps(said: str) -> None:
    found = shares(said)
    assert (found[0], found[-1]) == (0.05, 0.5)
    steps = {round(b - a, 4) for a, b in pairwise(found)}
    assert len(steps) == 1
    assert 100 * steps.pop() == pytest.approx(9)


@pytest.mark.parametrize("said", ["", "x", "50%..5%", "0%..5%", "5%..150%", "5%..", "1.2.3%", "-5%"])
def test_what_is_no_range_is_refused(said: str) -> None:
    with pytest.raises(ConfigError):
        shares(said)


def test_a_block_shows_whatever_is_above_nothing() -> None:
    assert [block(share) for share in (0.0, 0.001, 0.5, 1.0)] == [" ", "▁", "▄", "█"]


def test_hostile_task_names_and_two_hundred_tasks_fit_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]x", "a\x1b[2J", "n" * 60, *(f"task {n}" for n in range(200))]
    plan = [{"task": n, "usable": 100, "reference": 5, "kept": 0, "weight": 1 / (3 + i)} for i, n in enumerate(names)]
    points = [Point(share, 10, 0.5, share, {}, dict.fromkeys(names, 7)) for share in (0.1, 0.2)]
    budget_picture.draw(points, plan)
    said = capsys.readouterr().out
    assert "[red]x" in said
    assert "\x1b" not in said
    assert "179 more" in said
    assert len(said.splitlines()) < 40
