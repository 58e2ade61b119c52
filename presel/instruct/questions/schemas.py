"""What an answer must be, as a JSON schema: ours, or one of a prompt's own.

A schema of one's own may ask for more (a rationale, boxes, a level of difficulty), bound what there is (`enum`, `maxLength`,
`pattern`) or make the response itself a structure, which a record then holds as JSON. It goes to the provider, is part of the
request's key, and is checked here all the same: many servers take a schema and ignore half of it. Turns stay the frame, since
records, reference model and trainers all speak of a question and a response.

The words for a violation are ours, not the validator's: they go into the follow-up request and so into its key, and a new
release of a library must not ask anything again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema

from presel.config import PromptConfig
from presel.errors import ConfigError

Schema = Mapping[str, Any]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "turns": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"question": {"type": "string"}, "response": {"type": "string"}},
                "required": ["question", "response"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["turns"],
    "additionalProperties": False,
}
"""How many turns is asked for in words and checked by us: some servers refuse `minItems`."""


def schema_of(prompt: PromptConfig, where: str = "generator.prompt") -> Schema:
    """The schema of a prompt's answers. Raises ConfigError for one that is none, or that has no place for turns."""
    return SCHEMA if prompt.answer_schema is None else _checked(prompt.answer_schema, f"{where}.answer_schema")


def is_own(schema: Schema) -> bool:
    """Whether a schema is a prompt's own: for turns, and not the one that all other prompts have."""
    return schema != SCHEMA and "turns" in schema.get("properties", {})


def is_closed(schema: Schema) -> bool:
    """Whether every object requires all it names and allows no more: what providers demand of a schema they enforce."""
    objects = [node for node in _nodes(schema) if isinstance(node.get("properties"), Mapping)]
    return all(
        node.get("additionalProperties") is False and set(node.get("required") or ()) == set(node["properties"])
        for node in objects
    )


def violation(document: Any, schema: Schema) -> str | None:
    """Where a document first breaks a schema, in words; None: nowhere."""
    try:
        found = [(error.json_path, str(error.validator), error.validator_value) for error in _errors(document, schema)]
    except RecursionError:
        return "it is nested too deeply"
    if not found:
        return None
    path, rule, value = min(found, key=lambda error: error[:2])
    return f"{path} does not satisfy {rule}: {json.dumps(value, ensure_ascii=False)}"[:300]


def _errors(document: Any, schema: Schema) -> Iterator[Any]:
    errors: Iterator[Any] = _validator(json.dumps(schema)).iter_errors(document)
    return errors


@lru_cache(maxsize=64)
def _validator(text: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads(text))


@lru_cache(maxsize=64)
def _checked(text: str, where: str) -> Schema:
    schema = json.loads(text)
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ConfigError(f"not a JSON schema: {error.message}"[:300], where=where) from None
    references = [str(node["$ref"]) for node in _nodes(schema) if "$ref" in node]
    if any(not reference.startswith("#") for reference in references):
        raise ConfigError("a reference leads out of the schema", where=where, fix="put what it names under `$defs`")
    if not _has_turns(schema):
        raise ConfigError(
            "the schema has no place for question and response",
            where=where,
            expected="an object with `turns`, an array of objects that have `question` (a string) and `response`",
            fix="add fields to these objects, or beside `turns`",
        )
    found: Schema = schema
    return found


def _has_turns(schema: Schema) -> bool:
    turns = _property(schema, schema, "turns")
    item = _resolved(turns.get("items"), schema)
    return _property(item, schema, "question").get("type") == "string" and bool(_property(item, schema, "response"))


def _property(node: Schema, root: Schema, name: str) -> Schema:
    properties = node.get("properties")
    return _resolved(properties.get(name), root) if isinstance(properties, Mapping) else {}


def _resolved(node: Any, root: Schema) -> Schema:
    """A node, or the definition it refers to."""
    if isinstance(node, Mapping) and str(node.get("$ref", "")).startswith("#/"):
        found: Any = root
        for part in node["$ref"][2:].split("/"):
            found = found.get(part) if isinstance(found, Mapping) else None
        node = found
    return node if isinstance(node, Mapping) else {}


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
    children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    for child in children:
        yield from _nodes(child)
