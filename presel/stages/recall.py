"""What is paid for already: the samples of earlier versions that are still in the pool.

Looking for the version to build on is not a keyed stage, because versions are published while no input changes; what it
finds then is one (`history`), so that everything downstream depends on it by content. A refresh of an unchanged pool
finds the same base as the run that published, and so the same table.

What `history.keep` means, exactly:
- `always`: every sample of the base whose image is in the pool stays in the dataset, and takes a seat of the budget. If the
  pool shrank so far that these seats are more than the budget, all of them stay and nothing is chosen.
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

from presel import progress
from presel.config import RefreshConfig
from presel.dataset import history
from presel.tables import table_store
from presel.tables.schemas import PAID, DatasetRef, TableRef
from presel.tables.stage import stage
from presel.tables.table_store import Output


def recall(samples: TableRef, config: RefreshConfig, basis: Sequence[TableRef] = ()) -> TableRef:
    """PAID, one part for every part of `samples`, from the versions of this dataset that count.

    `basis`: the earlier reference set that weights rest on, if they do.
    """
    base = history.base_of(samples, config, basis)
    keep = config.history.keep
    reach = {"always": 1, "while_selected": 0, "never": None}[keep]
    versions = list(history.lineage(config.store, base)[:reach])
    settings = history.present_settings(config)
    found = paid(samples, versions, base.version if base else None, keep == "always", settings)
    built_on = f"built on version {base.version}, keep: {keep}" if base else "the first version"
    progress.report("history", "base", found.rows, found.rows, "paid samples", built_on)
    return found


@stage("history", version=1)
def paid(
    out: Output,
    samples: TableRef,
    versions: list[DatasetRef],
    base: int | None,
    stays: bool,
    generator: dict[str, Any],
) -> None:
    """PAID of the samples that these versions instructed and the pool still holds, by task and sample id.

    Facts: `base`, the number of the version built on; `gone`, how many paid samples the pool has lost.
    """
    instructed = pa.concat_arrays([pa.array([], pa.string()), *map(history.instructed, versions)]).unique()
    before = history.generator_settings(versions[0]) if versions else None
    found = 0
    for part in samples.parts:
        columns = ["sample_id", "task", "key", "content"]
        table = table_store.read_part(samples, part, columns) if versions else PAID.empty_table().select(columns)
        still = table.filter(pc.is_in(table["sample_id"], value_set=instructed)).combine_chunks()
        alike = before is not None and history.asked_alike(part.label, before, generator)
        marks = [pa.array([value] * still.num_rows, pa.bool_()) for value in (stays, alike)]
        rows = still.append_column("stays", marks[0]).append_column("answered", marks[1])
        out.write(rows.cast(PAID), PAID, part.label)
        found += rows.num_rows
    out.note(base=base, gone=len(instructed) - found)
