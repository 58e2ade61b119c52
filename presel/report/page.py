"""One self-contained HTML page about a dataset version.

It opens from a disk, years later, without the store: no request to any host, no library. Pictures that it has no room for lie
in a folder beside it. What it shows was written by strangers (keys) and by models (answers), so nothing reaches the page
unescaped: the templates escape by default, plots are built from escaping `Markup`, the script's data is `packed`, and a
content security policy allows exactly one script, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from math import fsum
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from presel.config.reference_model import NOT_IRS
from presel.dataset.trainer_formats import CHOSEN_ORIGINS
from presel.images.reasons import Reason
from presel.report.answers_data import list_data, packed_to_fit
from presel.report.axes import axis
from presel.report.compare import Comparison
from presel.report.contents import Cluster, Contents, Map
from presel.report.curves import coverage_curve, loss_curve, spending_curve
from presel.report.decided import decided
from presel.report.gallery import PER_TASK, Row
from presel.report.map_data import map_data
from presel.report.packed import packed
from presel.report.palette import OTHER, colours
from presel.report.plots import interval_svg
from presel.report.refusals import grouped, picture_name
from presel.report.timing import as_bar, in_words
from presel.runs import benchmark
from presel.runs.figures import TaskLine, dollars, over_budget_words, task_lines, totals

HEADINGS = (
    ("Task", ""), ("Images", "n"), ("Usable", "n"), ("Reference", "n"), ("IRS", "n"), ("Weight", "n"), ("Kept", "n"),
    ("Near-copies", "n"), ("Quota", "n"), ("Picked", "n"), ("Rejected", "n"), ("Passed over", "n"), ("Cost", "n"),
)  # fmt: skip
_WEIGHT_ROWS = 40
_CLUSTER_ROWS = 300
_ALL_INSTRUCTIONS = "instructions.html"
_INLINE = 1_300_000
"""Characters of base64 of large pictures that the page holds."""
_SCRIPTS = ("page.js", "packed.js", "map.js", "list.js")
_STYLES = ("page.css", "map.css", "list.css")


def build_report(contents: Contents) -> bytes:
    """The page as UTF-8. The same contents give the same bytes."""
    style, script = ("".join(map(_packaged, names)) for names in (_STYLES, _SCRIPTS))
    page = (
        _templates()
        .get_template("page.html.j2")
        .render(
            name=contents.name,
            version=contents.version,
            date=contents.date,
            style=Markup(style) + contents.sheets.style(folder_beside(contents)),
            script=Markup(script),
            script_hash=_hash(script),
            changes=contents.changes,
            **_figures(contents),
            **_samples(contents),
            rejects=grouped(contents.rejects),
            cell=contents.sheets.html,
            answers=_answers(contents),
            timing=contents.timing,
            waits=as_bar(contents.timing) if contents.timing else [],
            spending=spending_curve(contents),
            fit=loss_curve(contents.fit),
            coverage=coverage_curve(contents),
            settings=yaml.safe_dump(dict(contents.config), sort_keys=True, allow_unicode=True),
            digests=contents.digests,
            libraries=contents.libraries,
        )
    )
    return page.encode()


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _answers(contents: Contents) -> dict[str, Any]:
    """What the list of instructions shows here, and where the rest is."""
    found = contents.answers
    data, inlined = packed_to_fit(found.rows, contents.refused_answers, contents.sheets)
    beside = f"{folder_beside(contents)}/{_ALL_INSTRUCTIONS}" if inlined < len(found.rows) else ""
    return {
        "data": data,
        "inlined": inlined,
        "of": found.of,
        "listed": len(found.rows),
        "beside": beside,
        "tasks": found.tasks,
    }


def instructions_page(contents: Contents) -> bytes:
    """A page of its own for the instructions that the report has no room for."""
    script = "".join(map(_packaged, ("packed.js", "list.js")))
    found = contents.answers
    page = (
        _templates()
        .get_template("instructions.html.j2")
        .render(
            name=contents.name,
            version=contents.version,
            style=Markup("".join(map(_packaged, _STYLES))) + contents.sheets.style("."),
            script=Markup(script),
            script_hash=_hash(script),
            data=packed(list_data(found.rows, contents.refused_answers, contents.sheets)),
            listed=len(found.rows),
            of=found.of,
        )
    )
    return page.encode()


def comparison_page(found: Comparison) -> bytes:
    """Two versions, as a page of its own that holds all it shows and no script."""
    style = Markup("".join(map(_packaged, _STYLES))) + found.sheets.style(".")
    return _templates().get_template("compare.html.j2").render(found=found, style=style).encode()


def folder_beside(contents: Contents) -> str:
    """The folder of what the page has no room for; two pages side by side have two."""
    return f"report-{contents.digests['version'][:12]}"


def files_beside(contents: Contents) -> dict[str, bytes]:
    """What the page loads from beside it: its path there, and the bytes."""
    inlined = _inlined(contents)
    shown = {row["sample_id"] for row in contents.shown.rows()} - inlined
    large = {f"{name}.jpg": data for name, data in contents.pictures.items() if name in shown}
    files = {**contents.sheets.outside(), **large}
    if _answers(contents)["beside"]:
        files[_ALL_INSTRUCTIONS] = instructions_page(contents)
    return {f"{folder_beside(contents)}/{name}": data for name, data in files.items()}


def _inlined(contents: Contents) -> set[str]:
    """The large pictures that the page holds, as many as fit, in the order in which they are shown."""
    held, room = set(), _INLINE
    for row in contents.shown.rows():
        name = row["sample_id"]
        if name in contents.pictures and name not in held:
            room -= len(contents.pictures[name]) * 4 // 3
            if room < 0:
                break
            held.add(name)
    return held


def _figures(contents: Contents) -> dict[str, Any]:
    lines = task_lines(contents.plan, contents.records, contents.rejects)
    sums = totals(lines, contents.rejects)
    records = contents.changes["records"]
    whole = max(sums.all_usd, sums.spent_usd) or 1.0
    heaviest = max((line.weight for line in lines), default=0.0) or 1.0
    temperature = contents.config["weights"]["temperature"] or 1 / math.sqrt(max(1, sums.tasks))
    tasks = [dot.task for dot in contents.map.dots] if contents.map else []
    palette = {line.task: OTHER for line in lines} | colours([*tasks, *(line.task for line in lines if line.usable)])
    shown, hidden = _ends(sorted((line for line in lines if line.usable), key=lambda line: (-line.weight, line.task)))
    guards = {task: cosine for task, cosine in contents.guards.items() if cosine is not None}
    left_out = Counter(row["task"] for row in contents.rejects if row["reason"] == Reason.NEAR_DUPLICATE)
    # What the guard passed over has a column of its own: another one is shown only if it would say more.
    passed_over = not guards or sums.passed_over != left_out.total()
    columns = {"Kept": sums.kept, "Near-copies": guards, "Passed over": passed_over}
    absent = {name for name, shown in columns.items() if not shown}
    return {
        "lines": lines,
        "decided": decided(contents, lines, sums),
        "sums": sums,
        "over_budget": over_budget_words(contents.plan, contents.config["budget"]["share"]),
        "headings": [heading for heading in HEADINGS if heading[0] not in absent],
        "guards": guards,
        "passed_over": passed_over,
        "benchmark": benchmark.words(contents.config["budget"]["share"]).replace("`", ""),
        "strategy": contents.config["selection"]["strategy"],
        "left_out": left_out,
        "colours": palette,
        "money": {
            "new": round(100 * records["spent_usd"] / whole, 2),
            "reused": round(100 * records["saved_by_reuse_usd"] / whole, 2),
            "rest_usd": max(0.0, sums.all_usd - sums.spent_usd),
        },
        "weight_bars": {line.task: round(100 * line.weight / heaviest, 2) for line in lines},
        "temperature": temperature,
        "factor": math.exp(min(0.2 / temperature, 700.0)),
        "note": NOT_IRS if contents.config["reference_model"].get("verdict") else "",
        "adjustments": _adjustments(contents.config["weights"]),
        "weights_hidden": hidden,
        **_weights(shown, contents.scored),
        "map": _map(contents, contents.map, palette) if contents.map else None,
        "drifts": _drifts(contents.changes["weights"]["tasks"]),
    }


def _adjustments(settings: Mapping[str, Any]) -> list[str]:
    """What stands between the mean IRS and the weight beside the softmax, in words; nothing in the paper's settings."""
    said = {
        "noisy task means are pulled towards the pool's": settings.get("shrinkage"),
        "means are trimmed": settings.get("estimator") == "trimmed",
        f"weights are multiplied by task size to the power {settings.get('size_prior')}": settings.get("size_prior"),
        f"{settings.get('floor')} of the weight is spread evenly": settings.get("floor"),
    }
    return [words for words, applies in said.items() if applies]


