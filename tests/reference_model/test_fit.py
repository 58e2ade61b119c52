from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from presel.config import ImageConfig, LoraConfig, SourceConfig
from presel.reference_model import Preparer, load, lora
from presel.reference_model.checkpoint import Checkpoint
from presel.reference_model.fit import drops_question, fit, pace, schedule
from presel.reference_model.reading import SampleReader
from presel.reference_model.training import Lesson, Trainer
from tests.reference_model.conftest import BUILTIN
from tests.reference_model.drawn import prepared, samples

CONFIG = LoraConfig(rank=4, alpha=8, learning_rate=2e-3, batch=4, question_dropout=0.3)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder of pictures and twelve samples of three tasks."""
    folder = tmp_path_factory.mktemp("pool")
    return folder, samples(folder, ["colour", "digits", "scene"], 4)


def run(pool, store, *, made=None, config=CONFIG, seed=0, stop_after=None, prepare_model=None):
    """One fit from the builtin base. Returns the model and what `fit` returned; raises Interrupted after a step if asked."""
    folder, all_samples = pool
    model = load(BUILTIN)
    lora.attach(model, config, seed)
    if prepare_model:
        prepare_model(model)
    read = SampleReader(SourceConfig(uri=str(folder)), ImageConfig(), Preparer(model.processor, 512))
    done_steps = []

    def on_step(done, total, loss):
        done_steps.append(done)

    def stopping(done, total, loss):
        on_step(done, total, loss)
        if stop_after is not None and done > stop_after:
            raise Interrupted

    checkpoint = Checkpoint(str(store), "checkpoint.safetensors")
    fitted = fit(model, made or all_samples, read, config, seed, checkpoint, stopping, every=0.0)
    return model, fitted, done_steps


@pytest.fixture(scope="module")
def whole(pool, tmp_path_factory):
    model, fitted, _ = run(pool, tmp_path_factory.mktemp("store"))
    return lora.export(model, "builtin"), fitted


def test_the_same_samples_in_another_order_give_the_same_bytes(pool, whole, tmp_path):
    model, fitted, _ = run(pool, tmp_path, made=pool[1][::-1])
    assert lora.export(model, "builtin") == whole[0]
    assert fitted == whole[1]


def test_another_seed_gives_another_adapter(pool, whole, tmp_path):
    model, _, _ = run(pool, tmp_path, seed=1)
    assert lora.export(model, "builtin")[lora.WEIGHTS] != whole[0][lora.WEIGHTS]


def test_an_interrupted_fit_goes_on_from_its_checkpoint_to_the_same_bytes(pool, whole, tmp_path):
    with pytest.raises(Interrupted):
        run(pool, tmp_path, stop_after=1)  # one step is saved, a second is done and lost
    model, fitted, done = run(pool, tmp_path)
    assert done == [2, 3]
    assert lora.export(model, "builtin") == whole[0]
    assert fitted == whole[1]


def test_fitting_lowers_the_loss_and_leaves_everything_but_adapter_and_projector_alone(pool, builtin, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 8, "question_dropout": 0.0})
    model, fitted, _ = run(pool, tmp_path, config=config)
    losses = [row["loss"] for row in fitted.history]
    assert len(losses) == 24
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])
    before = dict(builtin.model.named_parameters())
    for name, parameter in model.model.get_base_model().named_parameters():
        original = name.replace(".base_layer", "").replace(".original_module", "")
        if "lora_" not in name and "modules_to_save" not in name:
            assert torch.equal(parameter, before[original]), name


def test_a_step_in_pieces_moves_as_a_step_in_one(pool):
    found = []
    for piece in (4, 1):
        model = load(BUILTIN)
        lora.attach(model, CONFIG, 0)
        trainer = Trainer(model, CONFIG)
        trainer.piece = piece
        ready = prepared(pool[0], pool[1][:4], model.processor)
        loss, left_out = trainer.step([Lesson(sample, sample.with_question) for sample in ready], 1.0, seed=0)
        assert left_out == []
        found.append((loss, {name: p.grad for name, p in lora.trained(model).items()}, trainer.optimizer.state_dict()))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    for one, other in zip(found[0][2]["state"].values(), found[1][2]["state"].values(), strict=True):
        assert torch.allclose(one["exp_avg"], other["exp_avg"], atol=1e-6)


def test_when_memory_runs_out_the_step_is_halved_and_done(pool, whole, tmp_path):
    seen = []

    def small_card(model):
        def check(_module, _args, kwargs):
            seen.append(len(kwargs["input_ids"]))
            if len(kwargs["input_ids"]) > 2:
                raise torch.OutOfMemoryError("no room")

        model.model.register_forward_pre_hook(check, with_kwargs=True)

    _, fitted, _ = run(pool, tmp_path, prepare_model=small_card)
    assert seen[0] == 4
    assert set(seen[1:]) == {2}
    assert [row["loss"] for row in fitted.history] == pytest.approx([row["loss"] for row in whole[1].history], abs=1e-3)


def test_a_sample_that_makes_the_loss_nan_is_left_out_by_name(pool):
    model = load(BUILTIN)
    ready = prepared(pool[0], pool[1][:4], model.processor)
    poison = {name: torch.full_like(value, math.nan) for name, value in ready[1].image.items()}
    spoiled = replace(ready[1], image=poison)
    lora.attach(model, CONFIG, 0)
    trainer = Trainer(model, CONFIG)
    lessons = [Lesson(sample, sample.with_question) for sample in (ready[0], spoiled, *ready[2:])]
    loss, left_out = trainer.step(lessons, 1.0, seed=0)
    assert left_out == [spoiled.id]
    assert loss is not None
    assert math.isfinite(loss)
    assert all(torch.isfinite(parameter).all() for parameter in lora.trained(model).values())


def test_every_sample_is_seen_once_an_epoch(pool):
    steps = schedule(pool[1], CONFIG.model_copy(update={"epochs": 3, "batch": 5}), seed=0)
    assert [len(step) for step in steps] == [5, 5, 2] * 3
    for epoch in range(3):
        seen = [sample for step in steps[3 * epoch : 3 * epoch + 3] for sample in step]
        assert sorted(seen) == sorted(pool[1])
    assert steps[:3] != steps[3:6]


def test_question_dropout_is_the_share_it_says():
    ids = [f"sample {n}" for n in range(4000)]
    for share in (0.0, 0.2, 0.5):
        config = LoraConfig(question_dropout=share)
        dropped = sum(drops_question(sample, 0, config, seed=0) for sample in ids)
        assert dropped / len(ids) == pytest.approx(share, abs=0.03)


def test_the_learning_rate_rises_then_falls_to_nothing():
    rates = [pace(step, 100, 0.03) for step in range(100)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert 0 < rates[-1] < 1e-3
    assert pace(0, 1, 0.03) == 1.0
