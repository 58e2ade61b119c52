"""Choose the images worth instructing, pay only for those: PreSel as a library (arXiv 2503.07591).

select(embeddings, tasks, ...)        which samples, out of a matrix of embeddings: a data frame
plan(tasks, ...)                      how a budget would be divided among tasks: a data frame
irs(model, processor, samples)        what a question is worth to a model, sample by sample: a data frame
open_dataset(store, name, version)    a published version: tables, records, pictures

The pipeline around them is `presel run` (docs/architecture.md), the arithmetic alone `presel.selection`, and every error of
either is a `presel.PreselError` (presel/errors.py). Each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from presel.errors import __version__

if TYPE_CHECKING:
    from presel.api.datasets import open_dataset
    from presel.api.picks import plan, select
    from presel.api.relevance import irs
    from presel.errors import PreselError

__all__ = ["PreselError", "__version__", "irs", "open_dataset", "plan", "select"]

_FROM = {
    "select": "presel.api.picks",
    "plan": "presel.api.picks",
    "irs": "presel.api.relevance",
    "open_dataset": "presel.api.datasets",
    "PreselError": "presel.errors",
}


def __getattr__(name: str) -> object:
    if name not in _FROM:
        raise AttributeError(f"module 'presel' has no attribute {name!r}")
    if name == "irs":
        from presel.errors import require

        require("models", "presel.irs")
    found = getattr(import_module(_FROM[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
