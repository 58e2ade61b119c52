import pytest

from presel.report.timing import Timing, as_bar, in_words, timing, waited
from presel.runs.run_record import RunRecord
from presel.tables import table_store


def test_a_second_of_two_stages_counts_half_for_each_and_a_long_pause_not_at_all() -> None:
    found, whole, pauses = waited([(0, 10, "a"), (5, 10, "b"), (12, 14, "a"), (1000, 1001, "b")])
    assert found == pytest.approx({"a": 5 + 2.5 + 2, "b": 2.5 + 1, "": 2})
    assert (whole, pauses) == pytest.approx((15, 986))
    assert waited([]) == ({}, 0, 0)


def test_what_an_earlier_version_made_counts_as_found(reported: RunRecord) -> None:
    tables = {"plan": (reported.plan,), "clusters": reported.clusters}
    fresh = timing(tables, since=0.0)
    assert fresh is not None
    assert {step.state for step in fresh.steps} == {"made"}
    old = timing(tables, since=table_store.finished(reported.plan) + 3600)
    assert old is not None
    assert [(step.state, step.wall, step.rate_words) for step in old.steps] == [("found", 0, "–")] * 2
    assert timing({}, since=0.0) is None


def test_short_waits_are_one_piece_of_the_bar() -> None:
    bar = as_bar(Timing((), [("a", 97.0), ("b", 1.0), ("c", 2 - 1e-3)], 100.0, 0.0))
    assert [(piece["name"], piece["share"]) for piece in bar] == [("a", 97.0), ("other stages", 3.0)]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "0.0 s"), (54.2, "54 s"), (59.9, "1 min 0 s"), (7500, "2 h 5 min")]
)
def test_durations_are_written_as_a_person_says_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
