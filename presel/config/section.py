"""What every section of the configuration is: frozen, and strict about fields it does not know."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SECRET = "secret"
"""The kind of a mistake whose value is not said back: it is a secret in a place where none may be."""

Share = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
