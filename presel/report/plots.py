"""Plots as inline SVG, written by hand: no library in the page, colours from its style sheet, so dark mode costs nothing.

Nothing that carries words is scaled: the drawings stretch (`preserveAspectRatio="none"`, strokes and dots keep their width),
axis labels are HTML around them. On a phone the words stay readable, which one scaled SVG cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from presel.report.axes import Axis


@dataclass(frozen=True)
class Dot:
    """One sample on the map. `x` and `y` in the unit square, y upwards; `kind` is pool, reference or picked."""

    x: float
    y: float
    task: str
    kind: str
    words: str


WIDTH, HEIGHT, MARGIN = 1000, 680, 14
_RADIUS = {"pool": 2.6, "reference": 4.4, "picked": 4.6}


def map_svg(dots: Sequence[Dot], colours: dict[str, str], label: str) -> Markup:
    """The map: one group per kind, picks on top, so that what matters is never hidden. Each dot says what it is."""
    ordinals = {task: ordinal for ordinal, task in enumerate(colours)}
    groups = []
    for kind, radius in _RADIUS.items():
        circles = (
            Markup('<circle cx="{}" cy="{}" r="{}" data-t="{}" style="--c:{}"><title>{}</title></circle>').format(
                *_place(dot), radius, ordinals[dot.task], colours[dot.task], dot.words
            )
            for dot in dots
            if dot.kind == kind
        )
        groups.append(Markup('<g class="{}">{}</g>').format(kind, Markup("").join(circles)))
    return Markup('<svg class="map" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, label, Markup("").join(groups)
    )


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


def _place(dot: Dot) -> tuple[float, float]:
    x = MARGIN + dot.x * (WIDTH - 2 * MARGIN)
    y = MARGIN + (1 - dot.y) * (HEIGHT - 2 * MARGIN)
    return round(x, 1), round(y, 1)
