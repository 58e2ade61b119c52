"""What the page is made of: a dataset version's tables as rows, a map, pictures. Gathered by the stage, drawn by `page`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from presel.report.answers import Answers
from presel.report.coverage_curves import Coverage
from presel.report.dots import Dot
from presel.report.gallery import Row, Shown
from presel.report.money_curve import Spending
from presel.report.sheets import Sheets
from presel.report.timing import Timing
from presel.tables.schemas import Rows


@dataclass(frozen=True)
class Map:
    """Dots of the pool, and what must be said about them."""

    dots: Sequence[Dot]
    of: int
    """Samples in the pool; the dots are a uniform sample of these."""
    kept: float | None
    """Share of neighbours that the projection kept; None when it is plain principal components."""
    placed: int = 0
    """Dots that lie beside those which they are most like, rather than where the projection put them."""


@dataclass(frozen=True)
class Beside:
    """A sample's nearest neighbours of its task, and the cosines: one that was not instructed, and one that was."""

    skipped: tuple[Dot, float] | None
    picked: tuple[Dot, float] | None


@dataclass(frozen=True)
class Face:
    """A sample as a picture."""

    sample_id: str
    key: str
    content: str = ""
    centrality: float | None = None


@dataclass(frozen=True)
class Cluster:
    """One cluster of a task."""

    task: str
    number: int
    size: int
    """Samples."""
    reference: int
    """Of these, drawn into the reference set."""
    seats: int
    """Of these, chosen and instructed."""
    first: Face | None
    last: Face | None
    others: tuple[Face, ...]
    """Its most central samples that were not chosen."""


@dataclass(frozen=True)
class Copy:
    """Two samples that are nearly one: the later, and the one that came before it."""

    task: str
    copy: Face
    original: Face | None
    """None where the pool no longer holds it."""
    cosine: float


@dataclass(frozen=True)
class Copies:
    """Near-copies of a task."""

    task: str
    taken_out: Sequence[Copy]
    """Some of those that the guard took out."""
    of: int
    """How many it took out."""
    alike: Sequence[Copy]
    """The picks that are most alike."""


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
    beside: Mapping[str, Beside] = field(default_factory=dict)
    """Of samples that are shown."""
    clusters: Sequence[Cluster] = ()
    copies: Sequence[Copies] = ()
    verdict: str = ""
    """Is the reference set large enough? Empty where nobody said."""
    answers: Answers = field(default_factory=Answers)
    refused_answers: Sequence[Row] = ()
    timing: Timing | None = None
    spending: Spending | None = None
    said: Mapping[str, Row] = field(default_factory=dict)
    """The first turn of every instructed sample on the map."""
    sheets: Sheets = field(default_factory=Sheets)
    """Small pictures, by sample id."""
    coverage: Coverage | None = None
    fit: Sequence[Row] = ()
    guards: Mapping[str, float | None] = field(default_factory=dict)
    """Task to the cosine from which an image was a near-duplicate; None or absent: no guard."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """Sample id to a JPEG thumbnail; a sample without one is shown as missing."""
