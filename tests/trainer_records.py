"""A trainer's record read back: its pairs of question and response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from presel.dataset.trainer_formats import MARKER


def turns_of_llava(record: Mapping[str, Any]) -> list[dict[str, str]]:
    said = [part["value"] for part in record["conversations"]]
    return _pairs([said[0].removeprefix(f"{MARKER}\n"), *said[1:]] if said else [])


def turns_of_messages(record: Mapping[str, Any]) -> list[dict[str, str]]:
    return _pairs([part["text"] for said in record["messages"] for part in said["content"] if part["type"] == "text"])


def _pairs(said: Sequence[str]) -> list[dict[str, str]]:
    return [{"question": q, "response": r} for q, r in zip(said[0::2], said[1::2], strict=True)]
