"""What every section of the configuration is: frozen, and strict about fields it does not know."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SECRET = "secret"
"""The kind of a mistake whose value is not said back: it is a secret in a place where none may be."""


def _per_cent(value: object) -> object:
    """`15%` is what people write, and means one thing."""
    said = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value) if isinstance(value, str) else None
    return float(said[1]) / 100 if said else value


PerCent = BeforeValidator(_per_cent)
Share = Annotated[float, Field(gt=0, le=1), PerCent]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
