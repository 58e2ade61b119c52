"""What a trainer is handed: where, in whose form, and how the pictures are written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from presel.config.address import address
from presel.config.section import Section

Trainer = Literal[
    "hf", "llava", "llama-factory", "ms-swift", "trl", "qwen", "internvl", "webdataset", "openai", "label-studio"
]
"""A form that records are written in; see presel/export/formats."""


class ExportConfig(Section):
    """Trainer-ready copies of a version, pictures included. With `to`, every refresh leaves its version there."""

    to: Annotated[str, AfterValidator(address)] | None = Field(
        None, description="s3://bucket/prefix or a folder; null: a refresh exports nothing"
    )
    formats: Annotated[tuple[Trainer, ...], Field(min_length=1)] = Field(
        ("hf",), description="each for a trainer; several share one copy of the pictures where they can"
    )
    validation: float = Field(0.05, ge=0, lt=1, description="share of the images that is held out of training")
    near_duplicate: float = Field(
        0.95,
        gt=0,
        le=1,
        description="cosine from which two images stay on one side; selection.near_duplicate where that is lower",
    )
    min_visual_dependency: int | None = Field(
        None,
        ge=1,
        le=5,
        description="leave out records whose least rating of visual dependency is lower, or that nobody has rated "
        "(`judge: rate`); null: all records",
    )
    longest: int | None = Field(None, ge=16, description="pixels; a picture whose longer side has more is shrunk")
    jpeg: int | None = Field(
        None, ge=1, le=100, description="quality of pictures that must be written anew; null: PNG, without loss"
    )
