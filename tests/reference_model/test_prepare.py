from __future__ import annotations

import pytest
from PIL import Image

from presel.reference_model.conversation import ChatFormat, question_free
from presel.reference_model.prepare import Prepared, Preparer, Unusable
from presel.tables.turn import Turn
from tests.reference_model.drawn import ALL, prepared, samples

PICTURE = Image.new("RGB", (80, 50), (200, 30, 30))
TURNS = (Turn("What colour is it?", "It is red."), Turn("How many are there?", "There are two."))


@pytest.fixture
def prepare(builtin):
    return Preparer(builtin.processor, 512)


def test_both_sequences_hold_the_same_response_tokens(prepare, builtin):
    sample = prepare("a", PICTURE, TURNS)
    first, second = sample.with_question, sample.without_question
    said = [first.ids[at] for at in first.response]
    assert said == [second.ids[at] for at in second.response]
    assert builtin.processor.tokenizer.decode(said) == "It is red.</s>There are two.</s>"


def test_the_spliced_question_free_tokens_are_the_processors_own(prepare, builtin):
    bare = ChatFormat(builtin.processor).render(question_free(TURNS, "masked")).text
    own = builtin.processor(text=[bare], images=[PICTURE], add_special_tokens=False, return_tensors="pt")
    assert prepare("a", PICTURE, TURNS).without_question.ids == own["input_ids"][0].tolist()


def test_the_shared_prefix_holds_the_whole_image_and_nothing_to_predict(prepare, builtin):
    sample = prepare("a", PICTURE, TURNS)
    image = builtin.processor.tokenizer.convert_tokens_to_ids("<image>")
    for tokens in (sample.with_question, sample.without_question):
        assert tokens.ids[: sample.shared].count(image) == 64
        assert image not in tokens.ids[sample.shared :]
        assert sample.shared < tokens.response[0]


def test_an_empty_question_leaves_both_sequences_equal(prepare):
    sample = prepare("a", PICTURE, (Turn("", "It is red."),))
    assert sample.with_question == sample.without_question
    assert 0 < sample.shared < sample.with_question.response[0]


def test_a_sample_whose_response_would_be_cut_is_too_long(builtin):
    length = len(Preparer(builtin.processor, 512)("a", PICTURE, TURNS).with_question.ids)
    assert isinstance(Preparer(builtin.processor, length)("a", PICTURE, TURNS), Prepared)
    cut = Preparer(builtin.processor, length - 1)("a", PICTURE, TURNS)
    assert cut == Unusable("too_long", f"{length} tokens, the limit is {length - 1}")


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ((), "empty_response"),
        ((Turn("What?", "  "),), "empty_response"),
        ((Turn("What?", "Red."), Turn("And?", "")), "empty_response"),
        ((Turn("What is <image>?", "Red."),), "control_token"),
    ],
)
def test_what_cannot_be_scored_has_a_reason(prepare, turns, reason):
    assert prepare("a", PICTURE, turns).reason == reason


def test_every_task_of_the_demo_can_be_prepared(builtin, tmp_path):
    made = samples(tmp_path, ALL, 1, turns=3)
    assert len(prepared(tmp_path, made, builtin.processor)) == len(ALL)
