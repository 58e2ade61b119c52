from __future__ import annotations

import json
from dataclasses import replace

import pytest

from presel.config import GeneratorConfig, PromptConfig
from presel.errors import ConfigError
from presel.instruct.questions.prompts import KINDS, render
from presel.instruct.questions.request import Request, opening

CONTENT = "ab" * 32


def request(**settings: object) -> Request:
    return opening(CONTENT, "charts", GeneratorConfig(max_cost=1.0, **settings))  # type: ignore[arg-type]


def test_the_key_is_that_of_the_content_and_of_every_word_that_is_sent() -> None:
    document = request().document()
    assert document["content"] == CONTENT
    assert document["model"] == "gpt-4.1-mini"
    assert "charts" in json.dumps(document["messages"])


def test_the_key_is_stable_between_releases() -> None:
    """A changed key buys everything again: whoever breaks this test must want to."""
    assert request().key == "3fd3e86e3cfe9709a5408cb5f89c8a31"
    assert [older.key for older in request().earlier()] == ["176027cb372396a24d017627997fdb07"]


def test_another_content_schema_or_way_to_make_the_picture_is_another_question() -> None:
    config = GeneratorConfig(max_cost=1.0)
    other = [
        opening("cd" * 32, "charts", config),
        opening(CONTENT, "charts", config, picture_version=3),
        replace(request(), schema={"type": "object"}),
    ]
    assert len({request().key, *(asked.key for asked in other)}) == 4


def test_the_last_slash_of_an_address_is_not_another_endpoint() -> None:
    assert request(base_url="http://a/v1/").key == request(base_url="http://a/v1").key


def test_the_picture_is_sent_in_place_of_its_placeholder() -> None:
    sent = json.loads(request().body(b"AAAA"))["messages"]
    assert sent[1]["content"][1]["image_url"] == {"url": "data:image/jpeg;base64,AAAA", "detail": "auto"}
    assert CONTENT not in json.dumps(sent)
    assert CONTENT in json.dumps(request().messages)


def test_reasoning_models_get_the_parameters_they_take() -> None:
    assert set(request(model="gpt-5-mini").parameters) == {"max_completion_tokens", "seed"}
    assert set(request(model="gpt-4.1-mini").parameters) == {"max_tokens", "seed", "temperature"}


def test_a_longer_answer_and_a_second_asking_are_requests_of_their_own() -> None:
    first = request()
    longer, again = first.longer(), first.again("{}", "it is empty")
    assert longer.output_limit == 2 * first.output_limit
    assert [message["role"] for message in again.messages] == ["system", "user", "assistant", "user"]
    assert len({first.key, longer.key, again.key, longer.again("{}", "it is empty").key}) == 4


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "custom"])
@pytest.mark.parametrize("turns", [1, 3])
def test_every_kind_says_its_task_its_language_and_how_many(kind: str, turns: int) -> None:
    system, user = render(PromptConfig(kind=kind, turns=turns, language="Suomi"), "charts")  # type: ignore[arg-type]
    assert "Suomi" in system
    assert "charts" in user
    assert ("exactly 3 questions" if turns == 3 else "one question") in user


def test_a_template_of_ones_own_replaces_the_kinds() -> None:
    prompt = PromptConfig(kind="custom", template="Three facts about {{ task }} in {{ language }}.", system="Be brief.")
    assert render(prompt, "charts") == ("Be brief.", "Three facts about charts in English.")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ tsak }}", "'tsak' is undefined"),
        ("{% if %}", "does not render"),
        ("{{ task.__class__.__mro__ }}", "unsafe"),
        ("{{ ''.__class__ }}", "unsafe"),
    ],
)
def test_a_template_that_is_wrong_or_wants_out_of_its_box_is_a_configuration_error(template: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        render(PromptConfig(template=template), "charts")


def test_a_custom_prompt_without_a_template_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="needs a template"):
        render(PromptConfig(kind="custom"), "charts")


def test_examples_are_shown_as_answers_should_be_and_are_in_the_key() -> None:
    example = ({"question": "How many?", "response": "{{ two }}"},)
    prompt = PromptConfig(examples=(example,))  # type: ignore[arg-type]
    system, _ = render(prompt, "charts")
    assert json.loads(system.splitlines()[-1]) == {"turns": list(example)}
    assert request(prompt=prompt).key != request().key
