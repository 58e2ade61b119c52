"""Is the pool still the pool? What is looked at before any money is spent.

A wrong prefix, a bucket that is half synced, a mount that is gone: each looks like a pool whose pictures were deleted, and
would be published as a dataset of what is left. So a pool that lost more than `source.may_shrink` since the last version ends
the run, unless somebody has said, or will say in the approval form, that it is meant.
"""

from __future__ import annotations

import logging

from presel.config import RefreshConfig
from presel.dataset import history
from presel.errors import SupplyError
from presel.tables.schemas import TableRef

log = logging.getLogger(__name__)


def check_pool(samples: TableRef, config: RefreshConfig) -> None:
    """Raises SupplyError when the pool has lost more than it may; says so when a person will be asked."""
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
