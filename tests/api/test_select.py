"""`presel.select` and `presel.plan`: the picks of a run, whatever way the arrays come in."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import presel
from presel.config import (
    BudgetConfig,
    ClusteringConfig,
    ReferenceConfig,
    RefreshConfig,
    SelectionConfig,
    WeightsConfig,
)
from presel.errors import InputError
from presel.selection.strategies import STRATEGIES
from presel.stages.cluster import cluster
from presel.stages.plan import plan_budget
from presel.stages.rank import rank
from presel.stages.reference import draw_reference
from presel.stages.select import select
from presel.tables import table_store
from tests.stages.choosing import instructed, paid_before, samples_of, scored, vectors

SIZES = {"chart": 310, "ocr": 140, "photo": 260, "tiny": 1}
IRS = {"chart": [0.2, 0.3, 0.25], "ocr": [0.9, 1.0], "photo": [0.5], "tiny": [0.7]}


class Run:
    """What the stages make of a pool, from samples with vectors to the selection; columns by ascending sample id."""

    def __init__(self, store: Path, **settings: Any) -> None:
        where, seed = str(store), settings.pop("seed", 0)
        config = {"clustering": ClusteringConfig(images_per_cluster=40), **settings}
        samples = samples_of(where, {task: vectors(size, seed=size) for task, size in SIZES.items()})
        rankings, reference, self.reference = [], [], []
        for part in samples.split():
            drawn = table_store.read(draw_reference(part, ReferenceConfig(), seed))
            ids = drawn.filter(drawn["picked"])["sample_id"].to_pylist()
            self.reference += ids
            reference.append(instructed(where, part.label, ids).split()[0])
            clusters = cluster(part, config["clustering"], seed)
            chosen = config.get("selection", SelectionConfig())
            rankings.append(rank(part, clusters, reference[-1], paid_before(where, part), chosen, seed))
        relevance = [scored(where, task, IRS[task]) for task in SIZES]
        weights, budget = config.get("weights", WeightsConfig()), BudgetConfig(share=0.2)
        plan = plan_budget(samples, rankings, reference, relevance, weights, budget, seed)
        self.plan = table_store.read(plan).to_pandas()
        picked = [table_store.read(select(ranking, plan)).to_pandas() for ranking in rankings]
        self.picks = pd.concat([frame[frame["picked"]] for frame in picked], ignore_index=True)
        self.table = pd.concat([table_store.read(part).to_pandas() for part in samples.split()], ignore_index=True)
        self.vectors = np.stack(list(self.table["vector"]))

    def select(self, order: Any = slice(None), **settings: Any) -> pd.DataFrame:
        rows = self.table.iloc[order]
        given = {"share": 0.2, "irs": IRS, "images_per_cluster": 40, **settings}
        return presel.select(self.vectors[order], rows["task"], ids=rows["sample_id"], **given)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("run"))


def assert_picks_of(run: Run, picks: pd.DataFrame) -> None:
    reference, chosen = (picks[picks["origin"] == origin] for origin in ("reference", "selected"))
    assert reference["id"].tolist() == run.reference
    assert chosen["id"].tolist() == run.picks["sample_id"].tolist()
    assert chosen["task"].tolist() == run.picks["task"].tolist()
    for name in ("cluster", "rank"):
        assert chosen[name].tolist() == run.picks[name].tolist()
    assert chosen["centrality"].to_numpy().tobytes() == run.picks["centrality"].to_numpy(np.float32).tobytes()


def test_picks_are_exactly_those_of_a_run_on_the_same_vectors(run: Run) -> None:
    picks = run.select()
    assert_picks_of(run, picks)
    plan = pd.DataFrame(picks.attrs["plan"])
    for name in (
        "task",
        "images",
        "reference",
        "scored",
        "irs_low",
        "irs_high",
        "weight",
        "supply",
        "quota",
        "shortfall",
    ):
        assert plan[name].tolist() == run.plan[name].tolist()


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_picks_of_every_strategy_are_those_of_a_run(strategy: str, tmp_path: Path) -> None:
    settings = {"strategy": strategy, "near_duplicate": 0.9}
    made = Run(tmp_path, selection=SelectionConfig(**settings), seed=5)
    assert_picks_of(made, made.select(seed=5, **settings))


def test_weights_options_are_those_of_a_run(tmp_path: Path) -> None:
    settings = {"temperature": 0.3, "estimator": "trimmed", "shrinkage": True, "floor": 0.2, "size_prior": 0.5}
    made = Run(tmp_path, weights=WeightsConfig(**settings))
    assert_picks_of(made, made.select(**settings))


def test_another_order_of_rows_gives_the_same_picks(run: Run) -> None:
    order = np.random.default_rng(1).permutation(len(run.table))
    picks, again = run.select(), run.select(order)
    assert_picks_of(run, again)
    assert order[again["row"]].tolist() == picks["row"].tolist()


WAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "float32": lambda rows: rows.astype(np.float32),
    "float64": lambda rows: rows.astype(np.float64),
    "fortran order": np.asfortranarray,
    "list": lambda rows: rows.tolist(),
    "objects": lambda rows: rows.astype(object),
    "tensor": lambda rows: torch.from_numpy(rows),
    "tensor with gradient": lambda rows: torch.from_numpy(rows.astype(np.float32)).requires_grad_(),
    "data frame": lambda rows: pd.DataFrame(rows, index=range(7, 7 + len(rows))),
    "column of vectors": lambda rows: pd.Series(list(rows), index=range(7, 7 + len(rows))),
    "column of lists": lambda rows: pd.Series(rows.tolist()),
}


@pytest.mark.parametrize("way", WAYS)
def test_embeddings_may_come_in_any_form(run: Run, way: str) -> None:
    rows = run.vectors[:200]
    want = presel.select(rows, ["a"] * 200)
    got = presel.select(WAYS[way](rows), ["a"] * 200)
    pd.testing.assert_frame_equal(got, want)


def test_a_bfloat16_tensor_is_taken_as_its_values(run: Run) -> None:
    rows = torch.from_numpy(run.vectors[:100].astype(np.float32)).bfloat16()
    pd.testing.assert_frame_equal(presel.select(rows, ["a"] * 100), presel.select(rows.float(), ["a"] * 100))


def test_lengths_of_embeddings_play_no_part(run: Run) -> None:
    rows = run.vectors[:100].astype(np.float32)
    longer = rows * np.float32(2) ** np.arange(100)[:, None].clip(max=40)
    pd.testing.assert_frame_equal(presel.select(longer, ["a"] * 100), presel.select(rows, ["a"] * 100))


@pytest.mark.parametrize(
    "tasks",
    [
        ["b", "a"] * 60,
        np.array(["b", "a"] * 60),
        pd.Series(["b", "a"] * 60, index=range(500, 620)),
        pd.Categorical(["b", "a"] * 60, categories=["c", "b", "a"]),
        pd.Series(["b", "a"] * 60, dtype="string"),
    ],
    ids=["list", "array", "series", "categorical", "string"],
)
def test_tasks_may_come_in_any_form(run: Run, tasks: Any) -> None:
    rows = run.vectors[:120]
    pd.testing.assert_frame_equal(presel.select(rows, tasks), presel.select(rows, ["b", "a"] * 60))


def test_tasks_may_be_whole_numbers_and_are_sorted_as_numbers(run: Run) -> None:
    picks = presel.select(run.vectors[:120], torch.tensor([10, 2] * 60))
    assert picks["task"].drop_duplicates().tolist() == [2, 10]
    floats = presel.select(run.vectors[:120], pd.Series([10.0, 2.0] * 60))  # what pandas makes of integers with gaps
    pd.testing.assert_frame_equal(floats, picks)


def test_rows_that_cannot_be_used_are_left_out_and_named(run: Run) -> None:
    rows, tasks = run.vectors[:120].astype(np.float32), np.array(["b", "a"] * 60, dtype=object)
    rows[3], rows[50], rows[51, 2], tasks[7] = np.nan, 0, np.inf, None
    with pytest.warns(UserWarning, match=r"3 of 120 rows are left out .*: 3, 50, 51|1 of 120 .*no task.*: 7") as said:
        picks = presel.select(rows, tasks, share=1.0)
    assert len(said) == 2
    assert {warning.filename for warning in said} == {__file__}
    assert picks.attrs["left_out"] == [3, 7, 50, 51]
    assert len(picks) + sum(row["images"] - row["reference"] - row["supply"] for row in picks.attrs["plan"]) == 116
    kept = np.setdiff1d(np.arange(120), [3, 7, 50, 51])
    alone = presel.select(rows[kept], tasks[kept], share=1.0, ids=kept)
    assert kept[alone["row"]].tolist() == picks["row"].tolist()


SCORED: dict[str, Callable[[np.ndarray], Any]] = {
    "mean by task": lambda _: {"a": 0.4, "b": 0.8},
    "series by task": lambda _: pd.Series({"b": 0.8, "a": 0.4}),
    "lists by task": lambda _: {"a": [0.3, 0.5], "b": [0.8]},
    "tensor by task": lambda _: {"a": torch.tensor(0.4, dtype=torch.float64), "b": np.float64(0.8)},
    "series of rows": lambda tasks: pd.Series(np.where(tasks == "a", 0.4, 0.8), index=np.arange(120)[::-1]),
    "data frame": lambda _: pd.DataFrame({"task": ["a", "a", "b"], "irs": [0.3, 0.5, 0.8]}),
}


@pytest.mark.parametrize("way", SCORED)
def test_scores_may_come_in_any_form(way: str) -> None:
    tasks = np.array(["b", "a"] * 60)
    plan = presel.plan(tasks, irs=SCORED[way](tasks))
    assert plan["irs"].tolist() == pytest.approx([0.4, 0.8])
    assert plan["weight"].tolist() == pytest.approx(presel.plan(tasks, irs={"a": 0.4, "b": 0.8})["weight"].tolist())
    assert plan["quota"].sum() + plan["reference"].sum() == 18


def test_rows_without_a_score_do_not_count() -> None:
    tasks, scores = np.array(["b", "a"] * 60), np.full(120, np.nan)
    scores[[1, 3, 0]] = 0.3, 0.5, 0.8
    plan = presel.plan(tasks, irs=scores)
    assert plan["scored"].tolist() == [2, 1]
    assert plan["irs"].tolist() == pytest.approx([0.4, 0.8])
    assert plan["irs_low"][0] < 0.4 < plan["irs_high"][0]


def test_without_scores_tasks_weigh_the_same_or_by_size() -> None:
    tasks = ["a"] * 300 + ["b"] * 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert presel.plan(tasks)["weight"].tolist() == pytest.approx([3**0.5 / (1 + 3**0.5), 1 / (1 + 3**0.5)])
        assert presel.plan(tasks, mode="paper")["weight"].tolist() == [0.5, 0.5]
        assert presel.plan(tasks, size_prior=0)["weight"].tolist() == [0.5, 0.5]
        assert presel.plan(tasks, size_prior=1)["weight"].tolist() == [0.75, 0.25]
        assert presel.plan(tasks, weights={"a": 1, "b": 3})["weight"].tolist() == [0.25, 0.75]


def test_a_weight_that_is_missing_is_that_of_the_mean() -> None:
    for given in ({"a": 1, "b": 3}, {"a": 1, "b": 3, "c": float("nan")}):
        with pytest.warns(UserWarning, match="1 of 3 tasks have no score or weight"):
            assert presel.plan(["a", "b", "c"] * 50, weights=given)["weight"].tolist() == pytest.approx(
                [1 / 6, 0.5, 1 / 3]
            )


def test_tasks_without_a_score_weigh_as_the_mean_and_unknown_tasks_are_named() -> None:
    with pytest.warns(UserWarning, match=r"names tasks that no usable row has: c$|1 of 2 tasks have no score"):
        plan = presel.plan(["a", "b"] * 50, irs={"a": 0.5, "c": 0.2})
    assert plan["weight"].tolist() == [0.5, 0.5]
    assert plan["scored"].tolist() == [1, 0]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 60, 119, 120, 10_000])
def test_a_count_is_a_cap_and_budgets_nest(run: Run, count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fewer, more = (
            presel.select(run.vectors[:120], list("abcdef") * 20, count=n, near_duplicate=None)
            for n in (count, count + 1)
        )
    assert len(fewer) == min(count, 120)
    assert set(fewer["row"]) <= set(more["row"])
    assert fewer["row"].is_unique


def test_a_budget_below_the_reference_set_says_so(run: Run) -> None:
    with pytest.warns(UserWarning, match="a budget of 4 is smaller than the reference set of 6"):
        picks = presel.select(run.vectors[:120], list("abcdef") * 20, count=4)
    assert picks["origin"].tolist() == ["reference"] * 4


def test_rows_already_instructed_take_the_place_of_the_draw(run: Run) -> None:
    rows, tasks, taken = run.vectors[:120], ["a", "b"] * 60, [5, 9, 40]
    picks = presel.select(rows, tasks, count=20, reference=taken)
    assert sorted(picks["row"][picks["origin"] == "reference"]) == taken
    assert (picks["origin"] == "selected").sum() == 17
    assert not picks["row"].duplicated().any()
    mask = np.isin(np.arange(120), taken)
    pd.testing.assert_frame_equal(presel.select(rows, tasks, count=20, reference=mask), picks)
    none = presel.select(rows, tasks, count=20, reference=[])
    assert none["origin"].tolist() == ["selected"] * 20
    with pytest.warns(UserWarning, match="`reference` alone is 1 over the budget of 2"):
        assert len(presel.select(rows, tasks, count=2, reference=taken)) == 3


def test_paper_mode_has_no_guard_and_refuses_what_is_ours(run: Run) -> None:
    rows = np.concatenate([run.vectors[:60], run.vectors[:60]])
    ours, paper = (presel.select(rows, ["a"] * 120, share=1.0, mode=mode) for mode in ("default", "paper"))
    assert len(ours) < len(paper) == 120
    with pytest.raises(InputError, match=r"selection\.near_duplicate, weights\.floor departs from the paper"):
        presel.select(rows, ["a"] * 120, mode="paper", near_duplicate=0.9, floor=0.1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tasks": ["a"] * 9}, "must name every row"),
        ({"tasks": ["a"] * 5 + [3] * 5}, "mixed"),
        ({"tasks": [True] * 10}, "other kinds"),
        ({"tasks": [["a"]] * 10}, "one value a row"),
        ({"embeddings": np.zeros(10)}, "numeric matrix"),
        ({"embeddings": [["x", "y"]] * 10}, "numeric matrix"),
        ({"embeddings": [[1.0], [1.0, 2.0]] * 5}, "is no array"),
        ({"embeddings": None}, "numeric matrix"),
        ({"share": 0}, "`share` is out of range"),
        ({"share": 1.5}, "`share` is out of range"),
        ({"share": "much"}, "`share` is out of range"),
        ({"share": True}, "`share` is out of range"),
        ({"share": 30}, r"30 % is share=0\.3, and a number of samples is `count`"),
        ({"share": 400}, "got 400; a number of samples is `count`"),
        ({"share": "0.15"}, "got '0.15'"),
        ({"embeddings": np.eye(10, dtype=bool)}, r"got bool\[10, 10\]"),
        ({"embeddings": np.full((10, 2), "1", dtype=object)}, "`embeddings` must hold numbers"),
        ({"irs": {"a": -0.5}}, "`irs` holds negative numbers"),
        ({"weights": {"a": -1}}, "`weights` holds negative numbers"),
        ({"share": 0.1, "count": 3}, "exclude each other"),
        ({"count": -1}, "`count` is out of range"),
        ({"count": 2.5}, "`count` is out of range"),
        ({"seed": -1}, "`seed` is out of range"),
        ({"seed": None}, "`seed` is out of range"),
        ({"mode": "papers"}, "unknown mode"),
        ({"strategy": "best"}, "`strategy` is out of range"),
        ({"near_duplicate": 3}, "`near_duplicate` is out of range"),
        ({"reference_share": 0}, "`reference_share` is out of range"),
        ({"images_per_cluster": 0}, "`images_per_cluster` is out of range"),
        ({"engine": "auto"}, "`engine` is out of range"),
        ({"ids": [1] * 10}, "ids repeat"),
        ({"ids": ["a"] * 9}, "`ids` must name every row"),
        ({"ids": [None] * 10}, "an id is missing"),
        ({"reference": [10]}, "`reference` is no set of rows"),
        ({"reference": [-1]}, "`reference` is no set of rows"),
        ({"reference": ["a"]}, "`reference` is no set of rows"),
        ({"reference": [True]}, "`reference` is no set of rows"),
        ({"irs": [0.5, 0.5]}, "`irs` does not fit the rows"),
        ({"irs": {"a": "high"}}, "`irs` must hold numbers"),
        ({"irs": pd.DataFrame({"irs": [1.0]})}, "a data frame of scores needs both columns"),
        ({"temperature": 0}, "`temperature` is out of range"),
    ],
)
def test_what_cannot_be_used_is_said_in_words(arguments: dict[str, Any], words: str) -> None:
    given = {"embeddings": np.eye(10), "tasks": ["a"] * 10, **arguments}
    with pytest.raises(presel.PreselError, match=words) as error:
        presel.select(given.pop("embeddings"), given.pop("tasks"), **given)
    assert "presel" in str(error.value)


def test_an_empty_pool_has_no_picks() -> None:
    picks = presel.select(np.zeros((0, 4)), [])
    assert picks.columns.tolist() == ["row", "task", "origin", "cluster", "rank", "centrality"]
    assert len(picks) == 0
    assert len(presel.plan([])) == 0


def test_a_plan_agrees_with_the_selection_that_follows_it(run: Run) -> None:
    settings = {"share": 0.2, "irs": IRS, "reference_share": 0.1, "seed": 3}
    plan = presel.plan(run.table["task"], **settings)
    picks = presel.select(run.vectors, run.table["task"], near_duplicate=None, **settings)
    chosen = picks[picks["origin"] == "selected"].groupby("task").size().reindex(plan["task"], fill_value=0)
    assert chosen.tolist() == plan["quota"].tolist()
    assert plan.attrs["budget"] == len(picks) + plan.attrs["unplaced"]
    assert "weight" in plan.attrs["verdict"]


def test_what_is_left_out_is_the_default_of_the_mode() -> None:
    rng = np.random.default_rng(0)
    vectors, tasks = rng.normal(size=(400, 8)), ["a"] * 300 + ["b"] * 100
    for mode, usual in (
        ("default", {"strategy": "coverage", "size_prior": 0.5, "near_duplicate": 0.98}),
        ("paper", {"strategy": "presel", "size_prior": 0.0, "near_duplicate": None}),
    ):
        left_out = presel.select(vectors, tasks, mode=mode)
        assert left_out["row"].tolist() == presel.select(vectors, tasks, mode=mode, **usual)["row"].tolist()


def test_defaults_are_those_of_the_configuration() -> None:
    config = RefreshConfig.model_validate({"source": {"uri": "p"}, "store": "s", "generator": {"max_cost": 1}})
    values = {name: p.default for name, p in inspect.signature(presel.select).parameters.items()}
    assert values["reference_share"] == config.reference.share
    for section in (config.weights, config.clustering, config.selection):
        for name in type(section).model_fields:
            if name not in ("reestimate", "near_duplicate", "strategy", "size_prior"):
                assert values[name] == getattr(section, name), name
    assert (values["mode"], values["seed"], values["share"]) == (config.mode, config.seed, None)
    assert presel.plan(["a"] * 1000).attrs["budget"] == config.budget.share * 1000
