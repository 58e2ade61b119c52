"""What the page is made of: a dataset version's tables as rows, a map, pictures. Gathered by the stage, drawn by `page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from presel.report.coverage_curves import Coverage
from presel.report.gallery import Row, Shown
from presel.report.plots import Dot
from presel.tables.schemas import Rows


@dataclass(frozen=True)
class Map:
    """Dots of the pool, and what must be said about them."""

    dots: Sequence[Dot]
    of: int
    """Samples in the pool; the dots are a uniform sample of these."""
    kept: float | None
    """Share of neighbours that the projection kept; None when it is plain principal components."""


@dataclass(frozen=True)
class Contents:
    """One dataset version, as far as a page shows it."""

    name: str
    version: int
    date: str
    """When the version was made, as it is to be printed."""
    plan: Sequence[Row]
    records: Sequence[Row] | Rows
    """`task`, `origin` and `cost_usd` of each: with all that is in a record, 150,000 of them were 1.5 GB."""
    scored: Sequence[Row]
    """`sample_id`, `task`, `irs` and both losses of the reference samples that have them."""
    shown: Shown
    """Whole records."""
    rejects: Sequence[Row]
    changes: Mapping[str, Any]
    config: Mapping[str, Any]
    digests: Mapping[str, str]
    libraries: Mapping[str, str]
    map: Map | None = None
    coverage: Coverage | None = None
    fit: Sequence[Row] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """Sample id to a JPEG thumbnail; a sample without one is shown as missing."""
