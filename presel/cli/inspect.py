"""`presel status`, `explain` and `report`: reading what runs left on the store. Nothing here costs money or starts work."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from presel.cli import watching
from presel.cli.console import screen, show, table, visible
from presel.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Overrides
from presel.cli.run import COLUMNS
from presel.config import RefreshConfig
from presel.config.file import load
from presel.dataset import versions
from presel.dataset.records import rejected_rows
from presel.errors import ConfigError, NotFound
from presel.runs import explain_image as explaining
from presel.runs import explain_task, run_record, summary
from presel.runs.explain_image import Explanation
from presel.runs.figures import dollars
from presel.runs.refused import refused
from presel.runs.run_record import PoolRecord, RunRecord
from presel.runs.summary import Summary
from presel.sources.catalog import in_words, since_before
from presel.tables import table_store
from presel.tables.schemas import TableRef


def status(
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the runs that are under way, here or elsewhere, until they end.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Where the dataset stands: the pool, the plan, what was paid, the latest version."""
    if watch and not as_json and not watching.watch(load(config, overrides)):
        screen.print("No run is under way on this store.\n")
    record = _latest(config, overrides)
    if isinstance(record, PoolRecord):
        _show_pool(record, as_json)
        return
    run = Summary(record)
    rows, rejects, paid = run.task_rows(), run.reject_counts(), run.money.paid
    pool = since_before(record.catalog, record.samples)
    result: dict[str, Any] = {
        "images": sum(row["images"] for row in rows),
        "pool": pool,
        "samples": record.samples.rows,
        "instructed": sum(row["reference"] + row["picked"] for row in rows),
        "budget": sum(row["reference"] + row["kept"] + row["quota"] for row in rows),
        "over_budget": run.over_budget,
        "rejects": rejects,
        "paid_usd": paid,
        "dataset": versions.latest(record.config.store, record.config.dataset.name),
        "tasks": rows,
    }

    def words() -> None:
        screen.print(f"{result['images']} images listed, {result['samples']} usable samples")
        screen.print(in_words(pool), soft_wrap=True)
        screen.print(f"{result['instructed']} of {result['budget']} instructed for {dollars(paid)}")
        if run.over_budget:
            screen.print(run.over_budget, markup=False, soft_wrap=True)
        table(rows, COLUMNS, total=True)
        for reason, count in rejects.items():
            screen.print(f"  {count:6} rejected: {reason}", markup=False)
        published = result["dataset"].uri if result["dataset"] else "nothing yet: run `presel run`"
        screen.print(f"Published: {published}", markup=False, soft_wrap=True)

    show(result, as_json, words)


def _show_pool(record: PoolRecord, as_json: bool) -> None:
    """Where a run came to before it planned: why images were rejected, first of all."""
    rows = rejected_rows(refused(record))
    rejects = dict(Counter(row["reason"] for row in rows).most_common())
    listed = sum(table_store.facts(record.catalog)["listed"].values())
    result = {"images": listed, "samples": record.samples.rows, "rejects": rejects, "dataset": None, "tasks": []}

    def words() -> None:
        screen.print("No plan has been made yet. What the last run found:")
        for reason, count in rejects.items():
            example = next(row for row in rows if row["reason"] == reason)
            said = f"  {count:6} rejected: {reason}, for example {example['key']}"
            screen.print(
                visible(said + (f" ({example['detail']})" if example["detail"] else "")), markup=False, soft_wrap=True
            )
        screen.print(f"{listed} images listed, {record.samples.rows} usable samples")

    show(result, as_json, words)


