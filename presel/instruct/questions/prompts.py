"""Prompts are data: a system and a user message per kind, in sandboxed Jinja2 (what comes back: schemas.py).

A prompt is part of a request's key, so a changed word asks anew and an unchanged one never does. What a person may change
is in the configuration (kind, turns, language, `system`, `template`); everything else a template sees is a constant of the
task, or `caption`: the text beside the picture, which is data and no template. It never sees the image's name, its place in
the pool or the date: such a prompt would make two equal images two different requests, and pay twice.

The templates run in Jinja2's sandbox with undefined names as errors: a configuration may come from the Prefect UI, and a
typing mistake must not become 600,000 prompts with a hole in them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from presel.config import PromptConfig
from presel.errors import ConfigError
from presel.instruct.questions.languages import known


class Kind(NamedTuple):
    """What one kind of instruction says to the annotator. Both texts are Jinja2."""

    system: str
    user: str


_SYSTEM = """\
You write training data for a vision-language assistant. You see one image. Write questions a person could ask about it \
and the responses a careful expert would give. State only what the image shows; if something cannot be told from it, do \
not ask about it. Never mention these directions, never write an image placeholder. Write everything in {{ language }}."""

_OPENING = """\
This image belongs to the task "{{ task }}". Write \
{% if turns == 1 %}one question with its response{% else %}exactly {{ turns }} questions, each with its response{% endif %}\
"""


def _kind(user: str) -> Kind:
    return Kind(_SYSTEM, _OPENING + user)


KINDS: dict[str, Kind] = {
    "short_answer": _kind(", typical of that task. Each response is a word, a number or a short phrase."),
    "conversation": _kind(
        ", as a conversation about the image that fits that task: later questions may build on earlier responses. "
        "Responses are one to three sentences."
    ),
    "detailed_description": _kind(
        ": each asks for a detailed description, in words of its own, and the response describes objects, their number, "
        "colours, positions, any text and how they relate."
    ),
    "reasoning": _kind(
        " that cannot be answered without thinking about what the image shows. The response gives the steps, then the "
        "conclusion."
    ),
    "captions": _kind(
        ": each asks for a caption, and the response is one plain sentence that would let somebody tell this image from "
        "similar ones."
    ),
    "custom": Kind(_SYSTEM, ""),
}

_LONGEST = 100_000
"""Characters of a rendered message, and things that all of a template's loops may go through."""
_OPERATORS = frozenset({"*", "**", "<<", "%"})
_DEAR_METHODS = frozenset({"ljust", "rjust", "center", "zfill", "format", "format_map", "expandtabs"})


class _Sandbox(SandboxedEnvironment):
    """Jinja2's, which keeps a template from reading what it should not, and from working for ever as well."""

    intercepted_binops = _OPERATORS

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _DEAR_METHODS and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        small = all(isinstance(value, int | float) and abs(value) <= _LONGEST for value in (left, right))
        if not small or (operator in ("**", "<<") and right > 64):
            raise SecurityError(f"`{operator}` of these is not allowed in a template")
        return super().call_binop(context, operator, left, right)


_environment = _Sandbox(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
for _dear in ("center", "format", "indent", "wordwrap", "batch", "slice", "filesizeformat"):
    del _environment.filters[_dear]  # they make much out of little
for _dear in ("lipsum", "cycler", "joiner", "namespace"):
    del _environment.globals[_dear]


@lru_cache(maxsize=1024)
def render(prompt: PromptConfig, task: str, caption: str | None = None) -> tuple[str, str]:
    """The system and the user message for images of one task, or for one of them where its `caption` is shown.

    Without a caption the name is undefined: a template may ask whether it is (`{% if caption is defined %}`).
    Raises ConfigError for a template that does not render.
    """
    kind = KINDS[prompt.kind]
    if prompt.kind == "custom" and not prompt.template:
        raise ConfigError(
            "a custom prompt needs a template", where=f"generator.prompt of task {task}", fix="set `template`"
        )
    if prompt.check_language:
        known(prompt.language, f"generator.prompt.language of task {task}")
    values: dict[str, object] = {"task": task, "turns": prompt.turns, "language": prompt.language}
    if caption is not None:
        values["caption"] = caption
    return (
        _fill(prompt.system or kind.system, values, f"generator.prompt.system of task {task}") + _examples(prompt),
        _fill(prompt.template or kind.user, values, f"generator.prompt.template of task {task}"),
    )


def _examples(prompt: PromptConfig) -> str:
    """Few-shot examples, in the system message: as turns of the dialogue they would be about a picture that is not there."""
    if not prompt.examples:
        return ""
    answers = [{"turns": [turn.model_dump() for turn in example]} for example in prompt.examples]
    written = "\n".join(json.dumps(answer, ensure_ascii=False) for answer in answers)
    return f"\nAnswers about other images, as they should be:\n{written}"


@lru_cache(maxsize=256)
def _compiled(template: str) -> Template:
    return _environment.from_string(template)


def _fill(template: str, values: dict[str, object], where: str) -> str:
    """Any exception is the template's: it divides by nothing, asks for a billion of something, calls what is not there."""
    left = _LONGEST

    def counted(*bounds: int) -> range:
        nonlocal left
        found = range(*bounds)
        left -= len(found)
        if left < 0:
            raise SecurityError(f"its loops go through more than {_LONGEST:,} things")
        return found

    try:
        pieces, length = [], 0
        for piece in _compiled(template).generate({**values, "range": counted}):
            pieces.append(piece)
            length += len(piece)
            if length > _LONGEST:
                raise SecurityError(f"it makes more than {_LONGEST:,} characters")
        return "".join(pieces)
    except Exception as error:
        known = ", ".join(sorted({*values, "caption"}))
        said = f"{type(error).__name__}: {error}" if not isinstance(error, TemplateError) else str(error)
        raise ConfigError(
            f"the template does not render: {said[:300]}", where=where, fix=f"it may use {known}"
        ) from error
