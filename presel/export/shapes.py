"""The two ways in which trainers write a dialogue, and what a marker of a picture is in each. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from presel.dataset.trainer_formats import MARKER
from presel.export.record import Record


def conversations(record: Record) -> list[dict[str, str]]:
    """LLaVA's turns: as many markers as pictures, before the first question."""
    said = []
    for ordinal, (question, answer) in enumerate(record.turns):
        said.append({"from": "human", "value": _marked(record, question, "\n") if ordinal == 0 else question})
        said.append({"from": "gpt", "value": answer})
    return said


def turns_of(said: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """The questions and answers of `conversations`, without the markers that are not words."""
    questions, answers = [part["value"] for part in said[::2]], [part["value"] for part in said[1::2]]
    while questions and questions[0].startswith(f"{MARKER}\n"):
        questions[0] = questions[0].removeprefix(f"{MARKER}\n")
    return [{"question": each, "response": answer} for each, answer in zip(questions, answers, strict=True)]


def llava(record: Record, files: list[str]) -> dict[str, Any]:
    """LLaVA's record: `image` is a path, of several pictures a list, and absent where there is none."""
    image: dict[str, Any] = {"image": files[0] if len(files) == 1 else files} if files else {}
    return {"id": record.id, **image, "conversations": conversations(record)}


def messages(record: Record) -> list[dict[str, str]]:
    """Chat messages whose content is text with markers."""
    said = []
    for ordinal, (question, answer) in enumerate(record.turns):
        said.append({"role": "user", "content": _marked(record, question, "") if ordinal == 0 else question})
        said.append({"role": "assistant", "content": answer})
    return said


def typed_messages(record: Record) -> list[dict[str, Any]]:
    """Chat messages whose content is a list of parts, one for each picture and one for the text."""
    said: list[dict[str, Any]] = []
    for ordinal, (question, answer) in enumerate(record.turns):
        pictures = [{"type": "image"} for _ in record.wanted] if ordinal == 0 else []
        said.append({"role": "user", "content": [*pictures, _text(question)]})
        said.append({"role": "assistant", "content": [_text(answer)]})
    return said


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _marked(record: Record, question: str, between: str) -> str:
    return f"{MARKER}{between}" * len(record.wanted) + question
