"""The settings of a choice as keyword arguments: names, defaults and rules of the configuration, without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from presel.config import BudgetConfig, ClusteringConfig, ReferenceConfig, SelectionConfig, WeightsConfig
from presel.config.paper import DEFAULTS, departures
from presel.errors import InputError
from presel.selection.checks import real_number, whole_number
from presel.selection.seats import budget_size

_SECTIONS = {"weights": WeightsConfig, "clustering": ClusteringConfig, "selection": SelectionConfig}


@dataclass(frozen=True)
class Choice:
    """What decides a choice beside the rows."""

    seed: int
    share: float
    count: int | None
    reference_share: float
    weights: WeightsConfig
    clustering: ClusteringConfig
    selection: SelectionConfig

    def budget(self, samples: int) -> int:
        """How many of so many usable samples may be instructed in all, reference set included."""
        return budget_size(samples, self.share) if self.count is None else min(self.count, samples)


def choice_of(
    where: str,
    *,
    seed: int,
    mode: str,
    share: float | None,
    count: int | None,
    reference_share: float,
    sections: Mapping[str, Mapping[str, Any]],
) -> Choice:
    """Raises InputError for a value out of range, both `share` and `count`, and what `mode="paper"` does not allow."""
    if share is not None and count is not None:
        raise InputError("`share` and `count` exclude each other", where=where, expected="one of them", got="both")
    if mode not in ("default", "paper"):
        raise InputError("unknown mode", where=where, expected='"default" or "paper"', got=mode)
    usual = DEFAULTS if mode == "paper" else {}
    made = {
        name: section(where, kind, {**usual.get(name, {}), **sections.get(name, {})})
        for name, kind in _SECTIONS.items()
    }
    changed = departures(made) if mode == "paper" else []
    if changed:
        fix = 'leave it out, or ask for mode="default"'
        raise InputError(f"{', '.join(changed)} departs from the paper", where=where, fix=fix)
    return Choice(
        seed=whole_number(seed, where, name="seed", least=0),
        share=_share(where, share),
        count=None if count is None else whole_number(count, where, name="count", least=0),
        reference_share=section(where, ReferenceConfig, {"share": reference_share}, "reference_").share,
        weights=made["weights"],
        clustering=made["clustering"],
        selection=made["selection"],
    )


def _share(where: str, share: float | None) -> float:
    if share is None:
        return BudgetConfig().share
    value = real_number(share, where, name="share", expected="above 0, at most 1")
    if not 0 < value <= 1:
        percent = f"{value:g} % is share={value / 100:g}, and " if 1 < value <= 100 else ""
        fix = f"{percent}a number of samples is `count`"
        raise InputError("`share` is out of range", where=where, expected="above 0, at most 1", got=share, fix=fix)
    return value


def section(where: str, kind: Any, values: Mapping[str, Any], prefix: str = "") -> Any:
    """A section of the configuration out of arguments; the first that it does not take is an InputError."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"][:1])) or "arguments"
        said = first["msg"].removeprefix("Input should be ")
        raise InputError(f"`{prefix}{name}` is out of range", where=where, expected=said, got=first["input"]) from None


NearDuplicate = float | None | Literal["default", "auto"]


def near_duplicate(value: NearDuplicate) -> dict[str, Any]:
    """The guard as an argument of its section; nothing where it is left to its default."""
    if isinstance(value, str) and value == "default":
        return {}
    if value == "auto":
        raise InputError(
            "a guard is calibrated from retakes of images, and here are vectors only",
            where="near_duplicate",
            expected="a cosine, None or 'default'",
            got=value,
        )
    return {"near_duplicate": value}
