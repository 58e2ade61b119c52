"""What every section of the configuration is: frozen, and strict about fields it does not know."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo

from presel.config.form import arrange

SECRET = "secret"
"""The kind of a mistake whose value is not said back: it is a secret in a place where none may be."""


def _per_cent(value: object) -> object:
    """`15%` is what people write, and means one thing."""
    said = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    return float(said[1]) / 100 if said else value


PerCent = BeforeValidator(_per_cent)
Share = Annotated[float, Field(gt=0, le=1), PerCent]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, json_schema_extra=arrange)

    @model_validator(mode="before")
    @classmethod
    def _left_as_it_is(cls, data: Any) -> Any:
        """A section that is null, or stands in a file with nothing in it, is that of the defaults."""
        if not isinstance(data, dict):
            return data
        fields = cls.model_fields
        return {name: value for name, value in data.items() if value is not None or not _is_section(fields.get(name))}


def _is_section(field: FieldInfo | None) -> bool:
    kind = field.annotation if field and not field.is_required() else None
    return isinstance(kind, type) and issubclass(kind, Section)
