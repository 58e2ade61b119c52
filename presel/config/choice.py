"""How the budget is divided and which images it goes to. The defaults are those that did best in docs/evidence.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from presel.config.keys import InKeyUnless, Operational
from presel.config.section import Section, Share


class ReferenceConfig(Section):
    """The random sample of every task that is instructed first, to learn what instructions are worth there."""

    share: Share = Field(0.05, description="of every task's samples; at least one per task")


class ReestimateConfig(Section):
    """When a refresh estimates weights anew. As it stands: whenever the reference set has changed at all."""

    growth: float = Field(
        0.0,
        ge=0,
        description="share of the reference set that may come or go before weights are estimated anew",
    )
    days: float | None = Field(
        None,
        gt=0,
        description="after so many days any change of the reference set is enough; null: `growth` alone decides",
    )


class WeightsConfig(Section):
    """From IRS to task weights. The defaults are the paper's, but for `size_prior`."""

    temperature: float | None = Field(
        None, gt=0, description="of the softmax over -IRS; default 1/sqrt(number of tasks)"
    )
    estimator: Literal["mean", "trimmed"] = "mean"
    shrinkage: bool = Field(False, description="pull noisy task means toward the pool's (empirical Bayes)")
    floor: float = Field(0.0, ge=0, le=1, description="share of the weight that is spread evenly over the tasks")
    size_prior: float = Field(
        0.5,
        ge=0,
        le=1,
        description="weights are multiplied by task size to this power; imported ones are taken as they are; 0 is the paper's",
    )
    reestimate: Annotated[ReestimateConfig, Operational] = ReestimateConfig()


class BudgetConfig(Section):
    """How much of the pool is instructed, the reference set included."""

    share: Share = 0.15


class ClusteringConfig(Section):
    images_per_cluster: int = Field(100, ge=1, description="a task of n images has n / this many clusters")
    quality: Literal["fast", "default", "best"] = "default"
    engine: Annotated[Literal["cpu", "gpu"], InKeyUnless("cpu")] = Field(
        "cpu",
        description="cpu: 46 CPU-seconds for a million vectors; gpu: faiss on a GPU, which finds other clusters of the same "
        "quality, so it is part of the key and never chosen by itself",
    )


class SelectionConfig(Section):
    strategy: Literal["presel", "random", "balanced", "typiclust", "kcentre", "coverage"] = Field(
        "coverage", description="the order of a task's images: docs/method.md has each; presel is the paper's"
    )
    near_duplicate: Annotated[float, Field(gt=0, le=1)] | Literal["auto"] | None = Field(
        0.98,
        description="cosine from which an image is a copy of an earlier pick of its cluster; auto: what 95 % of retakes of "
        "a task's own images exceed with this encoder, in all its clusters; null: no guard, as in the paper",
    )


class HistoryConfig(Section):
    """What becomes of samples that an earlier version of the dataset paid for, when pool or settings have changed."""

    keep: Literal["always", "while_budget", "while_selected", "never"] = Field(
        "always",
        description="always: they stay as long as their image is in the pool, and take seats of the budget; "
        "while_budget: the same, but where they are more than the budget the last picked of each task leave; "
        "while_selected: the choice is made anew, and what is chosen again costs nothing; "
        "never: they are not chosen again, so a version is a batch of images nobody has paid for",
    )
    rebase: Annotated[int | None, Field(ge=0), Operational] = Field(
        None,
        description="build on this version in place of the newest, 0: on none. Meant for one run: `presel run --rebase N`",
    )
