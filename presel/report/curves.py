"""The two line charts of the page, with the numbers that its sentences quote."""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import fsum
from typing import Any

from presel.report.axes import axis
from presel.report.contents import Contents
from presel.report.gallery import Row
from presel.report.plots import curve_svg

_COVERAGE_LINES = (("random", "other"), ("planned", "strong"))
_POINTS = 400


def loss_curve(steps: Sequence[Row]) -> dict[str, Any] | None:
    """Each step's loss and a running mean over a tenth on either side; None for fewer than two finite losses."""
    known = [
        (float(row["step"]), row["loss"]) for row in steps if row["loss"] is not None and math.isfinite(row["loss"])
    ]
    if len(known) < 2:
        return None
    points = _thinned(known)
    losses = [loss for _, loss in points]
    tenth = max(1, len(points) // 10)
    smooth = [(step, _mean(losses[max(0, i - tenth) : i + tenth + 1])) for i, (step, _) in enumerate(points)]
    x, y = axis([step for step, _ in points]), axis(losses, zero=True)
    first, last = _mean(losses[:tenth]), _mean(losses[-tenth:])
    label = f"Training loss over {len(known)} steps, from {first:.2f} to {last:.2f}"
    svg = curve_svg([("thin", points), ("strong", smooth)], x, y, label)
    return {"svg": svg, "x": x, "y": y, "steps": len(known), "first": first, "last": last}


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 400 points: means of neighbouring ones, since a line of 100,000 points looks the same and weighs 1 MB."""
    size = math.ceil(len(points) / _POINTS)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(_mean([x for x, _ in group]), _mean([y for _, y in group])) for group in groups]


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


def coverage_curve(contents: Contents) -> dict[str, Any] | None:
    """Covered share in percent against records, for the plan and for a random choice; None when nothing was picked."""
    found = contents.coverage
    if found is None:
        return None
    percents = {name: [100 * share for share in getattr(found, name)] for name in ("planned", "random")}
    x, y = axis(found.records), axis([*percents["planned"], *percents["random"]])
    lines = [(kind, list(zip(found.records, percents[name], strict=True))) for name, kind in _COVERAGE_LINES]
    planned, random = (percents[name][-1] for name in ("planned", "random"))
    label = f"Share of the pool covered: {planned:.0f} % by the plan, {random:.0f} % by a random choice of as many"
    spent = fsum(row["cost_usd"] or 0.0 for row in contents.records)
    return {
        "svg": curve_svg(lines, x, y, label),
        "x": x,
        "y": y,
        "start": percents["planned"][0],
        "planned": planned,
        "random": random,
        "price": spent / max(1, len(contents.records)),
    }


_UNITS = ((2 * 86_400, 86_400, "d"), (2 * 3_600, 3_600, "h"), (120, 60, "min"), (0, 1, "s"))


def spending_curve(contents: Contents) -> dict[str, Any] | None:
    """US dollars against time since the first answer, in a unit that fits; None where the ledger does not say."""
    found = contents.spending
    if found is None:
        return None
    last = found.points[-1][0]
    _, size, unit = next(row for row in _UNITS if last >= row[0])
    points = [(time / size, spent) for time, spent in found.points]
    x, y = axis([time for time, _ in points], zero=True), axis([spent for _, spent in points], zero=True)
    svg = curve_svg([("strong", points)], x, y, f"US dollars over time, {points[-1][1]:.4f} in the end")
    return {
        "svg": svg,
        "x": x,
        "y": y,
        "unit": unit,
        "first": found.first,
        "read": found.read,
        "answers": found.answers,
    }
