"""Incomplete outputs: a later run may complete them although no input has changed.

A read that failed may work tomorrow, and a request that the money cap held back is paid for when the cap is raised. Neither
is in a key, so without this module the incomplete output would count as finished for ever. Instead, the next run that asks for
it makes another one: `<key>-1`, `<key>-2` and so on. If that one is no more complete, its digest is the same, and nothing after
it is done again; the price is three small objects a run. A complete output keeps its key for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Concatenate, ParamSpec

from presel.errors import NotFound
from presel.storage import open_store
from presel.tables import table_store
from presel.tables.schemas import TableRef
from presel.tables.stage import Outside, Stage, store_of
from presel.tables.table_store import Output

P = ParamSpec("P")


class OpenStage(Stage[P]):
    """A stage whose key also holds how often something could not be had. `lacks`: the fact that counts it."""

    def __init__(
        self,
        body: Callable[Concatenate[Output, P], None],
        name: str,
        version: int,
        lacks: str,
        outside: Outside | None = None,
    ) -> None:
        super().__init__(body, name, version, outside)
        self._lacks = lacks

    def key(self, inputs: Mapping[str, Any]) -> str:
        return open_key(store_of(inputs), self.name, super().key(inputs), self._lacks)


def open_key(store: str, stage: str, first: str, lacks: str) -> str:
    """The key of the output that is final, or of the one to make. `lacks`: the fact that counts what may come another time.

    A small object says which output was the last, so that older ones may be cleared away.
    """
    try:
        key = _key(first, int(open_store(store).read(_path(stage, first))))
    except NotFound:
        key = first
    made = table_store.find(store, stage, key)
    again = made is not None and made.rejects > 0 and table_store.facts(made).get(lacks, 0) > 0
    return _key(first, _number(key) + 1) if again else key


def former(out: Output) -> TableRef | None:
    """The output before this one, which lacked something."""
    number = _number(out.key)
    return table_store.find(out.store, out.stage, _key(_first(out.key), number - 1)) if number else None


def is_last(out: Output) -> None:
    """Note that this output follows an earlier one: call it before there is anything to lose."""
    if number := _number(out.key):
        open_store(out.store).write(_path(out.stage, _first(out.key)), str(number).encode())


def _key(first: str, number: int) -> str:
    return f"{first}-{number}" if number else first


def _first(key: str) -> str:
    return key.partition("-")[0]


def _number(key: str) -> int:
    return int(key.partition("-")[2] or 0)


def _path(stage: str, first: str) -> str:
    return f"again/{stage}/{first}"
