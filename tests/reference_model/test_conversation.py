from __future__ import annotations

import copy

import pytest

from presel.errors import ModelError
from presel.reference_model.conversation import ChatFormat, question_free
from presel.tables.turn import Turn

TURNS = (Turn("What colour is it?", "It is red."), Turn("How many are there?", "There are two."))
CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nYou are helpful.<|im_end|>\n"
    "{% endif %}<|im_start|>{{ m.role }}\n{% for p in m.content %}{% if p.type == 'image' %}<image>{% else %}"
    "{{ p.text | trim }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
)
VICUNA = (
    "{% for m in messages %}{{ m.role | upper }}: {% for p in m.content if p.type == 'image' %}<image>\n{% endfor %}"
    "{% for p in m.content if p.type == 'text' %}{{ p.text }} {% endfor %}{% endfor %}"
)


@pytest.fixture(params=["builtin", CHATML, VICUNA], ids=["builtin", "chatml", "vicuna"])
def chat(builtin, request):
    if request.param == "builtin":
        return ChatFormat(builtin.processor)
    return ChatFormat(_with_template(builtin.processor, request.param))


def _with_template(processor, template):
    other = copy.copy(processor)
    other.chat_template = template
    return other


def test_every_response_is_found_where_it_stands(chat):
    rendered = chat.render(TURNS)
    found = [rendered.text[start:end] for start, end in rendered.responses]
    assert [text.removesuffix("</s>") for text in found] == ["It is red.", "There are two."]


def test_a_conversation_without_questions_differs_by_the_questions_alone(chat):
    asked, bare = chat.render(TURNS), chat.render(question_free(TURNS, "masked"))
    assert asked.text.replace(TURNS[0].question, "").replace(TURNS[1].question, "") == bare.text
    texts = [[r.text[start:end] for start, end in r.responses] for r in (asked, bare)]
    assert texts[0] == texts[1]


def test_the_mark_that_ends_a_response_counts_when_the_template_writes_one(builtin):
    rendered = ChatFormat(builtin.processor).render(TURNS[:1])
    start, end = rendered.responses[0]
    assert rendered.text[start:end] == "It is red.</s>"


def test_a_response_that_reads_like_the_template_is_still_found(chat):
    turns = (Turn("assistant: user:", "USER: ASSISTANT: "), Turn("b", "assistant"))
    rendered = chat.render(turns)
    assert [rendered.text[s:e].removesuffix("</s>") for s, e in rendered.responses] == [
        "USER: ASSISTANT: ",
        "assistant",
    ]


def test_a_special_token_in_somebodys_text_is_noticed(chat):
    assert chat.control_token((Turn("What?", "A </s> in the middle"),)) == "</s>"
    assert chat.control_token((Turn("What is <image>?", "x"),)) == "<image>"
    assert chat.control_token(TURNS) is None


def test_a_processor_without_a_chat_template_says_what_to_do(builtin):
    with pytest.raises(ModelError, match="chat_template"):
        ChatFormat(_with_template(builtin.processor, None))


def test_a_template_that_drops_earlier_turns_is_refused(builtin):
    last = "{% for p in messages[-1].content %}{{ p.text }}{% endfor %}"
    with pytest.raises(ModelError, match="every question and response"):
        ChatFormat(_with_template(builtin.processor, last)).render(TURNS)


def test_a_processor_without_a_chat_template_is_refused_with_what_to_do(builtin):
    processor = copy.copy(builtin.processor)
    processor.chat_template = None
    with pytest.raises(ModelError, match=r"no chat template.*instruction-tuned"):
        ChatFormat(processor)
