"""A whole run's tables, made up: ten tasks of clustered vectors, drawn pictures, hostile keys and answers.

Everything goes through the real Output and Store, so tests of publishing and of the report read what a run would have
written. Only the numbers are invented. `make(folder)` takes about two seconds, most of it drawing.
"""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw

from presel.config import RefreshConfig
from presel.config.keys import digest, sample_id
from presel.images.reasons import Reason
from presel.runs import budget_curve
from presel.runs.run_record import RunRecord
from presel.tables import schemas
from presel.tables.schemas import TableRef
from presel.tables.table_store import Output

TASKS = ("caption", "chart", "colour", "counting", "digits", "ocr", "photo", "presence", "spatial", "texture")
HOSTILE_KEY = 'ocr/<script>document.title="owned"<\u2044script> & "quotes" ünïcode.png'
HOSTILE_ANSWER = (
    '</script><script>document.title="owned"</script><img src=x onerror="document.title=\'owned\'"> | `x` <image>'
)
DIMENSIONS = 32
QUESTIONS = {
    "caption": "Describe the picture in one sentence.",
    "chart": "Which bar is the tallest?",
    "colour": "What colour is the large shape?",
    "counting": "How many shapes are there?",
    "digits": "Which number is written here?",
    "ocr": "What does the sign say?",
    "photo": "What is in the photograph?",
    "presence": "Is there a triangle in the picture?",
    "spatial": "Is the disc left or right of the square?",
    "texture": "Which pattern covers the surface?",
}


def shuffled(run: RunRecord) -> RunRecord:
    """The same run, its tables handed over in another order."""
    names = ("clusters", "reference", "reference_instructions", "relevance", "rankings", "selection", "instructions")
    return run.model_copy(update={name: tuple(reversed(getattr(run, name))) for name in names})


def make(
    folder: Path,
    *,
    seed: int = 0,
    tasks: tuple[str, ...] = TASKS,
    per_task: int = 200,
    dropped: int = 0,
    prefix: str = "",
    store: str | None = None,
) -> RunRecord:
    """A run whose images lie in `folder/images` and whose tables lie in `store`, else in `folder/store`.

    `dropped` leaves that many of each task's picks without an instruction; `prefix` goes before every response.
    """
    maker = _Maker(folder, seed, prefix, store or str(folder / "store"))
    made = [maker.task(ordinal, task, per_task, dropped) for ordinal, task in enumerate(tasks)]
    return maker.run(made)


