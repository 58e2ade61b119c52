from __future__ import annotations

import pytest

from presel.config.keys import sample_id
from presel.reference_model.folds import FOLDS, fold_of, to_fit, to_score
from presel.reference_model.reading import Sample


def a_set(size: int) -> list[Sample]:
    return [Sample(sample_id("task", str(n)), "task", f"{n}.png", str(n), ()) for n in range(size)]


def test_a_sample_stays_in_its_fold_when_the_set_grows():
    small, large = a_set(40), a_set(400)
    for fold in FOLDS:
        assert set(to_score(small, fold)) == set(to_score(large, fold)) & set(small)


def test_no_sample_is_scored_by_a_model_that_has_seen_it_and_each_is_scored_once():
    members = a_set(200)
    for fold in FOLDS:
        assert not set(to_fit(members, fold)) & set(to_score(members, fold))
        assert set(to_fit(members, fold)) | set(to_score(members, fold)) == set(members)
    assert sorted(to_score(members, 0) + to_score(members, 1)) == sorted(members)


def test_folds_are_halves_and_never_change():
    share = sum(fold_of(sample.id) for sample in a_set(4000)) / 4000
    assert share == pytest.approx(0.5, abs=0.03)
    # What a released version has decided stays decided: adapters on stores depend on it.
    assert [fold_of(name) for name in "abcdefghij"] == [0, 0, 1, 0, 0, 0, 1, 1, 0, 1]
