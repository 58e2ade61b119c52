"""In bfloat16 a loss is rounded on the way whichever way it is computed; the quick way must not add to that."""

from __future__ import annotations

import pytest
import torch

from presel.reference_model import load, plain_losses, score
from tests.reference_model.conftest import BUILTIN
from tests.reference_model.drawn import prepared, samples


@pytest.fixture(scope="module")
def half():
    model = load(BUILTIN)
    model.model.to(torch.bfloat16)
    model.dtype = torch.bfloat16
    return model


@pytest.fixture(scope="module")
def ready(builtin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    made = samples(folder, ["scene", "chart", "colour", "ocr"], 2, turns=3)
    return prepared(folder, made, builtin.processor)


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_losses_in_bfloat16_are_those_of_a_plain_computation(half, builtin, ready, batch_size):
    found = {losses.id: losses[2:] for losses in score(half, ready, batch_size)}
    assert half.shares_prefix
    gaps = []
    for sample in ready:
        assert found[sample.id] == pytest.approx(plain_losses(half, sample), abs=2e-2)
        gaps += [abs(a - b) for a, b in zip(found[sample.id], plain_losses(builtin, sample), strict=True)]
    assert sum(gaps) / len(gaps) < 1e-2  # of float32; a single sample may be 0.04 away, as it is in a plain computation
