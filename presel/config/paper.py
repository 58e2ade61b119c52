"""What `mode: paper` holds fixed: the published algorithm, and nothing of ours that changes a pick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PAPER: Mapping[str, object] = {
    "selection.strategy": "presel",
    "selection.near_duplicate": None,
    "history.keep": "while_selected",
    "clustering.images_per_cluster": 100,
    "reference_model.fit": "lora",
    "weights.temperature": None,
    "weights.estimator": "mean",
    "weights.shrinkage": False,
    "weights.floor": 0,
    "weights.size_prior": 0,
    "reference_model.loss_floor": 0,
    "reference_model.lora.question_dropout": 0,
}
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "selection": {"strategy": "presel", "near_duplicate": None},
    "weights": {"size_prior": 0.0},
    "reference_model": {"loss_floor": 0.0},
    "history": {"keep": "while_selected"},
}
"""Where the default is not the paper's: in `mode: paper` these are the defaults."""


def departures(sections: Mapping[str, Any]) -> list[str]:
    """Names of the settings that depart from the paper; `sections` by name, those that are absent depart from nothing."""
    return [name for name, value in PAPER.items() if name.split(".")[0] in sections and _at(sections, name) != value]


def _at(sections: Mapping[str, Any], name: str) -> object:
    first, *rest = name.split(".")
    value = sections[first]
    for part in rest:
        value = getattr(value, part)
    return value
