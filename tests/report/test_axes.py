import math

from hypothesis import given
from hypothesis import strategies as st

from presel.report.axes import axis

NUMBERS = st.lists(st.floats(-1e9, 1e9).map(lambda x: round(x, 6)), max_size=20)


@given(NUMBERS, st.booleans())
def test_an_axis_holds_every_value_between_its_ends(values: list[float], zero: bool) -> None:
    found = axis(values, zero=zero)
    assert found.low < found.high
    assert found.ticks[0] == found.low
    assert found.ticks[-1] == found.high
    assert 2 <= len(found.ticks) <= 12
    slack = 1e-6 * (found.high - found.low)
    assert all(found.low - slack <= value <= found.high + slack for value in values)
    assert not zero or found.low <= 0 <= found.high


@given(NUMBERS)
def test_labels_of_ticks_differ(values: list[float]) -> None:
    found = axis(values)
    labels = [found.label(tick) for tick in found.ticks]
    assert len(set(labels)) == len(labels)


def test_ticks_are_round() -> None:
    assert axis([0.51, 0.93]).ticks == (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert axis([0, 230], zero=True).ticks == (0.0, 50.0, 100.0, 150.0, 200.0, 250.0)
    assert [axis([0.0, 1.0]).label(tick) for tick in axis([0.0, 1.0]).ticks] == [
        "0.0",
        "0.2",
        "0.4",
        "0.6",
        "0.8",
        "1.0",
    ]


def test_values_that_are_no_numbers_do_not_make_an_axis() -> None:
    assert axis([math.nan, math.inf, 3.0, 5.0]).high == 5.0
    assert axis([math.nan]).low == 0.0


def test_a_value_outside_is_held_at_the_end() -> None:
    found = axis([0.0, 1.0])
    assert (found.percent(-5), found.percent(0.25), found.percent(7)) == (0.0, 25.0, 100.0)
