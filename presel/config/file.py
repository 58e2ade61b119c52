"""Reading a configuration file: YAML in, a RefreshConfig out, or every mistake in it with its line.

Pydantic says which field is wrong; YAML's own nodes say on which line it stands. Both are put together, so that the
answer to a typo is `presel.yaml:12: generator.max_cost: ...`, not a stack of validation frames.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from presel.config import RefreshConfig
from presel.config.address import resolved
from presel.config.section import SECRET
from presel.errors import ConfigError

Location = Sequence[str | int]


def load(path: Path, overrides: Iterable[str] = ()) -> RefreshConfig:
    """The configuration in a file, with `section.field=value` overrides on top. Relative addresses start from its folder.

    Raises ConfigError naming every mistake.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("the configuration is not UTF-8 text", where=str(path)) from error
    except OSError as error:
        fix = f"write one with `presel init {path}`"
        raise ConfigError("the configuration cannot be read", where=str(path), fix=fix) from error
    tree, data = _parse(text, str(path))
    overrides = list(overrides)
    for override in overrides:
        _override(data, override)
    try:
        return resolved(RefreshConfig.model_validate(data), path.parent)
    except ValidationError as error:
        raise _explained(error, tree, str(path), overrides) from None


def _parse(text: str, where: str) -> tuple[yaml.Node | None, dict[str, Any]]:
    try:
        tree, data = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _not_yaml(error, where) from None
    if not isinstance(data, dict):
        raise ConfigError(
            "a configuration is a mapping of sections", where=where, expected="source:, store:, ...", got=data
        )
    return tree, data


def _override(data: dict[str, Any], override: str) -> None:
    name, separator, value = override.partition("=")
    if not separator:
        raise ConfigError("an override has no value", where=override, expected="section.field=value", got=override)
    *sections, field = name.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigError("an override goes through a plain value", where=override, expected="a section", got=data)
    try:
        data[field] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise _not_yaml(error, f"--set {override}") from None


def _not_yaml(error: yaml.YAMLError, where: str) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    return ConfigError(f"not valid YAML: {said}", where=f"{where}:{mark.line + 1}" if mark else where)


def _explained(error: ValidationError, tree: yaml.Node | None, where: str, overrides: Sequence[str]) -> ConfigError:
    mistakes: dict[str, list[str]] = {}
    for item in error.errors():
        location = _without_union_tags(item["loc"])
        place = _override_of(location, overrides, tree) or f"{where}:{_line_of(tree, location)}"
        name = ".".join(str(part) for part in location) or "configuration"
        said = _said(item["type"], item["msg"], item["input"], location)
        mistakes.setdefault(f"{place}: {name}", []).append(said)
    lines = [f"{at}: {_either(list(dict.fromkeys(said)))}" for at, said in mistakes.items()]
    count = "one mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return ConfigError("\n  ".join([f"{count} in the configuration, nothing was started:", *lines]))


def _either(said: list[str]) -> str:
    """One sentence of what each alternative of a field says of the same value."""
    *others, last = said
    got = last.rpartition(", got ")
    ending = f", got {got[2]}" if got[1] else ""
    return " or ".join([*(text.removesuffix(ending) for text in others), last])


def _override_of(location: Location, overrides: Sequence[str], tree: yaml.Node | None) -> str | None:
    """The last override that says something at or above this place, or below one that the file does not have."""
    said = [str(part) for part in location]
    for override in reversed(overrides):
        parts = override.partition("=")[0].split(".")
        if parts == said[: len(parts)] or (said == parts[: len(said)] and not _is_there(tree, said)):
            return f"--set {override}"
    return None


def _is_there(node: yaml.Node | None, location: Location) -> bool:
    """Whether a file says something at this place."""
    for part in location:
        if not isinstance(node, yaml.MappingNode):
            return False
        node = next((value for key, value in node.value if key.value == part), None)
    return node is not None


def _said(kind: str, message: str, got: object, location: Location) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _fields_at(location[:-1]), n=1)
        return "there is no such field" + (f"; did you mean `{near[0]}`?" if near else "")
    if kind == "missing":
        return "this field is required and not set"
    if kind == SECRET:
        return message
    message = message.removeprefix("Value error, ")
    return message if isinstance(got, dict) else f"{message[0].lower()}{message[1:]}, got {got!r}"


def _fields_at(location: Location) -> list[str]:
    model: Any = RefreshConfig
    for part in location:
        field = model.model_fields.get(str(part))
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
        if model is None:
            return []
    return list(model.model_fields)


def _without_union_tags(location: Location) -> Location:
    """Pydantic appends the tried alternative of a union (`float`, `literal['unlimited']`) to the path."""
    tags = {"float", "int", "str", "constrained-float", "bool", "TaskRule"}
    return [p for p in location if not (isinstance(p, str) and (p in tags or p.startswith("literal[")))]


def _line_of(node: yaml.Node | None, location: Location) -> int:
    """The line of the deepest part of `location` that stands in the file, from 1."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in location:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
