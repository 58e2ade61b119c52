"""Plots as inline SVG, written by hand: no library in the page, colours from its style sheet, so dark mode costs nothing.

Nothing that carries words is scaled: the drawings stretch (`preserveAspectRatio="none"`, strokes and dots keep their width),
axis labels are HTML around them. On a phone the words stay readable, which one scaled SVG cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from presel.report.axes import Axis


def curve_svg(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], x: Axis, y: Axis, label: str) -> Markup:
    """Lines over the axes' area, each `(class, points)`; grid lines at y's ticks."""
    grid = Markup("").join(
        Markup('<line class="grid" x1="0" x2="100" y1="{0}" y2="{0}"/>').format(100 - y.percent(tick))
        for tick in y.ticks
    )
    drawn = Markup("").join(
        Markup('<polyline class="{}" points="{}"/>').format(
            kind, " ".join(f"{x.percent(px):g},{100 - y.percent(py):g}" for px, py in points)
        )
        for kind, points in lines
    )
    return Markup('<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>').format(
        label, grid, drawn
    )


def interval_svg(value: float | None, low: float | None, high: float | None, scale: Axis, label: str) -> Markup:
    """A dot and its interval on a horizontal scale, in percentages, so that it fills any width."""
    grid = Markup("").join(
        Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="100%"/>').format(scale.percent(tick))
        for tick in scale.ticks
    )
    marks = Markup("")
    if low is not None and high is not None:
        marks += Markup('<line class="interval" x1="{}%" x2="{}%" y1="50%" y2="50%"/>').format(
            scale.percent(low), scale.percent(high)
        )
    if value is not None:
        marks += Markup('<circle class="mean" cx="{}%" cy="50%" r="4.5"/>').format(scale.percent(value))
    return Markup('<svg class="track" role="img" aria-label="{}">{}{}</svg>').format(escape(label), grid, marks)
