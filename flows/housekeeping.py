"""Housekeeping: what on the store does nobody need any more, and is the latest version what was published?"""

from __future__ import annotations

from prefect import flow

from presel.config import RefreshConfig
from tasks.cpu import collect_garbage, verify_latest
from tasks.policy import FLOW
from tasks.show import show_garbage


@flow(name="housekeeping", flow_run_name="housekeeping {config.dataset.name}", **FLOW)
def housekeeping(config: RefreshConfig, delete: bool = False) -> None:
    """Deletes only if told to, and only what an earlier run has marked. Fails when something published has changed."""
    show_garbage(config, collect_garbage(config.store, delete))
    verify_latest(config.store, config.dataset.name)
