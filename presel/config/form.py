"""How a form shows the configuration: titles in words, what matters first, what is rarely touched folded.

Prefect's form is drawn from the JSON schema: properties by `position`, a tab for each alternative, and nothing of what only
`patternProperties` allow. So a folded section is one that may be null, which means its defaults: one line, *As it is* or
*Change*. And the fields of an open section that few people set are pattern properties: the form's *Use JSON Input* takes them.
The schema stays as strict as the models are, and a value that a form does not show goes through it unchanged.
"""

from __future__ import annotations

from typing import Any

_FIRST = (
    *("source", "store", "generator", "budget", "dataset", "execution", "selection", "reference", "weights"),
    *("history", "encoder", "reference_model", "clustering", "export"),
)
_SHOWN = {
    "SourceConfig": ("uri", "tasks", "mapping", "may_shrink"),
    "GeneratorConfig": ("model", "max_cost", "base_url", "api_key_env", "prompt", "on_cap", "mode"),
    "BudgetConfig": ("share",),
    "DatasetConfig": ("name",),
    "ExecutionConfig": ("approve",),
}
"""Sections that are open, with what a form shows of them."""
_UNCHANGED, _CHANGED = "As it is", "Change"
_WORDS = {"uri": "URI", "s3": "S3", "lora": "LoRA", "jpeg": "JPEG", "api": "API", "url": "URL", "env": "variable"}


def arrange(schema: dict[str, Any], model: type) -> None:
    """Pydantic's `json_schema_extra` of every section."""
    fields = schema.get("properties", {})
    shown = _SHOWN.get(model.__name__, tuple(fields))
    order = [*(_FIRST if model.__name__ == "RefreshConfig" else ()), *shown, *fields]
    for name, field in fields.items():
        kind = model.model_fields[name].annotation  # type: ignore[attr-defined]
        if "$ref" in field and "default" in field and kind.__name__ not in _SHOWN:
            about = " ".join((kind.__doc__ or "").split())
            section = {"$ref": field.pop("$ref"), "title": _CHANGED}
            field |= {"description": about, "anyOf": [{"type": "null", "title": _UNCHANGED}, section], "default": None}
        field |= {"title": _in_words(name), "position": order.index(name)}
    if hidden := [name for name in fields if name not in shown]:
        schema["patternProperties"] = {f"^{name}$": fields.pop(name) for name in hidden}
        about = " ".join(schema.get("description", "").split())
        schema["description"] = f"{about} By Use JSON Input, in the menu at the right: {', '.join(hidden)}."


def _in_words(name: str) -> str:
    """`max_cost` as `Max cost`."""
    words = " ".join(_WORDS.get(word, word) for word in name.split("_"))
    return words[0].upper() + words[1:]
