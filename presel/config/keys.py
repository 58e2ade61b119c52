"""One function names everything: stage, version, the digests of its inputs and its own settings, hashed.

The key is what makes a run resumable: the same question finds the same answer, in the same run, in a retry, in tomorrow's
schedule, on another machine. So it holds everything that can change a stage's bytes and nothing else. Data enters by
its digest (never by where it lies), settings by their values, and settings that only change *how* the work is done
(batch size, concurrency, money cap) are marked `Operational` in config/ and stay out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, BinaryIO

from pydantic import BaseModel


class Operational:
    """Marks a config field that changes how a stage works but never what it returns."""


class SettledByStage:
    """Marks a config field that only says what is wished, such as `device: auto`.

    The stage finds out what it means on this machine and has that in its key, where it changes a byte (`Stage.outside`).
    """


class InKeyUnless:
    """Marks a config field that is in no key at this value: what was made before the field existed is found again."""

    def __init__(self, value: object) -> None:
        self.value = value


def digest(data: bytes | BinaryIO) -> str:
    """SHA-256 of bytes or of a whole file as 64 hex characters: the `content` of an image, the `digest` of a table."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    data.seek(0)
    found = hashlib.sha256()
    while piece := data.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def short_digest(*parts: str) -> str:
    """32 hex characters over several strings, unambiguous about where one ends: ids of images and samples."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def image_id(key: str, etag: str, task: str = "") -> str:
    """Identity of an object as listed, before a byte of it is read. `task`: where it is not the key that says it."""
    return short_digest("image", key, etag, *([task] if task else []))


def sample_id(task: str, content: str) -> str:
    """Identity of a sample: (task, image content). A copy or a re-upload is the same sample, wherever the pool lies."""
    return short_digest("sample", task, content)


def stage_key(stage: str, version: int, inputs: Mapping[str, object]) -> str:
    """32 hex characters that name one stage's output.

    `inputs` maps parameter names to table references, config sections, numbers, strings, or lists of these. The order
    of the mapping does not matter.
    """
    document = {"stage": stage, "version": version, "inputs": {k: canonical(v) for k, v in sorted(inputs.items())}}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def canonical(value: object) -> Any:
    """A value as JSON that depends on content alone: references become digests, operational settings disappear."""
    if isinstance(value, BaseModel):
        return _canonical_model(value)
    if isinstance(value, Enum):
        return canonical(value.value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(k): canonical(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [canonical(v) for v in value]
    raise TypeError(f"a {type(value).__name__} has no canonical form: pass a table reference or a config section")


def _canonical_model(model: BaseModel) -> Any:
    content = getattr(model, "digest", None)
    if isinstance(content, str):
        return {"digest": content}
    named = ((name, getattr(model, name), field) for name, field in sorted(type(model).model_fields.items()))
    return {name: canonical(value) for name, value, field in named if _counts(value, field.metadata)}


def _counts(value: object, marks: Sequence[object]) -> bool:
    if Operational in marks or SettledByStage in marks:
        return False
    return not any(isinstance(mark, InKeyUnless) and mark.value == value for mark in marks)
