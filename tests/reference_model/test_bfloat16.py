"""In bfloat16 the products are rounded, and nothing else is: a sample's losses stay within 1e-2 nats of float32."""

from __future__ import annotations

import pytest
import torch

from presel.reference_model import load, plain_losses, score
from presel.reference_model.precision import precise
from tests.reference_model.conftest import BUILTIN
from tests.reference_model.drawn import ALL, prepared, samples


@pytest.fixture(scope="module")
def half():
    return load(BUILTIN, dtype=torch.bfloat16)


@pytest.fixture(scope="module")
def ready(builtin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    made = samples(folder, ALL, 1) + samples(folder, ["scene", "chart", "colour"], 1, seed=1, turns=3)
    return prepared(folder, made, builtin.processor)


@pytest.fixture(scope="module")
def expected(builtin, ready):
    """Of float32, with the weights as they are stored."""
    return {sample.id: plain_losses(builtin, sample) for sample in ready}


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 32])
def test_losses_in_bfloat16_are_those_of_float32_for_every_batch_size(half, ready, expected, batch_size):
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    found = {losses.id: losses[2:] for losses in score(half, ready, batch_size)}
    assert half.shares_prefix
    for name, losses in expected.items():
        assert found[name] == pytest.approx(losses, abs=1e-2)


def test_a_model_wholly_in_bfloat16_is_further_off(half, ready, expected):
    gaps = []
    for sample in ready:
        tokens = sample.with_question
        with torch.inference_mode():
            image = {name: value.bfloat16() for name, value in sample.image.items()}
            logits = half.model(input_ids=torch.tensor([tokens.ids]), **image).logits[0].float()
        targets = torch.tensor([tokens.ids[at] for at in tokens.response])
        loss = torch.nn.functional.cross_entropy(logits[torch.tensor(tokens.response) - 1], targets)
        gaps.append(abs(float(loss) - expected[sample.id][0]))
    ours = [abs(losses.with_question - expected[losses.id][0]) for losses in score(half, ready, 8)]
    assert sum(gaps) > 2 * sum(ours)


def test_a_product_has_bfloat16_factors_and_a_float32_sum(half):
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(0))
    layer = torch.nn.Linear(8, 4).bfloat16()
    exact = x.bfloat16().double() @ layer.weight.double().t() + layer.bias.double()
    with torch.inference_mode(), precise(half):
        found = layer(x)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), exact, atol=1e-6)
