"""Weights: the softmax, what missing scores do, and the options that stay off in `paper` mode."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.config import WeightsConfig
from presel.errors import InputError
from presel.selection.reference_verdict import reference_verdict
from presel.selection.seats import weigh
from presel.selection.weights import adjusted_weights, bootstrap_intervals, mean_relevance, shrink_to_pool, task_weights

SCORES = st.lists(st.floats(0, 50), min_size=1, max_size=30)


@given(SCORES)
def test_weights_are_positive_sum_to_one_and_fall_with_the_score(scores: list[float]) -> None:
    weights = task_weights(np.array(scores))
    assert abs(weights.sum() - 1) < 1e-12
    assert (weights >= 0).all()
    order = np.argsort(scores)
    assert (np.diff(weights[order]) <= 0).all()


@given(SCORES, st.floats(-5, 5))
def test_a_shift_of_all_scores_changes_no_weight(scores: list[float], shift: float) -> None:
    np.testing.assert_allclose(task_weights(scores), task_weights(np.array(scores) + shift), atol=1e-9)


@given(SCORES)
def test_the_order_of_tasks_changes_no_byte(scores: list[float]) -> None:
    assert task_weights(scores[::-1])[::-1].tobytes() == task_weights(scores).tobytes()


@pytest.mark.parametrize(("tasks", "ratio"), [(2, 1.33), (10, 1.88), (191, 15.9)])
def test_a_gap_of_a_fifth_weighs_as_the_method_says(tasks: int, ratio: float) -> None:
    scores = np.full(tasks, 0.7)
    scores[0] = 0.5
    weights = task_weights(scores)
    assert weights[0] / weights[1] == pytest.approx(ratio, rel=0.005)


def test_a_task_without_a_score_weighs_as_if_it_had_the_mean_of_the_others() -> None:
    np.testing.assert_allclose(task_weights([0.4, np.nan, 0.8]), task_weights([0.4, 0.6, 0.8]), rtol=1e-12)
    np.testing.assert_allclose(task_weights([np.nan, np.inf]), [0.5, 0.5])


def test_one_task_takes_everything_and_no_task_nothing() -> None:
    assert task_weights([0.3]).tolist() == [1.0]
    assert task_weights([]).tolist() == []


def test_enormous_gaps_do_not_overflow() -> None:
    weights = task_weights([0.0, 1e6], 1e-3)
    assert weights.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_an_unusable_temperature_is_an_input_error(temperature: float) -> None:
    with pytest.raises(InputError, match="temperature"):
        task_weights([0.1, 0.2], temperature)


def test_lost_scores_are_ignored_and_never_touch_another_task() -> None:
    clean = mean_relevance([[0.4, 0.6], [0.9, 0.7]])
    with_losses = mean_relevance([[0.4, np.nan, 0.6], [0.9, np.inf, 0.7]])
    np.testing.assert_array_equal(clean, with_losses)
    np.testing.assert_allclose(mean_relevance([[0.4], [np.nan], [0.8], []]), [0.4, 0.6, 0.8, 0.6])


def test_the_trimmed_mean_shrugs_off_one_absurd_loss() -> None:
    scores = [0.5] * 19 + [1e9]
    assert mean_relevance([scores], estimator="trimmed")[0] == pytest.approx(0.5)
    assert mean_relevance([scores])[0] > 1e6


@pytest.mark.parametrize("count", [1, 5, 9, 10, 14, 15, 16, 19, 20, 25, 29, 30, 100])
def test_the_trimmed_mean_drops_a_whole_tenth_at_each_end_rounded_down(count: int) -> None:
    scores = np.random.default_rng(count).random(count) ** 4
    cut = count // 10
    kept = np.sort(scores)[cut : count - cut]
    assert mean_relevance([scores], estimator="trimmed")[0] == pytest.approx(kept.mean(), rel=1e-12)


def test_shrinkage_is_that_of_the_formula() -> None:
    scored = [np.array([0.2, 0.4]), np.array([0.5, 0.7, 0.9]), np.array([1.0, 1.2, 1.1, 1.3])]
    means = np.array([values.mean() for values in scored])
    within = sum(((values - values.mean()) ** 2).sum() for values in scored) / (1 + 2 + 3)
    error = within / np.array([2, 3, 4])
    centre = means.mean()
    between = (
        (means - centre) ** 2
    ).sum() / 2 - error.mean()  # an unbiased variance: three means, two degrees of freedom
    assert between > 0
    expected = centre + between / (between + error) * (means - centre)
    np.testing.assert_allclose(shrink_to_pool(means, scored), expected, rtol=1e-12)


def test_shrinkage_pulls_noisy_tasks_to_the_pool_and_leaves_sure_ones() -> None:
    generator = np.random.default_rng(0)
    sure = [m + 0.01 * generator.standard_normal(200) for m in (0.4, 0.6, 0.8)]
    np.testing.assert_allclose(mean_relevance(sure, shrink=True), mean_relevance(sure), atol=1e-3)
    noise = [0.6 + 0.5 * generator.standard_normal(5) for _ in range(40)]
    plain, shrunk = mean_relevance(noise), mean_relevance(noise, shrink=True)
    assert np.std(shrunk) < 0.5 * np.std(plain)
    assert shrunk.mean() == pytest.approx(plain.mean())


def test_shrinkage_lowers_the_error_where_the_truth_is_known() -> None:
    generator = np.random.default_rng(1)
    truth = generator.normal(0.7, 0.1, 100)
    scores = [t + 0.3 * generator.standard_normal(8) for t in truth]
    errors = [np.square(mean_relevance(scores, shrink=s) - truth).mean() for s in (False, True)]
    assert errors[1] < 0.7 * errors[0]


def test_shrinkage_keeps_unscored_tasks_unscored() -> None:
    assert np.isnan(shrink_to_pool([0.4, np.nan, 0.6], [np.array([0.4]), np.array([]), np.array([0.6])])[1])


@given(SCORES, st.floats(0, 1), st.floats(0, 1))
def test_floors_hold_and_sums_stay_one(scores: list[float], floor: float, prior: float) -> None:
    sizes = np.arange(1, len(scores) + 1)
    weights = adjusted_weights(task_weights(scores), sizes=sizes, size_prior=prior, floor=floor)
    assert abs(weights.sum() - 1) < 1e-9
    assert weights.min() >= floor / len(scores) - 1e-12


def test_without_options_weights_come_back_unchanged() -> None:
    weights = task_weights([0.3, 0.5, 0.9])
    np.testing.assert_array_equal(adjusted_weights(weights), weights)


def test_bootstrap_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    generator = np.random.default_rng(2)
    low, high = bootstrap_intervals([generator.normal(0.6, 0.2, 60) for _ in range(200)], seed=0, draws=300)
    covered = np.mean((low <= 0.6) & (high >= 0.6))
    assert 0.82 < covered < 0.96


def test_a_tasks_interval_depends_on_its_own_scores_only() -> None:
    a, b = np.random.default_rng(3).random((2, 30))
    one, other = bootstrap_intervals([a, b], seed=5), bootstrap_intervals([b[::-1], a], seed=5)
    np.testing.assert_array_equal(np.array(one), np.array(other)[:, ::-1])
    assert not np.array_equal(bootstrap_intervals([a, b], seed=6), one)


def test_intervals_of_a_plan_follow_its_seed() -> None:
    scores = [np.random.default_rng(4).random(30), np.random.default_rng(5).random(30)]
    one, again, other = (weigh(scores, [30, 30], WeightsConfig(), seed) for seed in (0, 0, 1))
    assert (one.low.tolist(), one.high.tolist()) == (again.low.tolist(), again.high.tolist())
    assert one.low.tolist() != other.low.tolist()
    assert one.weight.tolist() == other.weight.tolist()
    low, high = bootstrap_intervals(scores, seed=1, level=0.95)
    assert (other.low.tolist(), other.high.tolist()) == (low.tolist(), high.tolist())


def test_weight_intervals_bracket_the_weights() -> None:
    scores = [np.random.default_rng(s).normal(0.5 + 0.1 * s, 0.1, 50) for s in range(4)]
    low, high = bootstrap_intervals(scores, seed=0, of="weight")
    weights = task_weights(mean_relevance(scores))
    assert (low < weights).all()
    assert (weights < high).all()


def test_the_verdict_asks_for_enough_samples_to_reverse_itself() -> None:
    generator = np.random.default_rng(4)
    few = [generator.normal(0.6, 0.2, 8) for _ in range(50)]
    verdict = reference_verdict(few)
    assert not verdict.enough
    assert "further samples would settle it" in verdict.text
    asked = 8 + int(verdict.further.max())
    assert reference_verdict([generator.normal(0.6, 0.2, 2 * asked) for _ in range(50)]).enough


def test_the_verdict_reproduces_the_methods_example() -> None:
    # 48 samples of spread 0.18 among 191 tasks: noise alone moves a weight by x1.8.
    sample = np.random.default_rng(5).standard_normal(48)
    sample = (sample - sample.mean()) / sample.std(ddof=1) * 0.18 + 0.6
    assert reference_verdict([sample] * 191).factor[0] == pytest.approx(1.8, abs=0.03)


def test_the_verdict_prints_no_factor_beyond_a_thousand() -> None:
    scores = [np.random.default_rng(t).normal(0.6, 0.2, 4) for t in range(6)]
    wild = reference_verdict(scores, temperature=0.005)
    assert "by more than x1000, allowed is x1.50" in wild.text
    assert wild.factor.max() > 1000
    hopeless = reference_verdict(scores, temperature=1e-12)
    assert "More than 1000000 further samples in one task" in hopeless.text
    assert hopeless.further.max() <= 10**9


def test_unusable_arguments_of_the_options_are_input_errors() -> None:
    scores = [[0.1, 0.2], [0.3, 0.4]]
    for call in (
        lambda: task_weights(["a"]),
        lambda: task_weights(["0.5"]),
        lambda: task_weights([0.1, 0.2], "x"),
        lambda: mean_relevance([["a"]]),
        lambda: adjusted_weights([0.5, 0.5], floor=float("nan")),
        lambda: adjusted_weights([0.5, 0.5], floor="0.1"),
        lambda: adjusted_weights([0.5, 0.5], sizes=[-1, 2], size_prior=0.5),
        lambda: adjusted_weights([0.5, 0.5], sizes=[math.inf, 2], size_prior=0.5),
        lambda: adjusted_weights([0.5, 0.5], size_prior=0.5),
        lambda: bootstrap_intervals(scores, seed=-1),
        lambda: bootstrap_intervals(scores, seed=None),
        lambda: bootstrap_intervals(scores, seed=0, draws="many"),
        lambda: bootstrap_intervals(scores, seed=0, level="x"),
        lambda: bootstrap_intervals(scores, seed=1, of="x"),
        lambda: reference_verdict(scores, temperature=0),
        lambda: reference_verdict(scores, temperature="x"),
        lambda: reference_verdict(scores, tolerance="x"),
        lambda: reference_verdict([["a"], [0.1]]),
    ):
        with pytest.raises(InputError, match=r"presel\."):
            call()


def test_options_of_no_tasks_are_no_weights() -> None:
    assert adjusted_weights([], floor=0.5).tolist() == []
    assert adjusted_weights([], sizes=[], size_prior=1.0).tolist() == []


def test_the_verdict_admits_what_cannot_be_known() -> None:
    verdict = reference_verdict([[0.5], [0.7]])
    assert not verdict.enough
    assert "Cannot be said" in verdict.text
    assert reference_verdict([[0.5, 0.6, 0.4], []]).further[1] > 0
