"""The dataset card: what a person (or the Hugging Face hub) reads before using a version.

It holds no date and no address, so the same content gives the same card anywhere. Task names and reject reasons come from
keys and from models, so whatever Markdown could take for structure in them is escaped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from html import escape
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from presel.config.reference_model import NOT_IRS
from presel.dataset.trainer_formats import size_category
from presel.images.reasons import Reason
from presel.runs.figures import Row, TaskLine, Totals, dollars, over_budget_words, task_lines, totals


def card(
    name: str,
    version: int,
    *,
    plan: Sequence[Row],
    records: Iterable[Row],
    rejects: Sequence[Row],
    changes: Mapping[str, Any],
    config: Mapping[str, Any],
) -> str:
    """Markdown with a YAML header. `changes` is diff.json, `config` is config.json. `records` are gone through twice."""
    lines = task_lines(plan, records, rejects)
    sums = totals(lines, rejects)
    return (
        _templates()
        .get_template("card.md.j2")
        .render(
            name=name,
            version=version,
            lines=lines,
            sums=sums,
            over_budget=over_budget_words(plan, config["budget"]["share"]),
            reasons=Counter((row["stage"], row["reason"]) for row in rejects).most_common(),
            changes=changes,
            config=config,
            models=sorted({row["model"] for row in records if row["model"]}),
            size=size_category(sums.records),
            saved=_saved(sums),
            held_out=sum(row["reason"] == "held_out" for row in rejects),
            note=NOT_IRS if config["reference_model"].get("verdict") else "",
            pending=sum(row["reason"] == Reason.PENDING for row in rejects),
            unpaid=sum(row["reason"] == Reason.CAP_REACHED for row in rejects),
        )
    )


def plain(text: object) -> str:
    """Hostile text as one Markdown line, in which nothing is markup and a table cell ends where it should."""
    line = " ".join(str(text).split()) or "(none)"
    return re.sub(r"([\\`*_{}\[\]#|~!])", r"\\\1", escape(line, quote=False))


def code(text: object) -> str:
    """Hostile text between backticks: there nothing is markup but the backtick."""
    return " ".join(str(text).replace("`", "'").split())


def _saved(sums: Totals) -> float:
    return 1 - sums.spent_usd / sums.all_usd if sums.all_usd else 0.0


def interval(line: TaskLine) -> str:
    """IRS with its interval, or a dash for a task with no scored reference sample."""
    if line.irs is None:
        return "–"
    if line.irs_low is None or line.irs_high is None:
        return f"{line.irs:.3f}"
    return f"{line.irs:.3f} ({line.irs_low:.2f}–{line.irs_high:.2f})"


@lru_cache(maxsize=1)
def _templates() -> Environment:
    # Markdown, not HTML: escaping is `plain`, applied by hand to everything that is not ours.
    environment = Environment(
        loader=PackageLoader("presel.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters.update(plain=plain, code=code, dollars=dollars, interval=interval)
    return environment
