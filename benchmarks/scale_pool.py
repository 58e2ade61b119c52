"""A pool that exists in its listing and its vectors alone, and the references of what was made of it, kept between processes.

Nothing here holds the pool: a part is drawn, written and forgotten, by a generator of its own, so that it is the same whoever
draws it. A task's images are of kinds of about 300, as clusters are to be found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from presel.config import GeneratorConfig, ReferenceModelConfig, RefreshConfig, SourceConfig
from presel.config.keys import digest, stage_key
from presel.sources import Source
from presel.storage import Entry
from presel.tables import table_store
from presel.tables.schemas import FIT, INSTRUCTIONS, RELEVANCE, TableRef, embeddings
from presel.tables.table_store import Output

_TURNS = [{"question": "What is the person in the foreground doing?", "response": "x" * 300}]


class Pool:
    """`folder` holds the store and `refs.json`."""

    def __init__(self, folder: Path, images: int, tasks: int, dimensions: int, part_size: int, mixed: bool) -> None:
        self.images, self.dimensions, self.mixed = images, dimensions, mixed
        self.store, self._refs = str(folder / "store"), folder / "refs.json"
        self.config = RefreshConfig(
            source=SourceConfig(uri=str(folder / "pool"), part_size=part_size),
            store=self.store,
            generator=GeneratorConfig(model="made up", base_url="http://127.0.0.1:9/v1", max_cost=1.0),
            reference_model=ReferenceModelConfig(fit="none"),
        )
        share = 1 / np.sqrt(np.arange(1, tasks + 1))
        self.sizes = np.maximum(1, (images * share / share.sum()).astype(np.int64))
        self.sizes[0] += images - self.sizes.sum()

    # --- references --------------------------------------------------------------------------------------------------

    def keep(self, **made: Sequence[TableRef]) -> None:
        known = self._known | {name: [ref.model_dump(mode="json") for ref in refs] for name, refs in made.items()}
        self._refs.parent.mkdir(parents=True, exist_ok=True)
        self._refs.write_text(json.dumps(known))

    def some(self, name: str) -> list[TableRef]:
        return [TableRef.model_validate(ref) for ref in self._known[name]]

    def one(self, name: str) -> TableRef:
        return self.some(name)[0]

    def tasks(self) -> tuple[TableRef, ...]:
        return self.one("samples").split()

    @cached_property
    def _known(self) -> dict[str, list[dict[str, object]]]:
        return json.loads(self._refs.read_text()) if self._refs.exists() else {}

    # --- what exists in name only ------------------------------------------------------------------------------------

    def source(self, config: SourceConfig) -> Source:
        return _Made(config, self.sizes)

    def grown(self, config: SourceConfig) -> Source:
        return _Made(config, self.sizes + np.maximum(1, self.sizes // 100))

    def draw_vectors(self) -> list[TableRef]:
        catalog = self.one("catalog")
        return [self._draw(number, part) for number, part in enumerate(catalog.split())]

    def _draw(self, number: int, part: TableRef) -> TableRef:
        generator = np.random.default_rng([0, number])
        rows = table_store.read(part)
        n, d = rows.num_rows, self.dimensions
        tasks = rows["task"].to_pylist()
        if self.mixed:
            tasks = [f"task{at:03d}" for at in generator.choice(len(self.sizes), n, p=self.sizes / self.sizes.sum())]
        drawn = generator.standard_normal((n, d), dtype=np.float32)
        for task in sorted(set(tasks)):
            of_task = np.array([one == task for one in tasks])
            kinds = self._kinds(int(task.removeprefix("task")))
            drawn[of_task] = 0.7 * drawn[of_task] + kinds[generator.integers(0, len(kinds), int(of_task.sum()))]
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        content = [digest(ident.encode()) for ident in rows["image_id"].to_pylist()]
        columns = {
            "image_id": rows["image_id"].combine_chunks(),
            "key": rows["key"].combine_chunks(),
            "task": pa.array(tasks),
            "content": pa.array(content),
            "width": pa.array([640] * n, pa.int32()),
            "height": pa.array([480] * n, pa.int32()),
            "format": pa.array(["jpeg"] * n),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(drawn.astype(np.float16).ravel()), d),
        }
        out = Output(self.store, "embed", stage_key("embed", 0, {"part": part, "dimensions": d, "mixed": self.mixed}))
        out.write(pa.table(columns, schema=embeddings(d)), embeddings(d), part.label)
        return out.commit({})

    @lru_cache(maxsize=1024)  # noqa: B019 - one pool a process
    def _kinds(self, task: int) -> np.ndarray:
        count = max(1, int(self.sizes[task]) // 300)
        return np.random.default_rng([1, task]).standard_normal((count, self.dimensions), dtype=np.float32)

    # --- what a model or a provider would have said ------------------------------------------------------------------

    def instructions(self, wanted: TableRef) -> TableRef:
        rows = table_store.read(wanted)
        picked = rows.filter(rows["picked"]).sort_by("sample_id")
        n = picked.num_rows
        made: dict[str, list[object]] = {
            "kind": ["conversation"] * n,
            "turns": [_TURNS] * n,
            "model": ["made up"] * n,
            "request": [name[::-1] for name in picked["sample_id"].to_pylist()],
            "input_tokens": [900] * n,
            "output_tokens": [80] * n,
            "cost_usd": [0.0005] * n,
        }
        columns = {name: picked[name].combine_chunks() for name in ("sample_id", "task", "key", "content")}
        out = Output(self.store, "instruct", stage_key("instruct", 0, {"wanted": wanted}))
        out.write(pa.table(columns | made, schema=INSTRUCTIONS), INSTRUCTIONS, wanted.label)
        return out.commit({})

    def relevance(self, instructed: TableRef) -> TableRef:
        rows = table_store.read(instructed, ["sample_id", "task", "key"])
        n = rows.num_rows
        generator = np.random.default_rng(int(stage_key("losses", 0, {"of": instructed})[:8], 16))
        without = generator.uniform(1, 3, n)
        ratio = np.clip(generator.normal(generator.uniform(0.3, 0.9), 0.1, n), 0.05, 1.5)
        columns = {
            **{name: rows[name].combine_chunks() for name in rows.column_names},
            "response_tokens": pa.array([80] * n, pa.int32()),
            "loss_with_question": without * ratio,
            "loss_without_question": without,
            "irs": ratio,
            "weight": pa.nulls(n, pa.float64()),
        }
        out = Output(self.store, "score", stage_key("score", 0, {"of": instructed}))
        out.write(pa.table(columns, schema=RELEVANCE), RELEVANCE, instructed.label)
        return out.commit({})

    def model(self) -> TableRef:
        out = Output(self.store, "fit", stage_key("fit", 0, {}))
        out.write_rows([], FIT)
        return out.commit({})


class _Made(Source):
    """A source whose objects exist in the listing alone, in key order."""

    def __init__(self, config: SourceConfig, sizes: np.ndarray) -> None:
        super().__init__(config)
        self._sizes = sizes

    def entries(self, without: str | None = None) -> Iterator[tuple[str, str, Entry]]:  # noqa: ARG002
        for task, size in enumerate(self._sizes.tolist()):
            name = f"task{task:03d}"
            for number in range(size):
                key = f"{name}/train/2026/image-{number:012d}.jpg"
                yield key, name, Entry(key, 50_000 + number % 1000, f"{task:08x}{number:024x}")
