"""The guard's threshold as a function of what retakes and ordinary neighbours look like to an encoder."""

from __future__ import annotations

import numpy as np
import pytest

from presel.selection.duplicates import USUAL_THRESHOLD, calibrated_threshold


def test_the_threshold_is_what_95_in_a_hundred_retakes_exceed() -> None:
    retakes = np.linspace(0.9, 1.0, 101)
    found = calibrated_threshold(retakes, np.linspace(-0.2, 0.6, 500))
    assert (retakes > found).mean() == pytest.approx(0.95, abs=0.01)


def test_it_is_never_so_low_that_ordinary_neighbours_are_copies() -> None:
    others = np.linspace(0.0, 0.97, 1000)
    found = calibrated_threshold(np.linspace(0.5, 1.0, 100), others)
    assert (others > found).mean() <= 0.011


def test_without_a_retake_it_is_the_usual_one_and_it_is_never_above_one() -> None:
    nothing = np.zeros(0)
    assert calibrated_threshold(nothing, np.ones(5)) == USUAL_THRESHOLD
    assert calibrated_threshold(np.full(9, 1.0000001), nothing) == 1.0
