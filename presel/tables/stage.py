"""What makes a function a stage: its output is named by its inputs, and made only if it is not there yet.

    @stage("cluster", version=1)
    def cluster(out: Output, samples: TableRef, config: ClusteringConfig, seed: int) -> None: ...

    cluster(samples, config, seed) -> TableRef

Raise `version` when a change of the code changes the output for the same inputs. The output lies in the store of the
stage's first table, or in the one its `store` parameter names; the store is not part of the key.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Concatenate, Generic, ParamSpec

from presel.config.keys import canonical, stage_key
from presel.tables import table_store
from presel.tables.schemas import TableRef
from presel.tables.table_store import Output

P = ParamSpec("P")
Outside = Callable[[Mapping[str, Any]], str | None]
log = logging.getLogger(__name__)


class Stage(Generic[P]):
    """A callable from inputs to a table reference. `name` and `version` let a cache compute the same key."""

    def __init__(
        self, body: Callable[Concatenate[Output, P], None], name: str, version: int, outside: Outside | None = None
    ) -> None:
        functools.update_wrapper(self, body)
        signature = inspect.signature(body, eval_str=False)
        inputs = list(signature.parameters.values())[1:]
        self.__signature__ = signature.replace(parameters=inputs, return_annotation="TableRef")
        self.name, self.version, self._body, self._outside = name, version, body, outside

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TableRef:
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        store, key = store_of(bound.arguments), self.key(bound.arguments)
        found = table_store.find(store, self.name, key)
        if found is not None:
            log.info("%s %s: already there", self.name, found.label)
            return found
        out = Output(store, self.name, key)
        self._body(out, *args, **kwargs)
        made = out.commit(_described(bound.arguments))
        if made.parts:
            log.info("%s %s: %d rows, %d rejects", self.name, made.label, made.rows, made.rejects)
        else:
            log.info("%s: made", self.name)
        return made

    def key(self, inputs: Mapping[str, Any]) -> str:
        """The key of this stage's output for these inputs (parameter name -> value)."""
        named = {k: v for k, v in inputs.items() if k != "store"}
        if self._outside is not None and (found := self._outside(inputs)) is not None:
            named["outside"] = found
        return stage_key(self.name, self.version, named)


def stage(
    name: str, *, version: int, outside: Outside | None = None
) -> Callable[[Callable[Concatenate[Output, P], None]], Stage[P]]:
    """Make a stage of a function that writes to the Output it gets first.

    `outside`: from the inputs to what decides the output beyond them, or None: the digest of a file that a setting names, the
    device that this machine has.
    """
    return lambda body: Stage(body, name, version, outside)


def store_of(inputs: Mapping[str, Any]) -> str:
    """Where a stage with these inputs writes."""
    if isinstance(inputs.get("store"), str):
        return str(inputs["store"])
    for value in inputs.values():
        first = value[0] if isinstance(value, list | tuple) and value else value
        if isinstance(first, TableRef):
            return first.store
    raise TypeError("a stage needs a table or a `store` among its inputs to know where to write")


def _described(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: canonical(value) for name, value in inputs.items() if name != "store"}
