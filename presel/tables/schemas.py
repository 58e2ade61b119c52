"""What every table holds, declared once, and the small reference that stands for a table between tasks.

A reference is a few hundred bytes: where, which digest, how many rows. Arrays, pixels and answers never cross a task
boundary; they are read where they are used. A table's digest is that of its Parquet bytes, so a stage whose inputs did not
change keeps its key, and everything downstream of it stays cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from presel.config.keys import short_digest

FORMAT = 1
"""Of a manifest and of the references in it. Outputs of an older format do not count as there: they are made again. When the
rows of one table change, raise the `version` of the stage that writes it instead, and only what follows it is made again."""

TEXT, INT, REAL = pa.string(), pa.int64(), pa.float64()

CATALOG = pa.schema(
    [("image_id", TEXT), ("key", TEXT), ("task", TEXT), ("etag", TEXT), ("size", INT)],
)
REJECTS = pa.schema(
    [("stage", TEXT), ("task", TEXT), ("key", TEXT), ("id", TEXT), ("reason", TEXT), ("detail", TEXT)],
)
REFERENCE = pa.schema(
    [
        ("sample_id", TEXT),
        ("task", TEXT),
        ("key", TEXT),
        ("content", TEXT),
        ("cluster", pa.int32()),  # always 0: a refused reference sample is replaced by the task's next draw
        ("order", pa.int32()),  # draw order within the task; the first ones are picked, the others are its reserve
        ("picked", pa.bool_()),
    ],
)
INSTRUCTIONS = pa.schema(
    [
        ("sample_id", TEXT),
        ("task", TEXT),
        ("key", TEXT),
        ("content", TEXT),
        ("kind", TEXT),
        ("turns", pa.list_(pa.struct([("question", TEXT), ("response", TEXT)]))),
        ("model", TEXT),
        ("request", TEXT),  # the ledger key of the paid answer
        ("input_tokens", INT),
        ("output_tokens", INT),
        ("cost_usd", REAL),  # what this answer cost when it was bought, whichever run bought it
    ],
)
RELEVANCE = pa.schema(
    [
        ("sample_id", TEXT),
        ("task", TEXT),
        ("key", TEXT),
        ("response_tokens", pa.int32()),
        ("loss_with_question", REAL),  # L_{R|Q,I}: mean nats per response token
        ("loss_without_question", REAL),  # L_{R|I}: over the same tokens
        ("irs", REAL),  # their ratio
        # Only where a table of tasks was imported in place of losses: its one row a task has no sample, and irs or weight.
        ("weight", REAL),
    ],
)
FIT = pa.schema([("step", pa.int32()), ("epoch", REAL), ("loss", REAL), ("learning_rate", REAL)])
CLUSTERS = pa.schema([("sample_id", TEXT), ("cluster", pa.int32())])
RANKING = pa.schema(
    [
        ("sample_id", TEXT),
        ("task", TEXT),
        ("key", TEXT),
        ("content", TEXT),
        ("cluster", pa.int32()),
        ("centrality", pa.float32()),
        ("rank", pa.int32()),  # within the cluster, 0 is the most central
        ("order", pa.int32()),  # within the task: a quota of q takes the rows with order < q
    ],
)
KEPT = RANKING.append(pa.field("answered", pa.bool_()))
"""Samples that stay from an earlier version; `order` is negative, so they come before every pick. `answered`: see PAID."""
SELECTION = RANKING.append(pa.field("picked", pa.bool_())).append(pa.field("kept", pa.bool_()))
PAID = pa.schema(
    [
        ("sample_id", TEXT),
        ("task", TEXT),
        ("key", TEXT),
        ("content", TEXT),
        ("stays", pa.bool_()),  # in the new version, too; otherwise it is left out of the choice
        ("answered", pa.bool_()),  # under the present generator settings: replaying it from the ledger costs nothing
    ],
)
PLAN = pa.schema(
    [
        ("task", TEXT),
        ("images", INT),  # listed
        ("usable", INT),  # distinct and decodable: the samples
        ("reference", INT),  # instructed reference samples
        ("kept", INT),  # samples that stay from an earlier version: seats of the budget that are taken already
        ("scored", INT),
        ("irs", REAL),
        ("irs_low", REAL),
        ("irs_high", REAL),
        ("weight", REAL),
        ("supply", INT),  # what is left to choose from: usable - reference - kept - near-duplicates
        ("quota", INT),
        ("shortfall", INT),  # seats that the weight asked for and the supply could not fill
        ("price_usd", REAL),  # expected price of the quota, from the reference answers
        ("price_low_usd", REAL),
        ("price_high_usd", REAL),
    ],
)


def embeddings(dimensions: int) -> pa.Schema:
    """One row per decodable object of a part; `vector` is L2-normalised float16."""
    return pa.schema(
        [
            ("image_id", TEXT),
            ("key", TEXT),
            ("task", TEXT),
            ("content", TEXT),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("format", TEXT),
            ("vector", pa.list_(pa.float16(), dimensions)),
        ],
    )


def samples(dimensions: int) -> pa.Schema:
    """One row per sample (task, content), ordered by `sample_id`: nothing in it depends on when or where it was listed."""
    return pa.schema(
        [
            ("sample_id", TEXT),
            ("task", TEXT),
            ("key", TEXT),
            ("content", TEXT),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("vector", pa.list_(pa.float16(), dimensions)),
        ],
    )


COLUMNS: dict[str, list[str]] = {
    "ingest": CATALOG.names,
    "embed": embeddings(1).names,
    "assemble": samples(1).names,
    "reference": REFERENCE.names,
    "instruct": INSTRUCTIONS.names,
    "fit": FIT.names,
    "score": RELEVANCE.names,
    "cluster": CLUSTERS.names,
    "history": PAID.names,
    "rank": RANKING.names,
    "plan": PLAN.names,
    "select": SELECTION.names,
}
"""What the table of each stage holds. A table of another presel may hold something else, and reading it says so."""


ROWS_AT_ONCE = 1024
"""How many rows of a large table are dictionaries at a time."""


class Reference(BaseModel):
    """A small frozen model that may cross a task boundary."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(Reference):
    """One Parquet file of a table."""

    label: str
    """The task, or the ordinal of a part of the catalog: what a person sees in a list of task runs."""
    path: str
    """Relative to the store."""
    digest: str
    rows: int
    bytes: int


