"""Configuration files to start from, written from the models themselves, so that they cannot fall behind them: a short one of
the fields that matter, and a whole one."""

from __future__ import annotations

import json
import textwrap
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from presel.config import RefreshConfig

_TO_FILL_IN: dict[str, object] = {
    "source.uri": "s3://my-bucket/images",
    "store": "s3://my-bucket/presel",
    "generator.max_cost": 25.0,
}
_HEADER = """\
# presel: choose the images worth instructing, pay only for those.
# Check it with `presel doctor`, see the price with `presel plan`, run it with `presel run`.
# Secrets stay out of this file: the API key and S3 credentials come from the environment.
"""
_WIDEST = 100
_MATTERS = {
    "source.uri": "s3://bucket/prefix or a folder of images",
    "source.tasks": "prefix: the first folder of a name is its task; single: one task for all",
    "store": "what presel makes: tables, paid answers, dataset versions",
    "generator.model": "writes the instructions",
    "generator.base_url": "any server that speaks /chat/completions",
    "generator.api_key_env": "the environment variable that holds the key",
    "generator.max_cost": "US dollars that this store may spend in all",
    "budget.share": "of the usable images, the reference set included",
    "dataset.name": "",
}
"""The fields of a short file, in their order, and what each means in few words."""
_SHORT_HEADER = f"{_HEADER}# `presel init --full` writes every setting with its meaning.\n\n"


def render(**filled: object) -> str:
    """YAML text of a whole configuration: required fields with examples, every default commented out with its meaning.

    `filled` replaces values by dotted name with `__` for the dot (`source__uri="pool"`).
    """
    values = {**_TO_FILL_IN, **{name.replace("__", "."): value for name, value in filled.items()}}
    return _HEADER + "\n".join(_section(RefreshConfig, values, prefix="", indent=0)) + "\n"


def short(**filled: object) -> str:
    """YAML text of the fields that matter, and of every other one that is filled in. `filled` as in `render`."""
    given = {name.replace("__", "."): value for name, value in filled.items()}
    named = [*_MATTERS, *(name for name in given if name not in _MATTERS)]
    lines, sections = [], dict.fromkeys(name.partition(".")[0] for name in named)
    for section in sections:
        within = [name for name in named if name.partition(".")[0] == section]
        if within != [section]:
            lines.append(f"{section}:")
        for name in within:
            value = given[name] if name in given else _TO_FILL_IN.get(name, _default_of(name))
            line = f"{'  ' if '.' in name else ''}{name.rpartition('.')[2]}: {_yaml(value)}"
            about = _MATTERS.get(name)
            lines.append(f"{line:<34}  # {about}" if about else line)
    return _SHORT_HEADER + "\n".join(lines) + "\n"


def _default_of(name: str) -> Any:
    model: type[BaseModel] = RefreshConfig
    *sections, last = name.split(".")
    for section in sections:
        nested = _nested(model.model_fields[section])
        assert nested is not None
        model = nested
    return _default(model.model_fields[last])


def _section(model: type[BaseModel], values: dict[str, object], prefix: str, indent: int) -> list[str]:
    lines: list[str] = []
    for name, field in model.model_fields.items():
        path = f"{prefix}{name}"
        nested = _nested(field)
        pad = "  " * indent
        if nested is not None:
            used = any(key.startswith(f"{path}.") for key in values)
            about = (nested.__doc__ or "").strip().splitlines()
            lines += ["", f"{pad}# {about[0]}"] if about and indent == 0 else []
            mark = "" if used else "# "
            lines += [f"{pad}{mark}{name}:", *_section(nested, values, f"{path}.", indent + 1)]
        elif path in values:
            lines += _line(f"{pad}{name}: {_yaml(values[path])}", _about(field), pad)
        else:
            lines += _line(f"{pad}# {name}: {_yaml(_default(field))}", _about(field), pad)
    return lines


def _line(setting: str, about: str, pad: str) -> list[str]:
    """A setting with its meaning beside it, or above it where that would be too wide."""
    beside = f"{setting}  # {about}" if about else setting
    if not about or len(beside) <= _WIDEST:
        return [beside]
    marked = f"{pad}## "
    return [*textwrap.wrap(about, _WIDEST, initial_indent=marked, subsequent_indent=marked), setting]


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    annotation: object = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _about(field: FieldInfo) -> str:
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    return field.description or (" | ".join(choices) if choices else "")


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _yaml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
