"""A template that cannot be rendered, or would never end, is a mistake in the configuration and said in words."""

from __future__ import annotations

import time

import pytest

from presel.config import PromptConfig
from presel.errors import ConfigError
from presel.instruct.questions.prompts import render

WRONG = [
    "{{ 1/0 }}",
    "{% for i in range(10**9) %}x{% endfor %}",
    "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
    "{{ range(10**9)|list }}",
    "{{ 'a' * 10**10 }}",
    "{{ [0] * 10**10 }}",
    "{{ 10**10**10 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ task|center(1000000000) }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{{ none() }}",
    "{{ task.nothing }}",
    "{{ unknown }}",
    "{% if",
]


@pytest.mark.parametrize("template", WRONG)
def test_a_template_that_cannot_be_rendered_is_said_in_words(template: str) -> None:
    started = time.process_time()
    with pytest.raises(ConfigError, match="the template does not render") as caught:
        render(PromptConfig(kind="custom", template=template), "dogs")
    assert caught.value.exit_code == 2
    assert time.process_time() - started < 1


def test_a_template_may_count_and_calculate() -> None:
    template = "{% for i in range(3) %}{{ i * 2 }} {% endfor %}{{ 7 % 4 }} {{ turns ** 2 }} {{ task|upper }}"
    assert render(PromptConfig(kind="custom", template=template), "dogs")[1] == "0 2 4 3 1 DOGS"
