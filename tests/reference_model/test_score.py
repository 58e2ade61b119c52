"""Scoring is exact: these tests recompute the losses with nothing but transformers' own forward pass and labels."""

from __future__ import annotations

import logging
import math

import pytest
import torch

from presel.reference_model import Turn, load, plain_losses, score
from tests.reference_model.conftest import BUILTIN
from tests.reference_model.drawn import ALL, prepared, samples


def with_labels(model, sample, tokens) -> float:
    """transformers' loss of a whole pass over one sample, its labels -100 wherever nothing is to be predicted."""
    labels = torch.full((1, len(tokens.ids)), -100)
    labels[0, tokens.response] = torch.tensor([tokens.ids[at] for at in tokens.response])
    extra = {name: torch.tensor([values]) for name, values in tokens.aligned.items()}
    with torch.no_grad():
        return float(model.model(input_ids=torch.tensor([tokens.ids]), labels=labels, **sample.image, **extra).loss)


@pytest.fixture(scope="module")
def mixed(builtin, tmp_path_factory):
    """Samples of every task, of one turn and of three, and one without a question."""
    folder = tmp_path_factory.mktemp("drawn")
    made = samples(folder, ALL, 1) + samples(folder, ["scene", "chart", "colour"], 2, turns=3, seed=1)
    silent = made[0]._replace(id="silent", turns=(Turn("", "It is red."),))
    return prepared(folder, [*made, silent], builtin.processor)


@pytest.fixture(scope="module")
def expected(builtin, mixed):
    return {s.id: [with_labels(builtin, s, tokens) for tokens in (s.with_question, s.without_question)] for s in mixed}


@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 64])
def test_losses_equal_one_sample_at_a_time_for_every_batch_size(builtin, mixed, expected, batch_size):
    found = {losses.id: losses for losses in score(builtin, mixed, batch_size)}
    assert found.keys() == expected.keys()
    for sample in mixed:
        losses = found[sample.id]
        assert losses[2:] == pytest.approx(expected[sample.id], abs=1e-4)
        assert losses.tokens == len(sample.with_question.response)


def test_the_plain_way_is_what_it_says(builtin, mixed, expected):
    for sample in mixed[:4]:
        assert plain_losses(builtin, sample) == pytest.approx(expected[sample.id], abs=1e-4)


def test_the_order_of_the_samples_does_not_matter(builtin, mixed):
    one = {losses.id: losses for losses in score(builtin, mixed, 4)}
    other = {losses.id: losses for losses in score(builtin, mixed[::-1], 4)}
    assert one == other


def test_without_a_question_both_losses_are_the_same(builtin, mixed):
    losses = next(losses for losses in score(builtin, mixed, 8) if losses.id == "silent")
    assert losses.with_question == pytest.approx(losses.without_question, abs=1e-5)


def test_scoring_leaves_the_callers_gradients_alone(builtin, mixed):
    for _ in score(builtin, mixed[:3], 1):
        assert torch.is_grad_enabled()
        assert not torch.is_inference_mode_enabled()


def test_a_model_whose_image_sees_the_question_is_scored_the_plain_way(mixed, caplog):
    model = load(BUILTIN)
    model.model.get_input_embeddings().register_forward_hook(lambda _m, _a, out: out + out.mean(1, keepdim=True))
    with caplog.at_level(logging.WARNING):
        found = {losses.id: losses for losses in score(model, mixed[:3], 8)}
    assert model.shares_prefix is False
    assert "prefix changes the losses" in caplog.text
    for sample in mixed[:3]:
        assert found[sample.id][2:] == pytest.approx(plain_losses(model, sample), abs=1e-6)


def test_a_prefix_pass_ends_when_the_last_layer_has_written_its_keys(builtin, mixed):
    list(score(builtin, mixed[:1], 1))  # scored both ways, once
    layers, ran = builtin.model.model.language_model.layers, []
    hooks = [
        layer.mlp.register_forward_hook(lambda _m, _a, out, n=n: ran.append((n, out.shape[1])))
        for n, layer in enumerate(layers)
    ]
    found = list(score(builtin, mixed[:1], 1))
    for hook in hooks:
        hook.remove()
    assert builtin.stops_early
    assert [n for n, _ in ran] == [0, 1, 2, 0, 1, 2, 3]  # the prefix without the last layer's, then what follows
    assert found[0][2:] == pytest.approx(plain_losses(builtin, mixed[0]), abs=1e-4)


def test_a_model_whose_last_layer_does_not_write_last_runs_its_whole_prefix(mixed):
    model = load(BUILTIN)
    layers = model.model.model.language_model.layers
    layers[2].self_attn.layer_idx, layers[3].self_attn.layer_idx = 3, 2  # the third layer fills the last place
    found = {losses.id: losses for losses in score(model, mixed[:3], 8)}
    assert (model.shares_prefix, model.stops_early) == (True, False)
    for sample in mixed[:3]:
        assert found[sample.id][2:] == pytest.approx(plain_losses(model, sample), abs=1e-4)


def test_one_poisoned_sample_leaves_its_batch_alone(mixed):
    model = load(BUILTIN)
    clean = {losses.id: losses for losses in score(model, mixed, 16)}
    spoiled = mixed[3]
    used_elsewhere = {token for s in mixed if s is not spoiled for token in s.with_question.ids}
    own = next(token for token in spoiled.with_question.ids if token not in used_elsewhere)
    with torch.no_grad():
        model.model.get_input_embeddings().weight[own] = math.nan
        model.model.lm_head.weight = torch.nn.Parameter(load(BUILTIN).model.lm_head.weight)  # input alone is poisoned
    found = {losses.id: losses for losses in score(model, mixed, 16)}
    assert math.isnan(found[spoiled.id].with_question)
    for sample in mixed:
        if sample is not spoiled:
            assert found[sample.id][2:] == pytest.approx(clean[sample.id][2:], abs=1e-4)


def test_a_batch_that_does_not_fit_is_halved(mixed, builtin):
    model = load(BUILTIN)
    seen = []

    def small_card(_module, _args, kwargs):
        seen.append(len(kwargs["input_ids"]))
        if len(kwargs["input_ids"]) > 6:
            raise torch.OutOfMemoryError("no room")

    model.model.register_forward_pre_hook(small_card, with_kwargs=True)
    found = {losses.id: losses for losses in score(model, mixed, 16)}
    assert max(seen) > 6
    for losses in score(builtin, mixed, 16):
        assert found[losses.id][2:] == pytest.approx(losses[2:], abs=1e-4)
