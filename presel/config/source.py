"""Where the images lie, what counts as one, and which model looks at them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from presel.config.address import address
from presel.config.keys import Operational, SettledByStage
from presel.config.section import PerCent, Section


class S3Config(Section):
    """How a source on S3 is reached, where that differs from what the environment says. Never a secret."""

    anonymous: bool = Field(False, description="send unsigned requests, as public buckets allow")
    requester_pays: bool = Field(False, description="agree to be charged for requests and traffic")
    profile: str | None = Field(None, description="a profile of the AWS configuration, with its keys or its role")
    endpoint_url: str | None = Field(None, description="of MinIO, R2 or another server; default: $AWS_ENDPOINT_URL")
    region: str | None = None
    addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="path: endpoint/bucket/key; virtual: bucket.endpoint/key; auto: what boto3 would choose"
    )

    @model_validator(mode="after")
    def _one_identity(self) -> S3Config:
        if self.anonymous and self.profile:
            raise ValueError("anonymous and profile exclude each other: an unsigned request has no identity")
        return self


class TaskRule(Section):
    """Where in a key its task stands, if not in the first folder."""

    depth: int | None = Field(None, ge=1, description="which folder of the key, counted from 1")
    pattern: str | None = Field(
        None,
        description="a glob over the key in which {task} stands for a name; keys that it does not fit have no task",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> TaskRule:
        if (self.depth is None) == (self.pattern is None):
            raise ValueError("a rule for tasks has a depth or a pattern")
        if self.pattern is not None and self.pattern.count("{task}") != 1:
            raise ValueError("{task} stands once in a pattern")
        return self

    def glob(self) -> str:
        """Either as a pattern."""
        return self.pattern or "*/" * ((self.depth or 1) - 1) + "{task}/**"


class SourceConfig(Section):
    """Where the unlabelled images lie, and which task each belongs to."""

    uri: Annotated[str, AfterValidator(address)] = Field(description="s3://bucket/prefix or a folder")
    tasks: Literal["prefix", "single", "table", "llava", "vision_flan"] | TaskRule = Field(
        "prefix",
        description="prefix: the first folder of a key is its task; single: one task for all; "
        "{depth: 2}: its second folder; {pattern: '*/{task}/**'}: what stands for {task}; "
        "table, llava, vision_flan: `mapping` says it",
    )
    mapping: Annotated[str | None, Operational] = Field(
        None,
        description="for tasks: table, a CSV, JSONL or Parquet with columns key and task; for llava and vision_flan, the "
        "dataset's JSON. An address on S3 or a path. Its content is part of every key, its place is not",
    )
    captions: Annotated[Literal["txt", "json", "column"] | None, Operational] = Field(
        None,
        description="text about a picture that a prompt may show as `{{ caption }}`. txt, json: in the file beside it, of the "
        "same name but for the ending; column: in the mapping (tasks: table). Such files are no part of the pool",
    )
    caption_field: Annotated[str, Operational] = Field(
        "caption", min_length=1, description="the field of that JSON, or the column, that holds the text"
    )
    exclude: Annotated[tuple[str, ...], Operational] = Field(
        (),
        description="globs of files and folders that are not part of the pool, as if they were not there: "
        "`lost+found` and `*.tmp` wherever they are, `raw/**/thumbs` by its path from `uri`",
    )
    may_shrink: Annotated[float, Field(ge=0, le=1), PerCent, Operational] = Field(
        0.2,
        description="share of the last version's usable images, or of its records, that may be gone from the pool; "
        "a run that finds more gone ends before it buys anything. `presel run --accept-shrink` is 1 for once",
    )
    s3: Annotated[S3Config, Operational] = S3Config()
    part_size: Annotated[int, Field(ge=1, le=100_000), Operational] = Field(
        1000, description="images per unit of parallel work"
    )

    @model_validator(mode="after")
    def _mapping_where_it_is_used(self) -> SourceConfig:
        if (self.tasks in ("table", "llava", "vision_flan")) != (self.mapping is not None):
            raise ValueError("`mapping` goes with tasks: table, llava or vision_flan, and they with it")
        if self.captions == "column" and self.tasks != "table":
            raise ValueError("captions: column goes with tasks: table")
        return self


class ImageConfig(Section):
    """What counts as a usable image. Limits are checked before a pixel is decoded."""

    max_pixels: int = Field(64_000_000, ge=1, description="width x height; above it an image is rejected, not decoded")
    min_side: int = Field(8, ge=1, description="pixels")
    max_aspect_ratio: float = Field(20.0, ge=1, description="longer side / shorter side")


class EncoderConfig(Section):
    """The model whose vectors say which images are alike."""

    name: str = Field(
        "timm:vit_base_patch14_dinov2.lvd142m",
        description="timm:<model>, open_clip:<model>/<pretrained tag or local file>, or builtin (no download)",
    )
    weights: str | None = Field(None, description="a local safetensors file in place of the hub's weights")
    images: ImageConfig = ImageConfig()
    batch_size: Annotated[int, Field(ge=1), Operational] = 64
    device: Annotated[Literal["auto", "cpu", "cuda"], SettledByStage] = Field(
        "auto", description="auto: every GPU of the machine, else its CPU; vectors of a GPU have keys of their own"
    )
