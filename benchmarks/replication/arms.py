"""What is compared: every arm is a configuration of the product, and a budget, a seed and a way of training.

Words of an arm's name: where the task weights come from, then how a task's images are ordered, then what differs from usual.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from benchmarks.replication.annotator import SHUFFLED, SIDE, TRUE
from presel.config import (
    BudgetConfig,
    ClusteringConfig,
    DatasetConfig,
    EncoderConfig,
    GeneratorConfig,
    LoraConfig,
    PriceConfig,
    PromptConfig,
    ReferenceConfig,
    ReferenceModelConfig,
    RefreshConfig,
    SelectionConfig,
    SourceConfig,
    WeightsConfig,
)

ENDPOINT, KEY = "PRESEL_EVIDENCE_ENDPOINT", "PRESEL_EVIDENCE_KEY"
EVEN = 1e6  # a softmax temperature at which every task weighs the same, whatever its IRS
BUDGETS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
USUAL_BUDGET = 0.15
Training = Literal["steps", "epochs"]


@dataclass(frozen=True)
class Arm:
    """Settings that differ from the product's defaults, by section."""

    name: str
    says: str
    weights: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    reference_model: dict[str, Any] = field(default_factory=dict)
    clustering: dict[str, Any] = field(default_factory=dict)
    paper: bool = False
    generator: str = TRUE
    reversed: bool = False
    """Weights in the opposite order: the task that would get most gets least."""
    one_task: bool = False
    """The pool counts as one task: no task is known to the draw."""
    budget: float | None = None
    """Where an arm has one budget only."""


_UNSIZED = {"size_prior": 0.0}
_BY_SIZE = {"temperature": EVEN, "size_prior": 1.0}
_EVENLY = {"temperature": EVEN, "size_prior": 0.0}
_RANDOM = {"strategy": "random", "near_duplicate": None}
_GUARDS: dict[str, dict[str, Any]] = {
    "off": {"near_duplicate": None}, "0.98": {"near_duplicate": 0.98}, "auto": {"near_duplicate": "auto"},
}  # fmt: skip
_ORDERS = {"central": "presel", "coverage": "coverage", "random": "random"}
_WEIGHTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "irs": (_UNSIZED, {}),
    "shrunken": ({**_UNSIZED, "shrinkage": True}, {}),
    "cross": (_UNSIZED, {"fit": "cross"}),
    "prior": ({"size_prior": 0.5}, {}),
    "size": (_BY_SIZE, {}),
    "even": (_EVENLY, {}),
}


def _combined(weights: str, order: str, guard: str) -> Arm:
    of_weights, of_model = _WEIGHTS[weights]
    selection = {"strategy": _ORDERS[order], **_GUARDS[guard]}
    return Arm(
        f"{weights}-{order}-{guard}",
        f"{weights} weights, {order} images, guard {guard}",
        of_weights,
        selection,
        of_model,
    )


def _all() -> Iterator[Arm]:
    yield Arm("base", "the base as it is, tuned on nothing")
    yield Arm("full", "every image instructed", _BY_SIZE, _RANDOM, budget=1.0)
    yield Arm("random", "images drawn from the whole pool", _BY_SIZE, _RANDOM, one_task=True)
    yield Arm("size", "drawn at random, each task by its size", _BY_SIZE, _RANDOM)
    yield Arm("equal", "drawn at random, each task the same", _EVENLY, _RANDOM)
    yield Arm(
        "typiclust", "TypiClust, each task by its size", _BY_SIZE, {"strategy": "typiclust", "near_duplicate": None}
    )
    yield Arm("paper", "the published algorithm", paper=True)
    yield Arm("reversed", "IRS weights reversed, coverage, calibrated guard",
              _UNSIZED, {"strategy": "coverage", "near_duplicate": "auto"}, reversed=True)  # fmt: skip
    yield Arm("shuffled", "the published algorithm, every answer that of another image of the task", paper=True,
              generator=SHUFFLED)  # fmt: skip
    for weights in _WEIGHTS:
        for order in _ORDERS:
            for guard in _GUARDS:
                yield _combined(weights, order, guard)


ARMS: dict[str, Arm] = {arm.name: arm for arm in _all()}


class Trial(NamedTuple):
    """One line of the results."""

    arm: str
    budget: float
    seed: int
    training: Training

    @property
    def name(self) -> str:
        return f"{self.arm} {self.budget:g} {self.seed} {self.training}"


@dataclass(frozen=True)
class Setting:
    """What all arms of a pool share. `steps`: optimiser steps of a matched training; `batch`: samples a step."""

    pool: str
    mapping: str
    store: str
    base: str
    steps: int
    batch: int = 16
    rank: int = 32
    learning_rate: float = 2e-3
    epochs: int = 1


