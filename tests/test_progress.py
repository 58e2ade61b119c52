"""How fast, and how long still."""

from __future__ import annotations

import pytest

from presel.concurrency.progress import Pace, duration, listening, report


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def paced(*marks: tuple[float, float], window: float = 60.0) -> Pace:
    clock = Clock()
    pace = Pace(window, clock)
    for clock.now, done in marks:
        pace.reached(done)
    return pace


def test_the_pace_is_that_of_the_last_minute() -> None:
    burst = [(1.0, 1000.0)]
    steady = [(1.0 + 10 * step, 1000.0 + 20 * step) for step in range(1, 13)]
    assert paced(*burst).rate == pytest.approx(1000)
    assert paced(*burst, *steady).rate == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("marks", "left", "said"),
    [
        ([(2.0, 50.0)], 100, "25 images/s, about 4 s left"),
        ([(2.0, 5.0)], 1000, "2.5 images/s, about 7 min left"),
        ([(60.0, 12.0)], 40, "12.0 images/min, about 3 min left"),
        ([(2.0, 50.0)], 0, "25 images/s"),
        ([], 10, "nothing has moved yet"),
        ([(0.001, 1.0)], 29, "just begun"),
        ([(1.0, 5.0), (70.0, 5.0), (140.0, 5.0)], 10, "nothing has moved lately"),
    ],
)
def test_the_pace_in_words(marks: list[tuple[float, float]], left: float, said: str) -> None:
    assert paced(*marks).words("images", left) == said


@pytest.mark.parametrize(("seconds", "said"), [(4.2, "4 s"), (89, "89 s"), (150, "2 min"), (7500, "2 h 5 min")])
def test_durations_as_a_person_says_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_several_listen_until_the_block_ends() -> None:
    one: list[object] = []
    other: list[object] = []
    with listening(one.append, other.append):
        report("embed", "00000", 1, 2, "images")
    report("embed", "00000", 2, 2, "images")
    assert len(one) == len(other) == 1
