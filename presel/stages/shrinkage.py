"""Is the pool one to plan with? What is looked at before any money is spent, and kept to be shown if the plan fails.

A pool without one usable image is refused with the reasons: most often the rule for tasks is wrong. A wrong prefix, a bucket
that is half synced, a mount that is gone: each looks like a pool whose pictures were deleted, and would be published as a
dataset of what is left. So a pool that lost more than `source.may_shrink` since the last version ends the run, unless somebody
has said, or will say in the approval form, that it is meant.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from presel.config import RefreshConfig
from presel.dataset import history
from presel.dataset.records import rejected_rows
from presel.errors import SupplyError
from presel.images.reasons import Reason
from presel.runs.refused import refused
from presel.runs.run_record import PoolRecord, save_pool
from presel.tables.schemas import TableRef

log = logging.getLogger(__name__)
_CURES = {
    Reason.NO_TASK: "correct source.tasks or source.mapping: `presel doctor` shows what they make of the source",
    Reason.UNREADABLE: "let this user read them, or check the network, then run again",
    Reason.ARCHIVED: "restore the objects, then run again",
}
_EXAMPLES = 3


def check_pool(catalog: TableRef, embeddings: Sequence[TableRef], samples: TableRef, config: RefreshConfig) -> None:
    """Raises SupplyError when no image is usable, and when the pool has lost more than it may and nobody will be asked."""
    found = PoolRecord(config=config, catalog=catalog, embeddings=tuple(embeddings), samples=samples)
    save_pool(found)
    if not samples.rows:
        raise _nothing_usable(found)
    lost = history.lost(samples, config)
    if lost is None or lost.share <= config.source.may_shrink:
        return
    if config.execution.approve:
        log.warning("%s", lost.words)
        return
    raise SupplyError(
        lost.words,
        where=config.source.uri,
        expected=f"a loss of at most {config.source.may_shrink:.0%} (`source.may_shrink`)",
        got=f"{lost.share:.0%}",
        fix="check `source.uri`, and whether all of it is mounted or synced; nothing was bought or published. "
        "If it is meant: `presel run --accept-shrink`",
    )


def _nothing_usable(found: PoolRecord) -> SupplyError:
    rows = rejected_rows(refused(found))
    counts = Counter(row["reason"] for row in rows)
    first = max(counts, key=lambda reason: (counts[reason], reason), default="")
    examples = [f"{row['key']}: {row['detail'] or row['reason']}" for row in rows if row["reason"] == first]
    return SupplyError(
        "no image of the pool is usable",
        where=found.config.source.uri,
        expected="at least one image that has a task, can be read and decodes",
        got=f"{', '.join(f'{count:,} {reason}' for reason, count in counts.most_common())} ({'; '.join(examples[:_EXAMPLES])})",
        fix=_CURES.get(Reason(first), "docs/rejects.md says what the reasons mean; `presel explain IMAGE` tells of one")
        if first
        else None,
    )
