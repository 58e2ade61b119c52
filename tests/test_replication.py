"""The evidence's own arithmetic, and the whole replication on a pool of sixty pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.replication.arms import ARMS, BUDGETS, ORDER, Setting, Trial, config_of, trials
from benchmarks.replication.pools import Pool, Row, words_of, write
from benchmarks.replication.results import Results, table
from presel.errors import ConfigError, InputError

TASKS = ["a"] * 30 + ["b"] * 10
SETTING = Setting("pool", "tasks.jsonl", "store", "base", steps=10)


def results(folder: Path, **lines: list[int]) -> Results:
    found = Results(folder / "pool.jsonl", TASKS)
    for arm, right in lines.items():
        for seed in range(3):
            found.add(Trial(arm, 0.15, seed, "steps"), right, cost_usd=1.0, choosing_seconds=2.0)
    return found


def test_a_score_is_the_mean_over_tasks_and_a_difference_is_paired(tmp_path: Path) -> None:
    right = [1] * 15 + [0] * 15 + [1] * 10
    found = results(tmp_path, paper=right, random=[0] * 15 + [0] * 15 + [1] * 10)
    bits = found.matrix("paper", 0.15, "steps", [0, 1, 2])
    assert found.macro(bits) == pytest.approx(0.75)
    assert found.interval(bits, micro=True).value == pytest.approx(25 / 40)
    better = found.difference(("paper", 0.15), ("random", 0.15), "steps")
    assert better is not None
    assert better.value == pytest.approx(0.25)
    assert better.low > 0
    same = found.difference(("paper", 0.15), ("paper", 0.15), "steps")
    assert same == (0.0, 0.0, 0.0)


def test_an_interval_holds_what_seeds_and_questions_may_do(tmp_path: Path) -> None:
    found = Results(tmp_path / "pool.jsonl", ["a"] * 200)
    generator = np.random.default_rng(0)
    for seed in range(5):
        found.add(Trial("paper", 0.15, seed, "steps"), (generator.random(200) < 0.6).astype(int).tolist())
    value, low, high = found.interval(found.matrix("paper", 0.15, "steps", range(5)))
    assert low < 0.6 < high
    assert 0.02 < high - low < 0.2
    assert low < value < high


def test_results_are_gone_on_from_and_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    found = results(tmp_path, paper=[1] * 40)
    with found.path.open("a") as file:
        file.write('{"arm": "paper", "budget": 0.15, "seed": 9, "tr')
    again = Results(found.path, TASKS)
    assert set(again.lines) == set(found.lines)
    assert "| paper | 15% | 3 | 100.0 [100.0, 100.0] |" in table(again)


def test_the_most_informative_arms_come_first_and_every_arm_is_a_valid_configuration() -> None:
    found = trials(None, BUDGETS, range(2), ["steps", "epochs"])
    assert [trial.arm for trial in found[:4]] == list(ORDER[:4])
    assert len(found) == len(set(found))
    assert [t.training for t in found] == sorted((t.training for t in found), reverse=True)
    others = [n for n, t in enumerate(found) if t.budget not in (0.0, 0.15, 1.0)]
    assert all(found[n].arm in ORDER[:8] for n in range(others[0]))
    for name in ARMS:
        config = config_of(Trial(name, 0.15, 3, "steps"), SETTING)
        assert config.mode == ("paper" if ARMS[name].paper else "default")
        assert config.seed == config.generator.seed == 3


def test_the_paper_arm_is_the_published_algorithm_and_the_guard_differs_by_arm() -> None:
    paper = config_of(Trial("paper", 0.15, 0, "steps"), SETTING)
    assert paper.selection.near_duplicate is None
    assert paper.weights.size_prior == 0
    guards = {
        config_of(Trial(f"irs-central-{g}", 0.15, 0, "steps"), SETTING).selection.near_duplicate
        for g in ("off", "0.98", "auto")
    }
    assert guards == {None, 0.98, "auto"}


def rows() -> list[Row]:
    said = (("Was ist das?", "Ein Bär."),)
    return [Row(f"x/{split}.png", "x", split, said, "Ein Bär.") for split in ("base", "pool", "test")]


def test_a_pool_is_read_whatever_its_words_and_the_tests_words_are_not_learned(tmp_path: Path) -> None:
    write(tmp_path, [*rows(), Row("x/t.png", "x", "test", (("Zebra?", "Zebra!"),), "")])
    pool = Pool(tmp_path)
    assert len(pool.split("test")) == 2
    assert " Bär" in pool.words
    assert not any("ebra" in word for word in pool.words)
    assert "".join(words_of("Ein Bär, allein.")) == "Ein Bär, allein."


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", InputError),
        ('{"key": "a", "task": "x", "split": "train", "questions": [["q", "a"]], "caption": ""}', InputError),
        ('{"key": "a", "task": "x", "split": "pool", "questions": ["q"], "caption": ""}', InputError),
        ('{"key": "../a", "task": "x", "split": "pool", "questions": [["q", "a"]], "caption": ""}', InputError),
    ],
)
def test_a_line_that_is_no_truth_is_named(tmp_path: Path, line: str, error: type[Exception]) -> None:
    write(tmp_path, rows())
    with (tmp_path / "truth.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(error, match="line 4"):
        _ = Pool(tmp_path).rows


def test_a_picture_without_a_question_is_left_out_and_one_that_is_missing_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, [*rows(), Row("x/silent.png", "x", "pool", (), "")])
    pool = Pool(tmp_path)
    assert [row.key for row in pool.split("pool")] == ["x/pool.png"]
    assert "1 pictures of pool and test have no question" in caplog.text
    with pytest.raises(InputError, match=r"x/base\.png"):
        pool.bytes_of("x/base.png")


def test_a_folder_without_a_truth_or_without_a_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        _ = Pool(tmp_path).rows
    write(tmp_path, rows()[:2])
    with pytest.raises(InputError, match="split"):
        _ = Pool(tmp_path).rows


@pytest.mark.skipif("PRESEL_SYSTEM" not in os.environ, reason="half a minute: make test-outside")
def test_the_whole_replication_at_toy_size_and_gone_on_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks.replication.__main__ import main
    from benchmarks.replication.drawn import draw_pool

    folder = draw_pool(tmp_path / "pools" / "toy", "much", 60)
    toy = ["--pool", str(folder), "--work", str(tmp_path), "--base", "64", "--training", "steps", "--budgets", "0.15"]
    main([*toy, "--seeds", "0", "--arms", "base", "full", "random", "paper", "prior-coverage-auto", "reversed"])
    path = tmp_path / "results" / "toy.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["arm"] for line in lines] == ["base", "random", "full", "paper", "prior-coverage-auto", "reversed"]
    known = {line["arm"]: line for line in lines}
    assert known["full"]["records"] > 5 * known["random"]["records"] > 0
    assert known["random"]["records"] <= known["paper"]["records"] <= 11  # one reference sample at least of each task
    assert "| prior-coverage-auto | 15% | 1 |" in capsys.readouterr().out
    main([*toy, "--seeds", "0", "--arms", "base", "full"])
    assert len(path.read_text().splitlines()) == len(lines)
