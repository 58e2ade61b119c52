"""On which reference set the task weights rest: this run's, or an earlier run's while that is still good enough.

Fitting a reference model is the long step of a refresh, hours on a GPU for a model of 7B parameters, and a pool that grew by a
hundred images tops up the reference set: fitted anew every night, weights would cost more than they can have moved. So
`weights.reestimate` says how far the reference set may drift, and for how long, before they are estimated anew. The defaults
allow no drift at all. While an earlier set serves, the reference model and its losses are those of that set, found on the
store under the keys they were made with; new samples are instructed all the same, and count the next time.

Weights are estimated anew whatever the drift where the pool has gained or lost a task, where the reference model, its images
or the seed have changed, and where the earlier tables are gone. An answer that was asked for in another way is another sample.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from presel.config import ReestimateConfig, RefreshConfig
from presel.config.keys import canonical
from presel.errors import IntegrityError, NotFound
from presel.runs import run_record
from presel.runs.run_record import RunRecord
from presel.tables import table_store
from presel.tables.schemas import Reference, TableRef

log = logging.getLogger(__name__)

_DAY = 86_400.0


class Basis(Reference):
    """INSTRUCTIONS of a reference set, one table a task."""

    instructions: tuple[TableRef, ...]
    earlier: bool = False
    """Whether it is that of an earlier run."""

    def split(self) -> list[TableRef]:
        return list(self.instructions)

    @property
    def kept(self) -> tuple[TableRef, ...]:
        """The tables of an earlier run, if it is that."""
        return self.instructions if self.earlier else ()


def choose_basis(instructed: list[TableRef], config: RefreshConfig, now: float | None = None) -> Basis:
    """The reference set to estimate weights from. `instructed`: this run's, in task order; `now`: seconds since the epoch."""
    present = Basis(instructions=tuple(instructed))
    # Without leave to drift no answer is compared, so nothing need be read.
    record = _latest(config) if config.weights.reestimate.growth else None
    if record is None or not _comparable(record, instructed, config):
        return present
    before = record.basis or record.reference_instructions
    drift, age = _drift(before, instructed), (now or time.time()) - table_store.finished(record.model)
    if not drift or not _good_enough(config.weights.reestimate, drift, age):
        return present
    log.info("weights stay as estimated %.1f days ago: %.1f %% of the reference set differ", age / _DAY, 100 * drift)
    return Basis(instructions=before, earlier=True)


def _good_enough(allowed: ReestimateConfig, drift: float, age: float) -> bool:
    return drift <= allowed.growth and (allowed.days is None or age < allowed.days * _DAY)


def _latest(config: RefreshConfig) -> RunRecord | None:
    try:
        return run_record.latest(config.store, config.dataset.name)
    except (NotFound, IntegrityError):  # this run writes it anew
        return None


def _comparable(record: RunRecord, instructed: Sequence[TableRef], config: RefreshConfig) -> bool:
    """Whether the earlier estimate is of the same tasks, by the same model, and still there."""
    before = record.basis or record.reference_instructions
    return (
        [ref.label for ref in before] == [ref.label for ref in instructed]
        and _asked(record.config) == _asked(config)
        and all(table_store.find(ref.store, ref.stage, ref.key) for ref in (*before, record.model, *record.relevance))
    )


def _asked(config: RefreshConfig) -> tuple[object, ...]:
    """What the losses depend on beside the reference set."""
    return canonical(config.reference_model), canonical(config.encoder.images), config.seed


def _drift(before: Sequence[TableRef], after: Sequence[TableRef]) -> float:
    """Samples that have come or gone, over what there was: 0 for the same set."""
    old, new = _samples(before), _samples(after)
    return len(old ^ new) / max(1, len(old))


def _samples(refs: Sequence[TableRef]) -> set[tuple[str, str]]:
    tables = (table_store.read(ref, ["sample_id", "request"]) for ref in refs)
    return {pair for table in tables for pair in zip(*(column.to_pylist() for column in table.columns), strict=True)}
