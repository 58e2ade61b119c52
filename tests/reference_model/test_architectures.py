"""Every architecture through the same code: transformers' own losses, quickly where its cache allows, plainly where not."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from presel.config import LoraConfig, ReferenceModelConfig
from presel.reference_model import Preparer, Turn, load, lora, score
from presel.reference_model.training import Lesson, Trainer
from tests.reference_model.architectures import save_tiny_hybrid, save_tiny_idefics, save_tiny_mllama, save_tiny_qwen
from tests.reference_model.newer_architectures import (
    save_tiny_gemma,
    save_tiny_internvl,
    save_tiny_mistral,
    save_tiny_onevision,
    save_tiny_qwen3,
    save_tiny_smolvlm,
)

TURNS = [Turn("what colour is it", "it is red"), Turn("how many", "two")]
MAKERS = {
    "qwen": (save_tiny_qwen, True),
    "idefics": (save_tiny_idefics, True),
    "mllama": (save_tiny_mllama, False),
    "hybrid": (save_tiny_hybrid, False),
    "qwen3": (save_tiny_qwen3, True),
    "onevision": (save_tiny_onevision, True),
    "gemma": (save_tiny_gemma, True),
    "internvl": (save_tiny_internvl, True),
    "mistral": (save_tiny_mistral, True),
    "smolvlm": (save_tiny_smolvlm, True),
}


@pytest.fixture(scope="module", params=MAKERS)
def made(request, tmp_path_factory):
    """A loaded model, whether its image prefix can be shared, and five samples with their pictures and turns."""
    maker, shares = MAKERS[request.param]
    model = load(ReferenceModelConfig(model=maker(tmp_path_factory.mktemp(request.param)), device="cpu"))
    rng, prepare = np.random.default_rng(0), Preparer(model.processor, 512)
    raw = []
    for n in range(5):
        picture = Image.fromarray(rng.integers(0, 255, (56 + 28 * (n % 2), 84, 3), dtype=np.uint8))
        raw.append((picture, [TURNS[0]._replace(question="what colour " * (n + 1)), *TURNS[1:]][: 1 + n % 2]))
    ready = [prepare(str(n), picture, turns) for n, (picture, turns) in enumerate(raw)]
    return model, shares, ready, raw


def independent(model, picture, turns) -> float:
    """Template, processor, labels and loss of transformers alone. The responses are looked for in the text."""
    messages = []
    for at, turn in enumerate(turns):
        image = [{"type": "image"}] if at == 0 else []
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": turn.question}]})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": turn.response}]})
    text = model.processor.apply_chat_template(messages, tokenize=False)
    bos = not text.startswith("<s>")
    inputs = model.processor(text=[text], images=[picture], add_special_tokens=bos, return_tensors="pt")
    ids = inputs["input_ids"][0].tolist()
    labels, tokenizer = torch.full((1, len(ids)), -100), model.processor.tokenizer
    at = 0
    for turn in turns:
        for end in ("</s>", "<|im_end|>", "<end_of_utterance>", "<|eot|>", ""):
            if turn.response + end in text:
                break
        wanted = tokenizer(turn.response + end, add_special_tokens=False)["input_ids"]
        at = next(n for n in range(at, len(ids)) if ids[n : n + len(wanted)] == wanted)
        labels[0, at : at + len(wanted)] = torch.tensor(wanted)
        at += len(wanted)
    with torch.no_grad():
        return float(model.model(**inputs, labels=labels).loss)


def test_losses_are_those_of_transformers_alone_for_every_batch_size(made, caplog):
    model, shares, ready, raw = made
    with caplog.at_level(logging.WARNING):
        found = [{losses.id: losses for losses in score(model, ready, size)} for size in (1, 2, 3, 5)]
    for sample, (picture, turns) in zip(ready, raw, strict=True):
        expected = (
            independent(model, picture, turns),
            independent(model, picture, [Turn("", t.response) for t in turns]),
        )
        for losses in found:
            assert losses[sample.id][2:] == pytest.approx(expected, abs=1e-4)
    assert bool(model.shares_prefix) == shares
    assert model.stops_early or not shares
    assert ("one sample at a time" in caplog.text) == (model.shares_prefix is False)


def test_joined_turns_are_those_of_transformers_alone(made):
    model, _, _, raw = made
    prepare = Preparer(model.processor, 512, "joined")
    for n, (picture, turns) in enumerate(raw[:2]):
        [losses] = score(model, [prepare(str(n), picture, turns)], 1)
        assert losses.with_question == pytest.approx(independent(model, picture, turns), abs=1e-4)
        joined = [Turn("", " ".join(turn.response for turn in turns))]
        assert losses.without_question == pytest.approx(independent(model, picture, joined), abs=1e-4)


def test_the_picture_counts(made):
    model, _, ready, raw = made
    grey = Preparer(model.processor, 512)("grey", Image.new("RGB", raw[0][0].size, (128, 128, 128)), raw[0][1])
    [one], [other] = score(model, ready[:1], 1), score(model, [grey], 1)
    assert abs(one.with_question - other.with_question) > 1e-5


def test_bfloat16_is_within_a_hundredth_of_float32(made):
    model, _, ready, _ = made
    half = load(ReferenceModelConfig(model=model.model.config.name_or_path, device="cpu"), dtype=torch.bfloat16)
    expected = {losses.id: losses[2:] for losses in score(model, ready, 3)}
    for size in (1, 3):
        for losses in score(half, ready, size):
            assert losses[2:] == pytest.approx(expected[losses.id], abs=1e-2)
    assert half.shares_prefix in (model.shares_prefix, None)


def test_a_hybrid_models_cache_is_not_shared_and_the_log_says_why(tmp_path, caplog):
    model = load(ReferenceModelConfig(model=save_tiny_hybrid(tmp_path), device="cpu"))
    sample = Preparer(model.processor, 512)("a", Image.new("RGB", (50, 50), (200, 0, 0)), TURNS)
    with caplog.at_level(logging.WARNING):
        assert len(list(score(model, [sample, sample], 2))) == 2
    assert caplog.text.count("its cache cannot be shared") == 1


def test_a_step_of_fitting_goes_through_with_and_without_the_question(made):
    model, _, ready, _ = made
    lora.attach(model, LoraConfig(rank=2, alpha=4), seed=0)
    trainer = Trainer(model, LoraConfig(rank=2, alpha=4))
    lessons = [Lesson(s, s.without_question if n % 2 else s.with_question) for n, s in enumerate(ready)]
    loss, left_out = trainer.step(lessons, 1.0, seed=0)
    assert loss > 0
    assert left_out == []