def config_of(trial: Trial, setting: Setting, irs: str | None = None) -> RefreshConfig:
    """The product's configuration. `irs`: a table of IRS by task that is imported in place of a model's."""
    arm = ARMS[trial.arm]
    source = (
        SourceConfig(uri=setting.pool, tasks="single") if arm.one_task
        else SourceConfig(uri=setting.pool, tasks="table", mapping=setting.mapping)
    )  # fmt: skip
    dropout = 0.0 if arm.paper else 0.3
    model: dict[str, Any] = {
        "model": setting.base, "max_length": 512, "batch_size": 64, "remember": 4.0, "device": "cpu",
        **({} if arm.paper else {"loss_floor": 0.05}), **arm.reference_model,
        "lora": _lora(setting, epochs=4, question_dropout=dropout, batch=16),
    }  # fmt: skip
    if irs is not None:
        model["precomputed"] = irs
    return RefreshConfig(
        mode="paper" if arm.paper else "default",
        seed=trial.seed,
        source=source,
        store=setting.store,
        encoder=EncoderConfig(name="builtin", device="cpu"),
        reference=ReferenceConfig(share=0.05 if trial.budget > 0.05 else 0.02),
        generator=GeneratorConfig(
            model=arm.generator, base_url=f"${{{ENDPOINT}}}", api_key_env=KEY, prompt=PromptConfig(kind="short_answer"),
            image_side=SIDE, seed=trial.seed, max_cost=1000.0,
            prices=PriceConfig(input_per_million=0.4, output_per_million=1.6),
        ),
        reference_model=ReferenceModelConfig(**model),
        weights=WeightsConfig(**arm.weights),
        budget=BudgetConfig(share=trial.budget or 1.0),
        clustering=ClusteringConfig(**arm.clustering),
        selection=SelectionConfig(**({"strategy": "presel", "near_duplicate": None} if arm.paper else arm.selection)),
        history={"keep": "while_selected"},
        dataset=DatasetConfig(name=_name(trial)),
    )  # fmt: skip


def tuning_of(trial: Trial, setting: Setting, config: RefreshConfig) -> ReferenceModelConfig:
    """How the arm's dataset is trained on: the same recipe for all, for the same steps or for the same epochs."""
    steps = setting.steps if trial.training == "steps" else None
    lora = _lora(setting, epochs=setting.epochs, steps=steps, batch=setting.batch)
    return config.reference_model.model_copy(update={"lora": lora, "precomputed": None})


def _lora(setting: Setting, **given: Any) -> LoraConfig:
    rank, rate = setting.rank, setting.learning_rate
    return LoraConfig(
        rank=rank, alpha=2 * rank, learning_rate=rate, projector_learning_rate=rate / 4, whole=True, optimizer="muon",
        precision="bfloat16", **given,
    )  # fmt: skip


def _name(trial: Trial) -> str:
    return f"{trial.arm}-{round(1000 * trial.budget)}-{trial.seed}".replace(".", "")


def trials(
    arms: Sequence[str] | None, budgets: Sequence[float], seeds: Sequence[int], trainings: Sequence[Training]
) -> list[Trial]:
    """All of them, the most informative first: seed by seed the main arms at the usual budget, the other budgets, the rest
    of the table, and then the other way of training."""
    wanted = list(ORDER) if arms is None else [name for name in ORDER if name in arms]
    wanted += [name for name in arms or () if name not in ORDER]
    usual = [USUAL_BUDGET] if USUAL_BUDGET in budgets else []
    main, rest = [n for n in wanted if n in ORDER[:MAIN]], [n for n in wanted if n not in ORDER[:MAIN]]
    curves = [name for name in CURVES if name in wanted]
    found = []
    for training in trainings:
        found += [_trial(name, budget, seed, training) for seed in seeds for name in main for budget in usual]
        if training == trainings[0]:
            found += [_trial(name, budget, seed, training) for seed in seeds for budget in budgets for name in curves]
        found += [_trial(name, budget, seed, training) for seed in seeds for name in rest for budget in usual]
    return list(dict.fromkeys(found))


def _trial(name: str, budget: float, seed: int, training: Training) -> Trial:
    """The base is one, whatever the seed and the budget; full data has one budget."""
    if name == "base":
        return Trial(name, 0.0, 0, "steps")
    return Trial(name, ARMS[name].budget or budget, seed, training)


ORDER = (
    "base", "random", "full", "paper", "prior-coverage-auto", "equal", "reversed", "even-coverage-auto",
    "shuffled", "irs-coverage-auto", "size-coverage-auto", "size", "even-coverage-off", "even-random-auto",
    "prior-central-auto", "irs-central-auto", "prior-random-auto", "shrunken-coverage-auto", "cross-coverage-auto",
    "prior-coverage-off", "prior-coverage-0.98", "typiclust", "irs-random-auto", "irs-coverage-off", "irs-central-0.98",
)  # fmt: skip
MAIN = 8
CURVES = ("random", "paper", "prior-coverage-auto")
