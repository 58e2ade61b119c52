"""What a task needs most: processors, an accelerator, or somebody else's API. By this a runner decides where it runs.

Not a Prefect tag, though that is what tags look made for: for every task run that has one, Prefect asks the server for a slot
of each tag and gives it back, whether or not a limit exists, and SQLite answers one at a time. A run of 250 tasks, all of them
cached, took 25.3 s with two tags each and 4.1 s without (docs/performance-notes.md). How many runs a machine takes at once is
the worker's `--limit`.
"""

from __future__ import annotations

from enum import StrEnum


class Resource(StrEnum):
    """The scarce thing."""

    CPU = "cpu"
    GPU = "gpu"
    API = "api"


_needed: dict[str, Resource] = {}


def declare(task_name: str, resource: Resource) -> None:
    """Every task says so once, where it is made."""
    _needed[task_name] = resource


def resource_of(task_name: str) -> Resource:
    """Of a task that has not declared any: processors."""
    return _needed.get(task_name, Resource.CPU)
