"""Cross-fitting: two adapters, each fitted on one half of the reference set and asked about the other.

A model knows the responses it was fitted on, with the question and without, so losses measured on them say less about the
question than about memory (the paper measures them there, on 5 % of the pool and after one epoch). Which half a sample is in is
a keyed digest of its id: it depends on no other sample, so a set that grows moves none, and scoring needs no table of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from presel.config.keys import short_digest
from presel.reference_model.reading import Sample

FOLDS = (0, 1)


def fold_of(sample_id: str) -> int:
    """0 or 1."""
    return int(short_digest("fold", sample_id), 16) % len(FOLDS)


def unseen_by(fold: int) -> str:
    """The name of the adapter that was fitted without that fold, which is the one to score it with."""
    return f"without-fold-{fold}"


def to_fit(samples: Iterable[Sample], fold: int) -> list[Sample]:
    """What that adapter is fitted on."""
    return [sample for sample in samples if fold_of(sample.id) != fold]


def to_score(samples: Iterable[Sample], fold: int) -> list[Sample]:
    return [sample for sample in samples if fold_of(sample.id) == fold]
