"""Handing out: pictures that people are asked about, as files for a labelling tool.

No more is handed out than the money cap holds at the expected price of a picture, so the cap is kept where work begins:
what people did is owed, and counts whatever it comes to.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from presel.config import GeneratorConfig, ImageConfig, SourceConfig
from presel.errors import ConfigError, InputError
from presel.images import Reason, Rejected, for_api
from presel.instruct.ledger import Ledger
from presel.instruct.money.bounds import for_a_person
from presel.instruct.money.purse import spending
from presel.instruct.people import handed as record
from presel.instruct.people.handed import Guide, Handed
from presel.instruct.people.labels import MOST_TASKS, filled_fields, label_studio_task, labelling_config, task_data
from presel.instruct.people.returned import Refused
from presel.instruct.questions.dialogue import Instruction
from presel.instruct.questions.prompts import render
from presel.instruct.samples import Row, Samples
from presel.instruct.sharing import shared
from presel.instruct.words import written
from presel.sources import Source, open_source
from presel.storage import Store, open_store
from presel.tables.turn import Turn

WAYS = ("auto", "link", "s3", "inline")
"""How a picture is shown: auto is a link where the source signs one, else inline."""
Drafts = Mapping[str, tuple[Turn, ...]]


@dataclass
class Handoff:
    """What was written, and what was not."""

    tasks: int = 0
    drafts: int = 0
    held_back: int = 0
    """Pictures that the money cap has no room for."""
    expected_usd: float = 0.0
    files: list[str] = field(default_factory=list)
    rejects: list[Refused] = field(default_factory=list)


def hand_out(
    rows: Sequence[Row],
    why: Callable[[Row], str],
    *,
    store: str,
    source: SourceConfig,
    generator: GeneratorConfig,
    images: ImageConfig,
    to: str,
    pictures: str = "auto",
    drafts: bool = False,
) -> Handoff:
    """Write the pictures of `rows` (in the order of their worth) that nobody has answered, as files in the folder `to`.

    `drafts`: ask the API first, which costs what its answers cost, so that people correct in place of writing. Raises
    ConfigError for a way of showing pictures that the source does not have, and what asking an API raises.
    """
    opened, ledger = open_store(store), Ledger(open_store(store))
    guides = {task: _guide(task, generator) for task in dict.fromkeys(row["task"] for row in rows)}
    open_rows = [
        (row, Handed(key, row["sample_id"], row["content"], guides[row["task"]]))
        for row in rows
        if ledger.find(key := guides[row["task"]].request(row["content"]).key) is None
    ]
    done = Handoff()
    price = for_a_person(generator)
    affordable = open_rows[: _affordable(opened, generator, price)]
    done.held_back = len(open_rows) - len(affordable)
    done.expected_usd = price * len(affordable)
    record.note(opened, (each for _, each in affordable))
    drafted = _drafts([row for row, _ in affordable], store, source, generator, images) if drafts else {}
    done.drafts = len(drafted)
    shown = _Shown(open_source(source), open_store(source.uri, source.s3), pictures, images, generator.image_side)
    tasks = []
    for row, each in affordable:
        address = shown.address(row)
        if isinstance(address, Rejected):
            done.rejects.append(Refused(row["key"], each.key, address.reason, address.detail))
        else:
            tasks.append((task_data(each, image=address, picture=row["key"], why=why(row)), drafted.get(each.key, ())))
    done.tasks = len(tasks)
    target = open_store(to)
    for name, data in _files(tasks, [guide.turns for guide in guides.values()], f"{generator.model}, a draft"):
        target.write(name, data)
        done.files.append(target.locate(name))
    return done


def _guide(task: str, generator: GeneratorConfig) -> Guide:
    prompt = generator.prompt_of(task)
    system, user = render(prompt, task)
    return Guide(task, system, user, prompt.turns, prompt.language if prompt.check_language else None)


def _affordable(store: Store, generator: GeneratorConfig, price: float) -> int | None:
    """How many pictures the cap has room for; None: all."""
    if generator.max_cost == "unlimited" or price == 0:
        return None
    out = spending(store)
    room = generator.max_cost - out["spent_usd"] - out["reserved_usd"]
    return max(0, math.floor(room / price + 1e-9))


def _drafts(
    rows: list[Row], store: str, source: SourceConfig, generator: GeneratorConfig, images: ImageConfig
) -> Drafts:
    """What the API says about the same pictures, by the key of what people are asked."""
    asked = {name: prompt.model_copy(update={"by": "api"}) for name, prompt in generator.prompts.items()}
    prompt = generator.prompt.model_copy(update={"by": "api"})
    api = generator.model_copy(update={"kind": "api", "prompts": asked, "prompt": prompt, "on_cap": "publish"})
    if not rows:
        return {}
    with shared(store, api) as engine:
        samples = Samples(engine, source, api, images)
        engine.announce({row["task"]: sum(r["task"] == row["task"] for r in rows) for row in rows})
        verdicts = engine.run(samples.instruct(rows, lambda _: None)).result()
    return {
        _guide(verdict.row["task"], generator).request(verdict.row["content"]).key: verdict.outcome.turns
        for verdict in verdicts
        if isinstance(verdict.outcome, Instruction)
    }


class _Shown:
    """How a picture is shown to people."""

    def __init__(self, source: Source, store: Store, way: str, images: ImageConfig, side: int) -> None:
        self._source, self._store, self._images, self._side = source, store, images, side
        if way not in WAYS and "{key}" not in way:
            raise ConfigError(
                "no such way to show a picture",
                where="--pictures",
                expected=f"{', '.join(WAYS)}, or an address with {{key}} in it",
                got=way,
            )
        signs = store.link("a", "image/jpeg") is not None
        self._way = ("link" if signs else "inline") if way == "auto" else way
        if (self._way == "link" and not signs) or (self._way == "s3" and not store.uri.startswith("s3://")):
            raise ConfigError(
                "a folder has no address for pictures",
                where="--pictures",
                fix="use `inline`, or the address of a server that shows the folder: `http://host/{key}`",
            )

    def address(self, row: Row) -> str | Rejected:
        key = row["key"]
        if self._way == "link":
            kind = mimetypes.guess_type(key)[0] or "image/jpeg"
            return str(self._store.link(key, kind))
        if self._way == "s3":
            return self._store.locate(key)
        return self._inline(row) if self._way == "inline" else self._way.replace("{key}", quote(key))

    def _inline(self, row: Row) -> str | Rejected:
        data = self._source.read_content(row["key"], row["content"])
        if isinstance(data, Rejected):
            return data
        try:
            jpeg = for_api(data, self._images, self._side)
        except InputError as error:
            return Rejected(Reason.UNDECODABLE, str(error.got))
        return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


Tasks = Sequence[tuple[dict[str, str], Sequence[Turn]]]


def _files(tasks: Tasks, turns: Sequence[int], model: str) -> Iterator[tuple[str, bytes]]:
    """Every file with its content: Label Studio's, and the same as JSONL and CSV."""
    yield "labels.xml", labelling_config(turns).encode()
    for number, start in enumerate(range(0, len(tasks), MOST_TASKS), start=1):
        part = [label_studio_task(data, draft, model) for data, draft in tasks[start : start + MOST_TASKS]]
        name = "tasks.json" if len(tasks) <= MOST_TASKS else f"tasks-{number}.json"
        yield name, (json.dumps(part, ensure_ascii=True, indent=1) + "\n").encode()
    rows = [row_to_fill(data, draft, max(turns, default=1)) for data, draft in tasks]
    yield "tasks.jsonl", "".join(written(row) + "\n" for row in rows).encode()
    sink = io.StringIO()
    writer = csv.DictWriter(sink, rows[0].keys() if rows else [])
    writer.writeheader()
    writer.writerows(rows)
    yield "tasks.csv", sink.getvalue().encode("utf-8", errors="replace")


def row_to_fill(data: Mapping[str, str], draft: Sequence[Turn], turns: int) -> dict[str, object]:
    """A row for people with another tool: they fill the questions and responses, who they are and how long it took."""
    empty = dict.fromkeys(filled_fields([Turn("", "")] * turns), "")
    return {**data, **empty, **filled_fields(draft[:turns]), "annotator": "", "lead_time": "", "skipped": ""}