class _Maker:
    def __init__(self, folder: Path, seed: int, prefix: str, store: str) -> None:
        self.config = RefreshConfig.model_validate(
            {
                "source": {"uri": str(folder / "images")},
                "store": store,
                "encoder": {"name": "builtin"},
                "reference_model": {"model": "builtin"},
                "generator": {"base_url": "http://127.0.0.1:1/v1", "max_cost": 5.0},
                "dataset": {"name": "drawn"},
            }
        )
        self.seed, self.prefix, self.images = seed, prefix, folder / "images"

    def output(self, stage: str, label: str) -> Output:
        return Output(self.config.store, stage, digest(f"{stage}/{label}/{self.seed}/{self.prefix}".encode())[:32])

    def table(self, stage: str, label: str, rows: list[dict[str, Any]], schema: pa.Schema) -> TableRef:
        out = self.output(stage, label)
        out.write_rows(rows, schema, label)
        return out.commit({})

    def task(self, ordinal: int, task: str, per_task: int, dropped: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, ordinal])
        clusters = max(1, per_task // 25)
        centre = rng.normal(size=DIMENSIONS) * 1.2
        spread = centre + rng.normal(size=(clusters, DIMENSIONS)) * 0.5
        label = rng.integers(0, clusters, per_task)
        vector = spread[label] + rng.normal(size=(per_task, DIMENSIONS)) * 0.45
        vector /= np.linalg.norm(vector, axis=1, keepdims=True)
        rows = []
        for i in range(per_task):
            key = HOSTILE_KEY if (task, i) == ("ocr", 0) else f"{task}/{i:04d}.png"
            rows.append({"task": task, "key": key, "cluster": int(label[i]), "vector": vector[i]})
            rows[-1].update(position=i, width=120, height=90)
            rows[-1]["content"] = self.draw(ordinal, rows[-1])
            rows[-1]["sample_id"] = sample_id(task, rows[-1]["content"])
        rows.sort(key=lambda row: row["sample_id"])
        plain = [row for row in rows if row["key"] != HOSTILE_KEY]
        hostile = [row for row in rows if row["key"] == HOSTILE_KEY]
        size = max(1, per_task // 20)
        reference, ranked = plain[:size], [*plain[size : size + 2], *hostile, *plain[size + 2 :]]
        quota = 4 + 2 * ordinal
        for order, row in enumerate(ranked):
            row.update(order=order, rank=order // clusters, centrality=float(0.95 - 0.4 * order / per_task))
            row.update(picked=order < quota, kept=False)
        for order, row in enumerate(reference):
            row.update(order=order, picked=True)
        answered = ranked[dropped : quota + dropped] if dropped else ranked[:quota]
        irs = np.clip(rng.normal(0.5 + 0.05 * ordinal, 0.08, len(reference)), 0.05, None)
        return {
            "task": task,
            "rows": rows,
            "reference": reference,
            "ranked": ranked,
            "answered": answered,
            "quota": quota,
            "irs": irs,
        }

    def draw(self, ordinal: int, row: dict[str, Any]) -> str:
        """A picture with a shape per cluster, in the task's colour; the key's slashes become folders. Returns its digest."""
        rng = np.random.default_rng([ordinal, row["position"], self.seed])
        picture = Image.new("RGB", (row["width"], row["height"]), _colour(ordinal / 10, 0.12, 0.96))
        pen = ImageDraw.Draw(picture)
        for _ in range(2 + row["cluster"]):
            x, y, r = rng.integers(10, 110), rng.integers(10, 80), rng.integers(6, 22)
            box, shade = (
                (x - r, y - r, x + r, y + r),
                _colour(ordinal / 10 + rng.uniform(-0.06, 0.06), 0.6, rng.uniform(0.4, 0.9)),
            )
            (pen.rectangle if row["cluster"] % 2 else pen.ellipse)([float(edge) for edge in box], fill=shade)
        path = self.images / row["key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        return digest(path.read_bytes())

    def answers(self, stage: str, made: dict[str, Any], rows: list[dict[str, Any]]) -> TableRef:
        out = self.output(stage, made["task"])
        records = [self.answer(made, row) for row in rows]
        out.write_rows(records, schemas.INSTRUCTIONS, made["task"])
        if stage == "instruct-selection" and made["task"] in ("chart", "photo"):
            refused = made["ranked"][-1]
            out.reject(
                task=made["task"],
                key=refused["key"],
                id=refused["sample_id"],
                reason=Reason.REFUSED,
                detail=HOSTILE_ANSWER,
            )
        return out.commit({})

    def answer(self, made: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        hostile = row["key"] == HOSTILE_KEY
        response = HOSTILE_ANSWER if hostile else f"{self.prefix}Cluster {row['cluster']}, number {row['position']}."
        turns = [{"question": QUESTIONS.get(made["task"], "What is this?"), "response": response}]
        if row["position"] % 7 == 0:
            turns.append({"question": "And why?", "response": "Because it was drawn so."})
        tokens = 20 + len(response) // 4
        return {
            **{name: row[name] for name in ("sample_id", "task", "key", "content")},
            "kind": "conversation",
            "turns": turns,
            "model": "gpt-4.1-mini",
            "request": digest(row["sample_id"].encode())[:32],
            "input_tokens": 400,
            "output_tokens": tokens,
            "cost_usd": (400 * 0.4 + tokens * 1.6) / 1e6,
        }

    def scores(self, made: dict[str, Any]) -> TableRef:
        rows = [
            {
                **{name: row[name] for name in ("sample_id", "task", "key")},
                "response_tokens": 9,
                "loss_with_question": float(2.1 * irs),
                "loss_without_question": 2.1,
                "irs": float(irs),
            }
            for row, irs in zip(made["reference"], made["irs"], strict=True)
        ]
        return self.table("relevance", made["task"], rows, schemas.RELEVANCE)

    def plan(self, made: list[dict[str, Any]]) -> TableRef:
        means = np.array([m["irs"].mean() for m in made])
        weights = np.exp(-means * np.sqrt(len(made)))
        weights /= weights.sum()
        rows = []
        for m, mean, weight in zip(made, means, weights, strict=True):
            half = 1.96 * float(m["irs"].std()) / max(1, len(m["irs"])) ** 0.5
            usable, reference = len(m["rows"]), len(m["reference"])
            rows.append(
                {
                    "task": m["task"],
                    "images": usable + 3,
                    "usable": usable,
                    "reference": reference,
                    "kept": 0,
                    "scored": reference,
                    "irs": float(mean),
                    "irs_low": float(mean) - half,
                    "irs_high": float(mean) + half,
                    "weight": float(weight),
                    "supply": usable - reference,
                    "quota": m["quota"],
                    "shortfall": 0,
                    "price_usd": m["quota"] * 2e-4,
                    "price_low_usd": m["quota"] * 1.8e-4,
                    "price_high_usd": m["quota"] * 2.2e-4,
                }
            )
        out = self.output("plan", "all")
        out.write_rows(rows, schemas.PLAN, "all")
        points = [budget_curve.Point(share, 10, 0.5, share, {}) for share in budget_curve.BUDGETS]
        out.write_file(budget_curve.CURVE_FILE, budget_curve.write(points))
        return out.commit({})

    def samples(self, made: list[dict[str, Any]]) -> TableRef:
        out = self.output("assemble", "all")
        schema = schemas.samples(DIMENSIONS)
        for m in made:
            plain = {name: [row[name] for row in m["rows"]] for name in schema.names[:-1]}
            flat = np.concatenate([row["vector"] for row in m["rows"]]).astype(np.float16)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat), DIMENSIONS)
            columns = [pa.array(plain[name], schema.field(name).type) for name in plain]
            out.write(pa.Table.from_arrays([*columns, vectors], schema=schema), schema, m["task"])
            out.reject(
                task=m["task"], key=f"{m['task']}/copy.png", id="", reason=Reason.DUPLICATE, detail=m["rows"][0]["key"]
            )
        return out.commit({})

    def catalog(self, made: list[dict[str, Any]]) -> TableRef:
        out = self.output("ingest", "all")
        out.write_rows([], schemas.CATALOG, "0")
        for m in made:
            out.reject(
                task=m["task"],
                key=f"{m['task']}/cut short.jpg",
                id="",
                reason=Reason.TRUNCATED,
                detail="ends after 311 bytes",
            )
        out.reject(task="ocr", key="ocr/<b>bomb</b>.png", id="", reason=Reason.TOO_MANY_PIXELS, detail="20000 x 20000")
        out.note(new=sum(len(m["rows"]) for m in made), kept=0, changed=0, removed=0)
        return out.commit({})

    def run(self, made: list[dict[str, Any]]) -> RunRecord:
        def each(stage: str, part: str, schema: pa.Schema) -> tuple[TableRef, ...]:
            return tuple(
                self.table(stage, m["task"], [{n: row[n] for n in schema.names} for row in m[part]], schema)
                for m in made
            )

        for m in made:
            for row in m["reference"]:
                row["cluster_of_sample"], row["cluster"] = row["cluster"], 0
        reference = each("reference", "reference", schemas.REFERENCE)
        for m in made:
            for row in m["reference"]:
                row["cluster"] = row["cluster_of_sample"]
        steps = [
            {
                "step": i,
                "epoch": i / 40,
                "loss": 2.4 * 0.97**i + 0.6 + 0.08 * np.sin(i * 1.7),
                "learning_rate": 2e-4 * (1 - i / 40),
            }
            for i in range(40)
        ]
        return RunRecord(
            embeddings=(),
            config=self.config,
            catalog=self.catalog(made),
            samples=self.samples(made),
            clusters=each("cluster", "rows", schemas.CLUSTERS),
            reference=reference,
            reference_instructions=tuple(self.answers("instruct-reference", m, m["reference"]) for m in made),
            relevance=tuple(self.scores(m) for m in made),
            model=self.table("fit", "all", steps, schemas.FIT),
            rankings=each("rank", "ranked", schemas.RANKING),
            selection=each("select", "ranked", schemas.SELECTION),
            instructions=tuple(self.answers("instruct-selection", m, m["answered"]) for m in made),
            plan=self.plan(made),
        )


def _colour(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