def _weights(lines: Sequence[TaskLine], scored: Sequence[Row]) -> dict[str, Any]:
    losses: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in scored:
        losses[row["task"]].append((row["loss_with_question"], row["loss_without_question"]))
    bounds = [value for line in lines for value in (line.irs, line.irs_low, line.irs_high) if value is not None]
    scale = axis(bounds)
    rows = []
    for line in lines:
        said = "not scored" if line.irs is None else f"IRS {line.irs:.2f}"
        if line.irs_low is not None and line.irs_high is not None:
            said += f", interval {line.irs_low:.2f} to {line.irs_high:.2f}"
        track = interval_svg(line.irs, line.irs_low, line.irs_high, scale, f"{line.task}: {said}")
        pairs = losses[line.task]
        means = (fsum(p[0] for p in pairs) / len(pairs), fsum(p[1] for p in pairs) / len(pairs)) if pairs else None
        rows.append({"line": line, "track": track, "losses": means})
    return {"weight_rows": rows, "irs_axis": scale}


def _map(contents: Contents, found: Map, palette: dict[str, str]) -> dict[str, Any]:
    shown = {task: palette[task] for task in sorted({dot.task for dot in found.dots})}
    instructed = sum(dot.kind != "pool" for dot in found.dots)
    return {
        "label": f"Map of {len(found.dots)} samples of {len(shown)} tasks; {instructed} of them instructed",
        "data": packed(map_data(contents, found, palette)),
        "colours": shown,
        "shown": len(found.dots),
        "of": found.of,
        "kept": found.kept,
        "placed": found.placed,
        "instructed": instructed,
    }


