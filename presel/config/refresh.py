"""One refresh: all sections together, what it is called and where it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from presel.config.address import address
from presel.config.choice import (
    BudgetConfig,
    ClusteringConfig,
    HistoryConfig,
    ReferenceConfig,
    SelectionConfig,
    WeightsConfig,
)
from presel.config.export import ExportConfig
from presel.config.generator import GeneratorConfig
from presel.config.keys import InKeyUnless, Operational
from presel.config.paper import DEFAULTS, departures
from presel.config.reference_model import ReferenceModelConfig
from presel.config.section import Section
from presel.config.source import EncoderConfig, SourceConfig


def without_slash(uri: str) -> str:
    """An address as everything compares it: with or without a slash at its end it is the same store."""
    return uri.rstrip("/") or uri


class DatasetConfig(Section):
    """What the dataset is called, and what its card says of its origin."""

    name: str = Field(
        "dataset", pattern=r"^[a-z0-9][a-z0-9_-]*$", description="versions lie below <store>/datasets/<name>/"
    )
    license: Annotated[str, Operational] = Field(
        "other", description="of the records, as the hub spells it (cc-by-4.0, apache-2.0); other: see the next two"
    )
    license_name: Annotated[str | None, Operational] = Field(
        None, description="of a licence that the hub has no word for"
    )
    license_link: Annotated[str | None, Operational] = Field(None, description="where that licence can be read")
    language: Annotated[tuple[str, ...], Operational] = Field(
        ("en",), description="of the instructions, as ISO 639 codes"
    )
    notes: Annotated[str | None, Operational] = Field(
        None, description="where the images come from and what may be done with them; stands in the card as it is"
    )


class ExecutionConfig(Section):
    """Where the work is done and who must agree to it. Nothing here changes a byte of what comes out."""

    runner: Literal["threads", "ray", "dask"] = Field(
        "threads", description="of Prefect: threads of this process, or a Ray or Dask cluster (optional extras)"
    )
    workers: int = Field(4, ge=1, description="tasks of one flow side by side; of a local cluster, its workers")
    cluster: str | None = Field(None, description="address of a running Ray or Dask cluster; null starts a local one")
    gpus: float = Field(0, ge=0, description="of a Ray or Dask cluster: the share of a GPU that a task asks for")
    store_url: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="address of the store for browsers, for links in the UI (signed if it ends in an S3 bucket and prefix); "
        "null: S3 links are signed for the workers' endpoint, folders have none",
    )
    approve: bool | Literal["all"] = Field(
        False,
        description="true: pause with the plan in the UI, and pay for the selection only once it is resumed; "
        "all: before the reference set is bought as well, with its price",
    )
    approval_timeout: float = Field(72.0, gt=0, description="hours after which an unapproved run ends")


class RefreshConfig(Section):
    """One refresh: choose the images worth instructing, instruct only those, publish the dataset."""

    mode: Literal["default", "paper"] = Field(
        "default", description="paper: exactly the published algorithm, nothing of ours that changes a pick"
    )
    seed: int = Field(0, ge=0)
    source: SourceConfig
    store: Annotated[str, AfterValidator(address), AfterValidator(without_slash), Operational] = Field(
        description="s3://bucket/prefix or a folder: tables, ledger, datasets"
    )
    exclude: Annotated[tuple[Annotated[str, AfterValidator(address)], ...], InKeyUnless(())] = Field(
        (),
        description="images of tests to keep apart from: folders, s3://bucket/prefix, or Parquet files with a column "
        "`vector` of the same encoder. What is one of them, or nearly, becomes a reject `held_out`",
    )
    exclude_above: Annotated[float, InKeyUnless(0.95)] = Field(
        0.95, gt=0, le=1, description="cosine from which an image is nearly one of `exclude`"
    )
    encoder: EncoderConfig = EncoderConfig()
    reference: ReferenceConfig = ReferenceConfig()
    generator: GeneratorConfig
    reference_model: ReferenceModelConfig = ReferenceModelConfig()
    weights: WeightsConfig = WeightsConfig()
    budget: BudgetConfig = BudgetConfig()
    clustering: ClusteringConfig = ClusteringConfig()
    selection: SelectionConfig = SelectionConfig()
    history: HistoryConfig = HistoryConfig()
    dataset: DatasetConfig = DatasetConfig()
    export: Annotated[ExportConfig, Operational] = ExportConfig()
    execution: Annotated[ExecutionConfig, Operational] = ExecutionConfig()

    @property
    def twins_from(self) -> float:
        """Cosine from which two images are held out together. A calibrated guard has one for each task, and none for this."""
        guard = self.selection.near_duplicate
        return min(self.export.near_duplicate, 1.0 if guard is None or guard == "auto" else guard)

    @property
    def scoring(self) -> ReferenceModelConfig:
        """The reference model's section, in which a judge knows what the store may spend."""
        verdict = self.reference_model.verdict
        if verdict is None:
            return self.reference_model
        caps = [cap for cap in (verdict.max_cost, self.generator.max_cost) if isinstance(cap, float | int)]
        capped = verdict.model_copy(update={"max_cost": min(caps, default="unlimited")})
        return self.reference_model.model_copy(update={"verdict": capped})

    @property
    def tests(self) -> list[SourceConfig]:
        """Images to keep apart from, as sources."""
        return [SourceConfig(uri=uri, tasks="single") for uri in self.exclude if not uri.endswith(".parquet")]

    @property
    def test_vectors(self) -> list[str]:
        """Files of vectors to keep apart from."""
        return [uri for uri in self.exclude if uri.endswith(".parquet")]

    @model_validator(mode="before")
    @classmethod
    def _paper_has_its_own_defaults(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mode") == "paper":
            for section, default in DEFAULTS.items():
                given = data.get(section) or {}
                if isinstance(given, Section):
                    given = given.model_dump(exclude_unset=True)
                if isinstance(given, dict):
                    data = {**data, section: {**default, **given}}
        return data

    @model_validator(mode="after")
    def _captions_where_a_prompt_shows_them(self) -> RefreshConfig:
        prompts = {"generator.prompt": self.generator.prompt}
        prompts |= {f"generator.prompts.{task}": prompt for task, prompt in self.generator.prompts.items()}
        using = [name for name, prompt in prompts.items() if prompt.uses_caption]
        if using and self.source.captions is None:
            raise ValueError(f"{using[0]} uses `caption`, and the source has none: set `source.captions`")
        people = [name for name in using if self.generator.writer(prompts[name]) == "people"]
        if people:
            raise ValueError(f"{people[0]} uses `caption`, which only an endpoint is shown: people see the picture")
        return self

    @model_validator(mode="after")
    def _paper_means_paper(self) -> RefreshConfig:
        if self.mode == "paper":
            changed = departures({name: getattr(self, name) for name in type(self).model_fields})
            if changed:
                raise ValueError(
                    f"mode is paper, but {', '.join(changed)} departs from it: remove it or set mode: default"
                )
        return self
