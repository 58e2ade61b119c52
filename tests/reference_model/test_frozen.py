"""What a frozen tower has made of a picture stands for its pixels, and nothing else changes."""

from __future__ import annotations

import pytest

from presel.config import ImageConfig, LoraConfig, SourceConfig
from presel.reference_model import Turn, load, lora, score
from presel.reference_model.checkpoint import Checkpoint
from presel.reference_model.fit import fit, schedule
from presel.reference_model.frozen import memory_of, reader
from tests.reference_model.conftest import BUILTIN
from tests.reference_model.drawn import prepared, samples

REMEMBERING = BUILTIN.model_copy(update={"remember": 1.0})
LORA = LoraConfig(rank=4, alpha=8, learning_rate=2e-3, batch=4, steps=5)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool")
    return folder, samples(folder, ["colour", "digits"], 4)


def read_by(model, folder, config):
    return reader(model, SourceConfig(uri=str(folder)), ImageConfig(), config)


def test_losses_are_those_of_pixels_for_a_picture_seen_now_and_for_one_remembered(pool) -> None:
    folder, made = pool
    plain = load(BUILTIN)
    expected = {one.id: one for one in score(plain, prepared(folder, made, plain.processor), 4)}
    model = load(REMEMBERING)
    read = read_by(model, folder, REMEMBERING)
    for _ in range(2):
        for found in score(model, [read(sample) for sample in made], 4):
            assert found[1:] == pytest.approx(expected[found.id][1:], abs=1e-4)


def test_a_remembered_picture_is_not_read_again_and_may_be_asked_something_else(pool, tmp_path) -> None:
    folder, made = pool
    model = load(REMEMBERING)
    for sample in made:
        read_by(model, folder, REMEMBERING)(sample)
    asked = made[0]._replace(turns=(Turn("Is it large?", "Yes."),))
    again = read_by(model, tmp_path, REMEMBERING)(asked)
    there = read_by(load(BUILTIN), folder, BUILTIN)(asked)
    assert again.with_question == there.with_question
    assert again.without_question == there.without_question


def test_what_does_not_fit_into_memory_is_read_each_time(pool) -> None:
    folder, made = pool
    config = BUILTIN.model_copy(update={"remember": 1e-9})
    model = load(config)
    tower = next(m for name, m in model.model.named_modules() if name.endswith("vision_tower"))
    memory_of(tower).shown.clear()
    assert read_by(model, folder, config)(made[0]).image["pixel_values"].ndim == 3
    assert not memory_of(tower).shown


def test_a_fit_is_the_same_from_features_as_from_pixels(pool, tmp_path) -> None:
    folder, made = pool
    losses = []
    for config in (BUILTIN, REMEMBERING):
        model = load(config)
        lora.attach(model, LORA, 0)
        read = read_by(model, folder, config)
        store = Checkpoint(str(tmp_path), f"{config.remember}.safetensors")
        losses.append([row["loss"] for row in fit(model, made, read, LORA, 0, store, lambda *_: None).history])
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert len(losses[0]) == 5


def test_steps_take_as_many_passes_as_they_need_and_cut_the_last_one_short(pool) -> None:
    _, made = pool
    steps = schedule(made, LORA, 0)
    assert [len(step) for step in steps] == [4, 4, 4, 4, 4]
    assert {sample.id for step in steps[:2] for sample in step} == {sample.id for sample in made}
    assert schedule([], LORA, 0) == []