def _samples(contents: Contents) -> dict[str, Any]:
    shown, (low, high), inlined = contents.shown, contents.shown.extremes, _inlined(contents)
    return {
        "gallery": shown.gallery,
        "beside": contents.beside,
        "copies": [of_task for of_task in contents.copies if of_task.of or of_task.alike],
        **_clusters(contents.clusters),
        "per_task": max((len(picks) for picks in shown.gallery.values()), default=PER_TASK),
        "counts": Counter(row["task"] for row in contents.records if row["origin"] in CHOSEN_ORIGINS),
        "extremes": [("Lowest: the question matters", low), ("Highest: it does not help", high)] if low else [],
        "ends": shown.ends,
        "tasks_without_ends": len({row["task"] for row in contents.scored}) - len(shown.ends),
        "pictures": {row["sample_id"]: _address(contents, row["sample_id"], inlined) for row in shown.rows()},
    }


def _clusters(clusters: Sequence[Cluster]) -> dict[str, Any]:
    """As rows: those with most samples of all tasks, in the order of tasks."""
    largest = sorted(clusters, key=lambda one: (-one.size, one.task, one.number))[:_CLUSTER_ROWS]
    return {
        "clusters": sorted(largest, key=lambda one: (one.task, -one.size, one.number)),
        "clusters_hidden": len(clusters) - len(largest),
        "clusters_empty": sum(not one.seats for one in clusters),
    }


def _address(contents: Contents, name: str, inlined: set[str]) -> str | None:
    if name in contents.pictures and name not in inlined:
        return f"{folder_beside(contents)}/{name}.jpg"
    return data_uri(contents.pictures.get(name))


def data_uri(jpeg: bytes | None) -> str | None:
    """A picture as an address that needs no request."""
    return None if jpeg is None else f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def named(task: str) -> str:
    """A task's name; objects at the root of a source, or none at all, belong to no task."""
    return task if task.strip() else "(no task)"


def _ends(lines: Sequence[TaskLine]) -> tuple[list[TaskLine], int]:
    """All of them, or the first and the last ones, and how many that leaves out."""
    if len(lines) <= _WEIGHT_ROWS:
        return list(lines), 0
    half = _WEIGHT_ROWS // 2
    return [*lines[:half], *lines[-half:]], len(lines) - _WEIGHT_ROWS


def _drifts(tasks: Mapping[str, Mapping[str, float | None]]) -> list[dict[str, Any]]:
    """The tasks whose weight moved most."""
    moves = {task: (both["after"] or 0.0) - (both["before"] or 0.0) for task, both in tasks.items()}
    most = sorted((task for task in moves if moves[task]), key=lambda task: (-abs(moves[task]), task))[:12]
    return [{"task": task, **tasks[task], "change": moves[task]} for task in most]


def _packaged(name: str) -> str:
    return (resources.files("presel.report") / "templates" / name).read_text("utf-8")


@lru_cache(maxsize=1)
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("presel.report"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number="{:,}".format,
        percent=lambda share: f"{100 * share:.1f} %",
        named=named,
        dollars=dollars,
        picture_name=picture_name,
        duration=in_words,
    )
    return environment
