"""What is paid for already: the samples of earlier versions that are still in the pool.

Looking for the version to build on is not a keyed stage, because versions are published while no input changes; what it
finds then is one (`history`), so that everything downstream depends on it by content. A refresh of an unchanged pool
finds the same base as the run that published, and so the same table.

What `history.keep` means, exactly:
- `always`: every sample of the base whose image is in the pool stays in the dataset, and takes a seat of the budget. So does
  one that the base lacks only because its image was away when the base was made. If these seats are more than the budget, all
  of them stay and nothing is chosen; `history.rebase` goes back to an earlier version.
- `while_budget`: the same as far as the budget reaches. Beyond it, each task gives up the same share, the last picked first;
  they may be picked again when the budget grows, and then cost nothing.
- `while_selected`: no sample is in the dataset because it was before. The choice is made as though there were no earlier
  version, and what is chosen again is replayed from the ledger.
- `never`: as `while_selected`, but samples of the base, of its base and so on are left out of the choice: every version is a
  new batch. The reference set is drawn as ever (it measures the tasks), and costs nothing where it is paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from presel.concurrency import progress
from presel.config import RefreshConfig
from presel.dataset import history
from presel.selection.reference import draw_order, reference_size
from presel.selection.seats import budget_size
from presel.tables import table_store
from presel.tables.schemas import PAID, DatasetRef, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output


def recall(samples: TableRef, config: RefreshConfig, basis: Sequence[TableRef] = ()) -> TableRef:
    """PAID, one part for every part of `samples`, from the versions of this dataset that count.

    `basis`: the earlier reference set that weights rest on, if they do.
    """
    base = history.base_of(samples, config, basis)
    keep, store = config.history.keep, config.store
    chain = {"while_selected": lambda *_: (), "never": history.lineage}.get(keep, history.that_kept)
    versions = list(chain(store, base))
    limits = _limits(config) if keep == "while_budget" else None
    settings = history.present_settings(config)
    found = paid(samples, versions, base.version if base else None, keep in history.KEEPING, limits, settings)
    built_on = f"built on version {base.version}, keep: {keep}" if base else "built on no earlier version"
    progress.report("history", "base", found.rows, found.rows, "paid samples", built_on)
    return found


def _limits(config: RefreshConfig) -> dict[str, Any]:
    """What decides how many samples may stay."""
    return {"budget": config.budget.share, "reference": config.reference.share, "seed": config.seed}


@stage("history", version=2)
def paid(
    out: Output,
    samples: TableRef,
    versions: list[DatasetRef],
    base: int | None,
    stays: bool,
    limits: dict[str, Any] | None,
    generator: dict[str, Any],
) -> None:
    """PAID of the samples that these versions instructed and the pool still holds, by task and sample id.

    Facts: `base`, the number of the version built on; `gone`, how many paid samples the pool has lost; `over`, how many leave
    because the budget does not hold them.
    """
    by_version = list(map(history.instructed, versions))
    instructed = pa.concat_arrays([pa.array([], pa.string()), *by_version]).unique()
    settings = list(map(history.generator_settings, versions))
    leave = leaving(samples, instructed, versions, limits) if limits else pa.array([], pa.string())
    found = 0
    for part in samples.parts:
        columns = ["sample_id", "task", "key", "content"]
        table = table_store.read_part(samples, part, columns) if versions else PAID.empty_table().select(columns)
        still = table.filter(pc.is_in(table["sample_id"], value_set=instructed)).combine_chunks()
        found += still.num_rows
        still = still.filter(pc.invert(pc.is_in(still["sample_id"], value_set=leave)))
        alike = [
            ids
            for ids, asked in zip(by_version, settings, strict=True)
            if history.asked_alike(part.label, asked, generator)
        ]
        answered = pa.concat_arrays([pa.array([], pa.string()), *alike])
        marked = still.append_column("stays", pa.array([stays] * still.num_rows, pa.bool_()))
        rows = marked.append_column("answered", pc.is_in(still["sample_id"], value_set=answered))
        out.write(rows.cast(PAID), PAID, part.label)
    out.note(base=base, gone=len(instructed) - found, over=len(leave))


def _answered(
    task: str, instructed: Sequence[pa.Array], settings: Sequence[dict[str, Any]], present: dict[str, Any]
) -> pa.Array:
    """Ids of what a version asked about in the way of today."""
    pairs = zip(instructed, settings, strict=True)
    return pa.concat_arrays(
        [pa.array([], pa.string()), *(ids for ids, asked in pairs if history.asked_alike(task, asked, present))]
    )


def leaving(
    samples: TableRef, instructed: pa.Array, versions: Sequence[DatasetRef], limits: dict[str, Any]
) -> pa.Array:
    """Ids of samples that must leave where more stay than the budget holds beside the reference set.

    Every task keeps the same share of its own, in the order in which they were picked; what was a reference sample once comes
    first.
    """
    order: dict[str, int] = {}
    for version in versions:  # the newest first: the oldest place of a sample counts
        order |= history.places(version)
    room = budget_size(samples.rows, limits["budget"])
    candidates: dict[str, list[str]] = {}
    for part in samples.parts:
        ids = table_store.read_part(samples, part, ["sample_id"])["sample_id"]
        size = reference_size(part.rows, limits["reference"])
        drawn = {ids[at].as_py() for at in draw_order(ids.to_pylist(), limits["seed"])[:size]}
        room -= size
        paid_for = ids.filter(pc.is_in(ids, value_set=instructed)).to_pylist()
        candidates[part.label] = sorted({*paid_for} - drawn, key=lambda name: (order.get(name, -1), name))
    kept = _shared_out(max(0, room), {task: len(names) for task, names in candidates.items()})
    return pa.array([name for task, names in candidates.items() for name in names[kept[task] :]], pa.string())


def _shared_out(room: int, counts: dict[str, int]) -> dict[str, int]:
    """So many seats in proportion to counts, none above its count; the largest remainders are rounded up, ties by name."""
    total = sum(counts.values())
    if total <= room:
        return counts
    shares = {task: divmod(room * count, total) for task, count in counts.items()}
    left = room - sum(whole for whole, _ in shares.values())
    upwards = sorted(shares, key=lambda task: (-shares[task][1], task))[:left]
    return {task: whole + (task in upwards) for task, (whole, _) in shares.items()}
