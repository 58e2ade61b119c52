"""`presel.irs`: the losses of the pipeline, for any architecture and whatever form the samples come in."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

import presel
from presel.errors import InputError, ModelError
from presel.reference_model import ReferenceModel, Turn
from presel.selection.relevance import relevance
from tests.reference_model.published import publish_drawn
from tests.reference_model.test_architectures import MAKERS, independent

QUESTION, RESPONSE = "what colour is it", "it is red"


def drawn(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (56 + 28 * (n % 2), 84, 3), dtype=np.uint8)) for n in range(count)]


@pytest.mark.parametrize("name", MAKERS)
def test_losses_are_those_of_transformers_alone_on_every_architecture(name: str, tmp_path: Path) -> None:
    folder = MAKERS[name][0](tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).train()
    processor = AutoProcessor.from_pretrained(folder)
    turns = [("what colour", "red"), ("how many", "two")]
    samples = [(picture, turns[0][0] * (n + 1), turns[0][1]) for n, picture in enumerate(drawn(2))]
    frame = presel.irs(model, processor, [*samples, {"id": "both", "image": drawn(1)[0], "turns": turns}], batch_size=2)
    assert frame["id"].tolist() == [0, 1, "both"]
    assert model.training
    alone = ReferenceModel(model.eval(), processor, model.device, model.dtype)
    asked = [(picture, [Turn(question, response)]) for picture, question, response in samples]
    asked.append((drawn(1)[0], [Turn(*turn) for turn in turns]))
    for row, (picture, said) in zip(frame.itertuples(), asked, strict=True):
        bare = [turn._replace(question="") for turn in said]
        assert row.loss_with_question == pytest.approx(independent(alone, picture, said), abs=1e-4)
        assert row.loss_without_question == pytest.approx(independent(alone, picture, bare), abs=1e-4)
        assert row.irs == relevance(row.loss_with_question, row.loss_without_question)


def scored(builtin: ReferenceModel, samples: Any, **settings: Any) -> pd.DataFrame:
    return presel.irs(builtin.model, builtin.processor, samples, **settings)


def test_samples_and_pictures_may_come_in_any_form(builtin: ReferenceModel, tmp_path: Path) -> None:
    picture = drawn(1)[0]
    saved, data = tmp_path / "picture.png", io.BytesIO()
    picture.save(saved)
    picture.save(data, "PNG")
    pictures = [picture, saved, str(saved), data.getvalue(), np.asarray(picture)]
    samples: list[Any] = [(one, QUESTION, RESPONSE) for one in pictures]
    samples += [
        [picture, QUESTION, RESPONSE],
        {"image": picture, "question": QUESTION, "response": RESPONSE, "task": "colour"},
        {"image": picture, "turns": [{"question": QUESTION, "response": RESPONSE}], "sample_id": "s"},
        {"image": picture, "turns": np.array([[QUESTION, RESPONSE]])},
    ]
    for given in (samples, iter(samples), tuple(samples)):
        frame = scored(builtin, given)
        assert frame["irs"].notna().all()
        assert frame["loss_with_question"].max() - frame["loss_with_question"].min() <= 1e-4
    assert frame["id"].tolist() == [0, 1, 2, 3, 4, 5, 6, "s", 8]
    assert frame["task"].tolist()[6] == "colour"
    table = pd.DataFrame({"image": [saved] * 2, "question": [QUESTION] * 2, "response": [RESPONSE] * 2}, index=[7, 7])
    assert scored(builtin, table)["irs"].tolist() == pytest.approx([frame["irs"][0]] * 2, abs=1e-4)


def test_a_picture_is_scored_upright_and_without_alpha(builtin: ReferenceModel, tmp_path: Path) -> None:
    picture = drawn(1)[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture.transpose(Image.Transpose.ROTATE_90).convert("RGBA")
    turned.save(tmp_path / "turned.png", exif=exif)
    given = [picture, tmp_path / "turned.png", Image.open(tmp_path / "turned.png")]
    frame = scored(builtin, [(one, QUESTION, RESPONSE) for one in given])
    assert frame["loss_with_question"].tolist() == pytest.approx([frame["loss_with_question"][0]] * 3, abs=1e-4)


def test_what_cannot_be_scored_keeps_its_row_and_says_why(builtin: ReferenceModel) -> None:
    good = (drawn(1)[0], QUESTION, RESPONSE)
    samples = [(b"no picture", QUESTION, RESPONSE), good, (good[0], QUESTION, " "), (good[0], "word " * 400, RESPONSE)]
    frame = scored(builtin, samples, max_length=200)
    assert frame["reason"].fillna("").tolist() == ["not_an_image", "", "empty_response", "too_long"]
    assert frame["irs"].isna().tolist() == [True, False, True, True]
    assert math.isfinite(frame["irs"][1])


def test_a_published_dataset_can_be_scored(builtin: ReferenceModel, tmp_path: Path) -> None:
    ref = publish_drawn(tmp_path, ["colour", "chart"], 2)
    data = presel.open_dataset(tmp_path / "store", "demo")
    frame = scored(builtin, data)
    assert len(frame) == ref.records
    assert frame["id"].tolist() == [record["sample_id"] for record in data]
    assert set(frame["task"]) == {"colour", "chart"}
    plan = presel.plan(["chart", "colour"] * 50, irs=frame)
    assert plan["scored"].tolist() == [2, 2]


def test_the_floor_and_the_batch_size_do_what_they_say(builtin: ReferenceModel) -> None:
    samples = [(picture, QUESTION, RESPONSE) for picture in drawn(3)]
    one, three = (scored(builtin, samples, batch_size=size) for size in (1, 3))
    assert one["irs"].tolist() == pytest.approx(three["irs"].tolist(), abs=1e-4)
    assert scored(builtin, samples, loss_floor=100.0)["irs"].tolist() == [1.0] * 3


def test_no_sample_is_an_empty_frame(builtin: ReferenceModel) -> None:
    assert scored(builtin, []).columns.tolist()[:6] == [
        "id", "task", "response_tokens", "loss_with_question", "loss_without_question", "irs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([("a.png", QUESTION)], "sample 0 cannot be read"),
        ([{"image": "a.png", "question": QUESTION}], "sample 0 cannot be read"),
        ([{"question": QUESTION, "response": RESPONSE}], "sample 0 cannot be read"),
        ([("a.png", 3, RESPONSE)], "sample 0 cannot be read"),
        ([{"image": "a.png", "turns": QUESTION}], "sample 0 cannot be read"),
        ([7], "sample 0 cannot be read"),
        ("a.png", "samples must be several"),
        ({"image": "a.png"}, "samples must be several"),
        ([("/nowhere/a.png", QUESTION, RESPONSE)], "the picture cannot be read"),
        ([(object(), QUESTION, RESPONSE)], "this is no picture"),
    ],
)
def test_samples_of_another_shape_are_said_in_words(builtin: ReferenceModel, samples: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        scored(builtin, samples)


def test_a_model_or_processor_that_cannot_serve_is_said_in_words(builtin: ReferenceModel) -> None:
    with pytest.raises(InputError, match="not a model that can be scored"):
        presel.irs(builtin.processor, builtin.processor, [])
    with pytest.raises(ModelError, match="no fast tokenizer"):
        presel.irs(builtin.model, builtin.model, [])
    with pytest.raises(InputError, match="unknown turns"):
        scored(builtin, [], turns="first")
