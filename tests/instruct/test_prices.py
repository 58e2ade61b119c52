from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.config import GeneratorConfig, PriceConfig
from presel.errors import ConfigError
from presel.instruct.money.drift import Drift
from presel.instruct.money.prices import Estimator, Price, Usage, picture_tokens, price_of, quote, usage_of
from presel.instruct.questions.request import opening
from presel.storage import open_store

NANO = GeneratorConfig(model="gpt-4.1-nano", max_cost=1.0)
REQUEST = opening("c" * 64, "shapes", NANO)


def test_the_price_of_a_known_model_needs_no_configuration() -> None:
    assert price_of(GeneratorConfig(model="gpt-4.1-mini", max_cost=1.0)) == pytest.approx((0.4, 1.6))


def test_a_price_of_ones_own_comes_first() -> None:
    own = PriceConfig(input_per_million=1, output_per_million=2)
    assert price_of(GeneratorConfig(model="gpt-4.1-mini", max_cost=1.0, prices=own)) == (1, 2)


def test_an_unknown_model_without_a_price_is_an_error_that_says_what_to_write() -> None:
    with pytest.raises(ConfigError, match="input_per_million"):
        price_of(GeneratorConfig(model="home-made", max_cost=1.0))


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        [],
        {"prompt_tokens": -1, "completion_tokens": 3},
        {"prompt_tokens": "12"},
        {"prompt_tokens": 0, "completion_tokens": 3},
        {"prompt_tokens": True, "completion_tokens": True},
        {"prompt_tokens": 10**15, "completion_tokens": 3},
        {"prompt_tokens": 12, "completion_tokens": float("nan")},
    ],
    ids=str,
)
def test_without_a_believable_usage_an_answer_counts_as_reserved(usage: object) -> None:
    body = {"choices": [{"message": {"content": "x" * 300}}], "usage": usage}
    assert usage_of(body, REQUEST, Usage(1000, 800, False)) == Usage(1000, 800, False)


def test_a_usage_written_in_digits_is_measured() -> None:
    usage = {"prompt_tokens": "100", "completion_tokens": " 20.0 ", "total_tokens": "820"}
    assert usage_of({"usage": usage}, REQUEST, Usage(1000, 800, False)) == Usage(100, 720, True)


@pytest.mark.parametrize(
    "more",
    [
        {"completion_tokens": 720, "completion_tokens_details": {"reasoning_tokens": 700}},
        {"completion_tokens": 20, "total_tokens": 820, "completion_tokens_details": {"reasoning_tokens": 700}},
        {"completion_tokens": 20, "completion_tokens_details": {"reasoning_tokens": 700}},
        {"completion_tokens": 20, "total_tokens": 820},
    ],
    ids=["within", "beside and in the total", "beside", "only in the total"],
)
def test_tokens_of_thinking_are_output_wherever_a_server_counts_them(more: dict[str, object]) -> None:
    body = {"choices": [], "usage": {"prompt_tokens": 100, **more}}
    assert usage_of(body, REQUEST, Usage(1000, 800, False)) == Usage(100, 720, True)


def test_a_bill_above_its_reservation_raises_the_later_ones_on_either_side() -> None:
    estimator = Estimator(price_of(NANO))
    before = estimator.tokens(REQUEST)
    assert not estimator.learn(REQUEST, Usage(before.input_tokens, before.output_tokens, True))
    assert estimator.learn(REQUEST, Usage(before.input_tokens, 3 * before.output_tokens, True))
    raised = estimator.tokens(REQUEST)
    assert (raised.input_tokens, raised.output_tokens) == (before.input_tokens, pytest.approx(3.3 * 800, abs=1))


def test_what_one_worker_learned_of_bills_all_workers_of_the_store_know(tmp_path: Path) -> None:
    store, one, other = open_store(str(tmp_path)), Estimator(price_of(NANO)), Estimator(price_of(NANO))
    drift = Drift(store, NANO)
    drift.share(one)
    assert not one.calibrated
    one.learn(REQUEST, Usage(10 * one.tokens(REQUEST).input_tokens, 10, True))
    drift.share(one)
    drift.share(other)
    assert other.calibrated
    assert other.tokens(REQUEST) == one.tokens(REQUEST)
    elsewhere = Estimator(price_of(NANO))
    Drift(store, NANO.model_copy(update={"base_url": "http://elsewhere/v1"})).share(elsewhere)
    assert (elsewhere.calibrated, elsewhere.factor) == (False, 1.0)


def test_the_reservation_covers_the_published_bills_of_a_768_pixel_picture() -> None:
    assert picture_tokens("gpt-4o-mini", 768) >= 2833 + 4 * 5667
    assert picture_tokens("gpt-4o", 768) >= 85 + 4 * 170
    assert picture_tokens("gpt-4.1-nano", 768) >= 24 * 24 * 2.46


def test_a_bill_above_its_reservation_raises_the_next_ones(caplog: pytest.LogCaptureFixture) -> None:
    estimator = Estimator(Price(1, 1))
    before = estimator.tokens(REQUEST).input_tokens
    estimator.learn(REQUEST, Usage(2 * before, 10, True))
    assert estimator.tokens(REQUEST).input_tokens > 2 * before
    assert "reservations are raised" in caplog.text


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, 10_000))
def test_a_quote_holds_its_expectation_and_does_not_depend_on_order(costs: list[float], n: int) -> None:
    said = quote(costs, n)
    assert 0 <= said.low <= said.expected <= said.high
    assert said == quote(costs[::-1], n)


def test_a_quote_is_narrower_the_more_is_measured() -> None:
    costs = np.random.default_rng(0).gamma(2.0, 0.001, size=400)
    few, many = quote(costs[:10].tolist(), 1000), quote(costs.tolist(), 1000)
    assert many.high - many.low < few.high - few.low


def test_the_interval_of_a_quote_holds_the_true_price_about_as_often_as_it_says() -> None:
    draw, inside = np.random.default_rng(1), 0
    for seed in range(200):
        costs = draw.gamma(2.0, 0.001, size=60)
        paid = draw.gamma(2.0, 0.001, size=300).sum()
        said = quote(costs.tolist(), 300, seed=seed)
        inside += said.low <= paid <= said.high
    assert 180 <= inside <= 200  # 95 % of 200 are 190


def test_a_quote_without_any_measured_cost_knows_nothing() -> None:
    assert quote([], 5) == (math.inf, 0.0, math.inf)
    assert quote([], 0) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("costs", "n"), [([-1.0], 1), ([math.nan], 1), ([1.0], -1)])
def test_a_quote_refuses_impossible_figures(costs: list[float], n: int) -> None:
    with pytest.raises(ValueError, match="negative"):
        quote(costs, n)