class TableRef(Reference):
    """One stage's output: `<store>/tables/<stage>/<key>/`, or some parts of it."""

    stage: str
    store: str
    key: str
    digest: str
    rows: int
    rejects: int = 0
    parts: tuple[Part, ...]

    @property
    def folder(self) -> str:
        """Relative to the store."""
        return f"tables/{self.stage}/{self.key}"

    @property
    def label(self) -> str:
        return self.parts[0].label if len(self.parts) == 1 else f"{len(self.parts)} parts"

    def split(self) -> tuple[TableRef, ...]:
        """One reference per part, each keyed by that part's own digest. Rejects stay with the whole."""
        return tuple(
            self.model_copy(update={"parts": (part,), "digest": part.digest, "rows": part.rows, "rejects": 0})
            for part in self.parts
        )

    def labelled(self, label: str) -> TableRef:
        """The part of that label. Raises KeyError when there is none."""
        for ref in self.split():
            if ref.label == label:
                return ref
        raise KeyError(label)


class DatasetRef(Reference):
    """A published dataset version: immutable, complete."""

    name: str
    version: int
    uri: str
    digest: str
    records: int


def combined_digest(parts: tuple[Part, ...], files: dict[str, str]) -> str:
    """The digest of a whole output from the digests of its Parquet parts and other files (name -> digest)."""
    return short_digest(*(p.digest for p in parts), *(f"{name}:{files[name]}" for name in sorted(files)))


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """A small table as dictionaries."""
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


class Rows:
    """A table of any size as dictionaries, as often as it is gone through; few of them are there at once."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        rows: int = self._table.num_rows
        return rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._table.to_batches(max_chunksize=ROWS_AT_ONCE):
            yield from batch.to_pylist()