def explain(
    image: Annotated[str | None, typer.Argument(help="The image's key below the source, or a sample id.")] = None,
    task: Annotated[str | None, typer.Option(help="Explain this task's weight in place of an image.")] = None,
    pictures: Annotated[
        bool, typer.Option("--open", help="Show it beside the images that were picked instead, in a browser.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Why this image was or was not picked, and which ones were picked instead: cluster, rank, quota, reject reason, cost.

    With --task: why the task weighs what it weighs, down to its most and least relevant reference samples.
    """
    if (image is None) == (task is None):
        raise ConfigError("name one thing to explain", where="presel explain", expected="an image, or --task TASK")
    if task is not None:
        planned = _latest(config, overrides)
        if isinstance(planned, PoolRecord):
            raise NotFound(
                "no plan has been made yet", where=planned.config.store, fix="`presel status` shows what there is"
            )
        told = explain_task.explain_task(planned, task)
        show(told, as_json, lambda: _print_lines(explain_task.lines(told)))
        return
    assert image is not None
    record = _latest(config, overrides)
    found = explaining.explain(record, image)
    page = _side_by_side(found, record) if pictures else None
    show(found, as_json, lambda: _print_lines(_in_words(found, page)))


def _in_words(found: Explanation, page: Path | None) -> list[str]:
    lines = [f"{found.key} (task {found.task})", found.verdict]
    if found.relevance:
        lines.append(f"IRS {found.relevance['irs']:.3f}")
    if found.instruction:
        lines += [
            line for t in found.instruction["turns"] for line in (f"  Q: {t['question']}", f"  A: {t['response']}")
        ]
    if found.paid_usd is not None:
        lines.append(f"cost {dollars(found.paid_usd)}")
    if found.instead:
        lines.append("picked instead, the most alike of its task first:")
        lines += [f"  cosine {one.cosine:.3f}  {one.origin:9}  {one.key}" for one in found.instead]
    return [*lines, f"side by side: {page}"] if page else lines


def _side_by_side(found: Explanation, record: RunRecord | PoolRecord) -> Path:
    from presel.cli.side_by_side import Shown, show_pictures

    shown = [Shown(found.key, found.content, found.verdict)]
    shown += [Shown(one.key, one.content, f"{one.origin}, cosine {one.cosine:.3f}") for one in found.instead]
    return show_pictures(f"{found.key} and what was picked instead", shown, record.config)


def report(
    config: ConfigPath = DEFAULT_CONFIG,
    overrides: Overrides = [],  # noqa: B006
    to: Annotated[Path | None, typer.Option(help="Copy the page here.")] = None,
    compare: Annotated[tuple[int, int] | None, typer.Option(help="Two versions, side by side.")] = None,
    as_json: AsJson = False,
) -> None:
    """Where the latest report lies; with --to, a copy of it, and of the pictures beside it.

    With --compare 3 5: a page about these two versions, written to --to, else to NAME-3-5.html (of the dataset).
    """
    settings = load(config, overrides)
    if compare is not None:
        _compare(settings, *compare, to, as_json)
        return
    try:
        record = run_record.published(settings.store, settings.dataset.name)
    except NotFound:
        record = None
    if record is None or record.report is None:
        fix = "run `presel run`; `presel status` shows what there is, rejects first"
        raise NotFound("there is no report yet", where=settings.store, fix=fix)
    address = summary.report_address(record)
    if to is not None:
        copy_page(record.report, to)
        address = str(to)
    show({"report": address}, as_json, lambda: screen.print(address, markup=False, soft_wrap=True))


def _compare(settings: RefreshConfig, before: int, after: int, to: Path | None, as_json: bool) -> None:
    from presel.report.compare import compare
    from presel.report.page import comparison_page

    name = settings.dataset.name
    old, new = (versions.find(settings.store, name, number) for number in (before, after))
    page = to or Path(f"{name}-{before}-{after}.html")
    found = compare(old, new, settings.source, settings.encoder.images)
    try:
        page.write_bytes(comparison_page(found))
    except OSError as error:
        raise ConfigError(f"the page cannot be written: {error.strerror}", where=str(page)) from error
    picks = {kind.heading.lower(): kind.count for kind in found.picks}
    words = f"{page}: picks " + ", ".join(f"{count:,} {kind}" for kind, count in picks.items())
    show({"page": str(page), "picks": picks}, as_json, lambda: screen.print(words, markup=False, soft_wrap=True))


def copy_page(report: TableRef, to: Path) -> None:
    """The page under that name, and the folder of pictures that it has no room for beside it."""
    names = table_store.manifest(report.store, report.folder)["files"]
    try:
        to.write_bytes(table_store.file(report, "page.html"))
        for name in sorted(name for name in names if "/" in name):
            beside = to.parent / name
            beside.parent.mkdir(exist_ok=True)
            beside.write_bytes(table_store.file(report, name))
    except OSError as error:
        raise ConfigError(f"the page cannot be copied: {error.strerror}", where=str(to)) from error


def _print_lines(lines: list[str]) -> None:
    for line in lines:
        screen.print(visible(line), markup=False, soft_wrap=True)


def _latest(config: Path, overrides: list[str]) -> RunRecord | PoolRecord:
    """The latest record; before there is one, what a run has found."""
    settings = load(config, overrides)
    try:
        return run_record.latest(settings.store, settings.dataset.name)
    except NotFound:
        if found := run_record.pool(settings.store, settings.dataset.name):
            return found
        raise
