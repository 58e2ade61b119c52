from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.config import GeneratorConfig, PriceConfig
from presel.errors import ConfigError
from presel.instruct.prices import Estimator, Price, Usage, picture_tokens, price_of, quote, usage_of
from presel.instruct.request import opening

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


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1, "completion_tokens": 3}, {"prompt_tokens": "12"}])
def test_without_a_usable_usage_the_reserved_input_and_the_written_words_count(usage: object) -> None:
    body = {"choices": [{"message": {"content": "x" * 300}}], "usage": usage}
    found = usage_of(body, REQUEST, Usage(1000, 800, False))
    assert found.input_tokens == 1000
    assert 100 <= found.output_tokens <= 200
    assert not found.measured


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
