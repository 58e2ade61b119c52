"""Prefect's own records (small references, as JSON) kept on the same store as the data they point to.

A block, so that a worker on another machine finds the records by the block's name. It holds an address, never a secret:
credentials come from the environment of the process that reads.
"""

from __future__ import annotations

from prefect.filesystems import WritableFileSystem
from prefect.utilities.asyncutils import run_sync_in_worker_thread, sync_compatible

from presel.config.keys import short_digest
from presel.storage import open_store

RESULTS = "results"


class StoreResults(WritableFileSystem):
    """Task results below `results/` of a presel store."""

    _block_type_name = "Presel store results"
    _block_type_slug = "presel-store-results"

    store: str

    @sync_compatible
    async def read_path(self, path: str) -> bytes:
        return await run_sync_in_worker_thread(open_store(self.store).read, f"{RESULTS}/{path}")

    @sync_compatible
    async def write_path(self, path: str, content: bytes) -> None:
        await run_sync_in_worker_thread(open_store(self.store).write, f"{RESULTS}/{path}", content)


def results_in(store: str) -> StoreResults:
    """The block for that store, registered with the server; registering again changes nothing."""
    block = StoreResults(store=store)
    block.save(f"presel-{short_digest(store)[:12]}", overwrite=True)
    return block
