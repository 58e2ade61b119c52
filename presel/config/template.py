"""A commented configuration file, written from the models themselves, so that it cannot fall behind them."""

from __future__ import annotations

import json
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


def render(**filled: object) -> str:
    """YAML text of a whole configuration: required fields with examples, every default commented out with its meaning.

    `filled` replaces values by dotted name with `__` for the dot (`source__uri="pool"`).
    """
    values = {**_TO_FILL_IN, **{name.replace("__", "."): value for name, value in filled.items()}}
    return _HEADER + "\n".join(_section(RefreshConfig, values, prefix="", indent=0)) + "\n"


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
            lines.append(f"{pad}{name}: {_yaml(values[path])}{_about(field)}")
        else:
            lines.append(f"{pad}# {name}: {_yaml(_default(field))}{_about(field)}")
    return lines


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    annotation: object = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _about(field: FieldInfo) -> str:
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    words = field.description or (" | ".join(choices) if choices else "")
    return f"  # {words}" if words else ""


def _default(field: FieldInfo) -> Any:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _yaml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
