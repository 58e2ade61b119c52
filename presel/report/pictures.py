"""Plots as PNG, for the Prefect UI: it shows inlined pictures and strips inline SVG. On the page they are SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from presel.report.contents import Map
from presel.report.palette import colours
from presel.runs.figures import TaskLine

_INK, _SOFT, _RULE = "#1c1d20", "#5d5f66", "#e5e1da"


def map_png(found: Map) -> bytes:
    """The map at 900 x 620 pixels: pool faint, reference as rings, picks outlined."""
    figure, axes = _figure(9.0, 6.2)
    palette = colours(dot.task for dot in found.dots)
    looks: dict[str, dict[str, Any]] = {
        "pool": {"s": 9, "alpha": 0.35, "linewidths": 0},
        "reference": {"s": 26, "facecolors": "white", "linewidths": 1.4},
        "picked": {"s": 30, "edgecolors": _INK, "linewidths": 0.8},
    }
    for kind, look in looks.items():
        dots = [dot for dot in found.dots if dot.kind == kind]
        hue = [palette[dot.task] for dot in dots]
        paint = {"edgecolors": hue} if kind == "reference" else {"c": hue}
        axes.scatter([dot.x for dot in dots], [dot.y for dot in dots], **look, **paint)
    from matplotlib.lines import Line2D

    named = list(palette.items())[:24]
    handles = [Line2D([], [], marker="o", ls="", color=hue, label=_words(task)) for task, hue in named]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    axes.set(xticks=[], yticks=[])
    return _png(figure)


def weights_png(lines: Sequence[TaskLine]) -> bytes:
    """IRS with its interval beside the weight it leads to, heaviest first, at most 40 tasks."""
    rows = sorted((line for line in lines if line.usable), key=lambda line: (-line.weight, line.task))[:40][::-1]
    figure, (left, right) = _figure(9.0, 1.1 + 0.3 * len(rows), columns=2)
    hues = colours(line.task for line in lines if line.usable)
    for place, line in enumerate(rows):
        if line.irs is not None and line.irs_low is not None and line.irs_high is not None:
            left.plot([line.irs_low, line.irs_high], [place, place], color=hues[line.task], alpha=0.5, lw=2.5)
        if line.irs is not None:
            left.plot([line.irs], [place], "o", color=hues[line.task], ms=6)
        right.barh(place, 100 * line.weight, color=hues[line.task], height=0.6)
    left.set(yticks=range(len(rows)), yticklabels=[_words(line.task) for line in rows], title="IRS, 95 % interval")
    right.set(title="Weight, %")
    right.tick_params(labelleft=False)
    left.grid(axis="x", color=_RULE)
    return _png(figure)


def curve_png(steps: Sequence[Mapping[str, Any]]) -> bytes:
    """The loss of every step."""
    figure, axis = _figure(7.0, 2.6)
    axis.plot([row["step"] for row in steps], [row["loss"] for row in steps], lw=1.2)
    axis.set(xlabel="step", title="Loss, nats per response token")
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", color=_RULE)
    return _png(figure)


def _figure(width: float, height: float, columns: int = 1) -> Any:
    """A figure of its own canvas: pyplot keeps global state, which threads would share."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, sharey=columns > 1)
    for one in axes if columns > 1 else [axes]:
        one.tick_params(length=0, colors=_SOFT, labelsize=9)
        one.spines[:].set_visible(False)
        one.set_axisbelow(True)
        one.title.set_size(10)
    return figure, axes


def _png(figure: Any) -> bytes:
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()


def _words(text: str) -> str:
    """A name as a label: matplotlib reads `$...$` as mathematics and fails on half of it."""
    return text.replace("$", "\\$")[:32]
