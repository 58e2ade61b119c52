"""What is held out: whole groups, drawn by digest, and the same ones in every later version."""

from __future__ import annotations

import numpy as np
import pytest

from presel.export.split import held_out, near

NAMES = [f"{n:064x}" for n in range(2000)]


def test_about_the_share_is_held_out_and_a_larger_share_holds_a_smaller_one() -> None:
    ages = dict.fromkeys(NAMES, 1)
    small, large = held_out(ages, [], 0.05), held_out(ages, [], 0.2)
    assert 60 < len(small) < 140
    assert small < large
    assert held_out(ages, [], 0) == frozenset()


def test_twins_stand_on_one_side_however_long_the_chain() -> None:
    twins = [(NAMES[i], NAMES[i + 1]) for i in range(900) if i % 30 != 29]
    held = held_out(dict.fromkeys(NAMES, 1), twins, 0.2)
    assert held
    assert all((one in held) == (other in held) for one, other in twins)


def test_what_other_rows_there_are_changes_nothing() -> None:
    twins = [(NAMES[0], NAMES[1])]
    whole = held_out(dict.fromkeys(NAMES, 1), twins, 0.3)
    part = held_out(dict.fromkeys(NAMES[:500], 1), twins, 0.3)
    assert part == whole & set(NAMES[:500])


def test_who_comes_later_joins_the_side_of_its_group_and_moves_nobody() -> None:
    before = held_out(dict.fromkeys(NAMES[1000:], 1), [], 0.2)
    ages = {name: 1 if name in set(NAMES[1000:]) else 2 for name in NAMES}
    twins = [(NAMES[i], NAMES[1000 + i]) for i in range(1000)]  # each newcomer has a smaller digest
    after = held_out(ages, twins, 0.2)
    assert after & set(NAMES[1000:]) == before
    assert {NAMES[int(name, 16) - 1000] for name in before} == after & set(NAMES[:1000])


def test_a_newcomer_between_two_groups_never_brings_a_held_out_one_into_training() -> None:
    ages = dict.fromkeys(NAMES, 1)
    before = held_out(ages, [], 0.3)
    held, trained = min(before), min(set(NAMES) - before)
    tied = held_out({**ages, "new": 2}, [(held, "new"), (trained, "new")], 0.3)
    assert {held, trained, "new"} <= tied
    assert before < tied


@pytest.mark.parametrize("rows", [300, 2000])
def test_near_pairs_are_found_by_cosine_in_a_small_and_in_a_large_pool(rows: int, monkeypatch) -> None:
    monkeypatch.setattr("presel.export.split.EXACT_UP_TO", 1000)
    chance = np.random.default_rng(0)
    vectors = chance.normal(size=(rows, 64)).astype(np.float32)
    copies = vectors[:100] + 0.01 * chance.normal(size=(100, 64)).astype(np.float32)
    pairs = near(np.concatenate([vectors, copies]), 0.98)
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, rows + i) for i in range(100)}
