"""The text that belongs to a picture can be shown in a prompt, and then it is part of the question."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from presel.config import GeneratorConfig, ImageConfig, PromptConfig, RefreshConfig, SourceConfig
from presel.demo.endpoint import serve
from presel.errors import ConfigError
from presel.instruct.money.bounds import one_each
from presel.instruct.questions.request import opening
from presel.sources import open_source
from presel.sources.captions import LONGEST, Captions, clean
from presel.stages.ingest import ingest
from presel.stages.instruct import instruct
from presel.tables import table_store
from presel.tables.schemas import TableRef
from tests.instruct.pools import Pool, generator, reasons, rows

SHOWN = PromptConfig(kind="custom", template="It is called: {{ caption }}.")


class Reader:
    """Answers with the caption that it was shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, _sent: bytes, words: str, _request: Mapping[str, Any]) -> list[tuple[str, str]]:
        found = re.search(r"It is called: (.*?)\.", words, re.DOTALL)
        self.shown.append(found[1] if found else "")
        return [("What is it?", f"It is {self.shown[-1]} indeed.")]


def asked(pool: Pool, settings: GeneratorConfig, picked: int, **source: Any) -> TableRef:
    where = SourceConfig(uri=str(pool.root / "pool"), **source)
    return instruct(pool.wanted(picked), where, settings, ImageConfig(), ingest(where, pool.store))


@pytest.mark.parametrize("kind", ["txt", "json", "column"])
def test_a_prompt_shows_the_text_beside_its_picture_and_asks_anew_only_where_that_changed(
    kind: str, tmp_path: Path
) -> None:
    pool, reader, table = Pool(tmp_path, images=4), Reader(), tmp_path / "mapping.csv"

    def say(*captions: str) -> None:
        for number, caption in enumerate(captions):
            said = json.dumps({"caption": [caption, "small"]}) if kind == "json" else f"{caption}\nsmall"
            if kind != "column":
                pool.file(number).with_suffix(f".{kind}").write_text(said)
        lines = [f'shapes/{number:04d}.jpg,shapes,"{caption}\nsmall"' for number, caption in enumerate(captions)]
        table.write_text("\n".join(["key,task,caption", *lines]))

    how = {"captions": kind} | ({"tasks": "table", "mapping": str(table)} if kind == "column" else {})
    with serve(reader) as endpoint:
        settings = generator(endpoint.url, prompt=SHOWN)
        say("one", "two", "three", "four")
        assert asked(pool, settings, 3, **how).rows == 3
        assert sorted(reader.shown) == ["one\nsmall", "three\nsmall", "two\nsmall"]
        asked(pool, settings, 3, **how)
        say("one", "zwei", "three", "four")
        again = asked(pool, settings, 3, **how)
        assert reader.shown[3:] == ["zwei\nsmall"]
    assert "It is zwei\nsmall indeed." in [row["turns"][0]["response"] for row in rows(again)]


def test_a_picture_without_a_text_is_a_reject_and_its_seat_goes_on(tmp_path: Path) -> None:
    pool = Pool(tmp_path, images=6)
    for number, said in enumerate([b"one", None, b" \n", b"\xff\xfe\x00", b"x" * 2_000_000, b"six"]):
        if said is not None:
            pool.file(number).with_suffix(".txt").write_bytes(said)
    with serve(Reader()) as endpoint:
        settings = generator(endpoint.url, prompt=SHOWN)
        ref = asked(pool, settings, 2, captions="txt")
        assert (ref.rows, reasons(ref)) == (2, ["no_caption"] * 2)
        assert {row["key"] for row in rows(ref)} == {"shapes/0000.jpg", "shapes/0003.jpg"}
        assert "shapes/0001.txt" in table_store.rejects(ref)["detail"].to_pylist()[0]
        either = PromptConfig(kind="custom", template="Ask.{% if caption is defined %} It is {{ caption }}.{% endif %}")
        assert asked(pool, generator(endpoint.url, prompt=either), 5, captions="txt").rows == 5


def test_texts_beside_pictures_are_no_part_of_the_pool(tmp_path: Path) -> None:
    pool = Pool(tmp_path, images=3)
    before = ingest(SourceConfig(uri=str(pool.root / "pool")), pool.store)
    for number in range(3):
        pool.file(number).with_suffix(".txt").write_text("a text")
    where = SourceConfig(uri=str(pool.root / "pool"), captions="txt")
    with_texts = ingest(where, pool.store)
    assert (with_texts.rows, with_texts.rejects) == (3, 0)
    assert with_texts.parts == before.parts, "nothing is embedded anew"
    pool.file(1).with_suffix(".txt").write_text("another text")
    assert ingest(where, pool.store).key != with_texts.key
    assert ingest(SourceConfig(uri=str(pool.root / "pool")), pool.store).rejects == 3


def test_without_a_caption_the_question_has_the_key_it_always_had(tmp_path: Path) -> None:
    settings = generator("http://localhost/v1")
    plain = opening("c" * 64, "t", settings)
    assert opening("c" * 64, "t", settings, caption="not shown").key == plain.key
    pool = Pool(tmp_path, images=1)
    wanted, source = pool.wanted(1), pool.source
    inputs = {"wanted": wanted, "source": source, "generator": settings, "images": ImageConfig()}
    catalog = ingest(source, pool.store)
    assert instruct.key({**inputs, "catalog": catalog}) == instruct.key(inputs)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("  a dog\r\non grass\x00\x1b[2J ", "a dog\non grass[2J"),
        ("{{ 7 * 7 }}", "{{ 7 * 7 }}"),
        ("\ud800 half", "half"),
        (["one", "two"], "one\ntwo"),
        ({"a": 1}, None),
        (["one", 2], None),
        ("", None),
        (None, None),
    ],
)
def test_a_caption_is_data_without_controls(said: object, shown: str | None) -> None:
    assert clean(said) == shown


@pytest.mark.parametrize("letter", ["word ", "ä", "\U0001f600", '"'])
def test_a_long_caption_ends_after_a_word_and_costs_no_more_than_was_announced(letter: str) -> None:
    said = clean(letter * 5000)
    assert said is not None
    assert said.endswith("…")
    assert len(said.encode()) <= LONGEST
    settings = generator("http://localhost/v1", prompt=SHOWN)
    from presel.instruct.money.prices import Estimator, price_of

    dearest = Estimator(price_of(settings)).cost(opening("c" * 64, "t", settings, caption=said))
    assert dearest <= one_each({"t": 1}, settings)


@pytest.mark.parametrize(
    "template", ["{{ caption }}", "{% if caption is defined %}x{% endif %}", "{{ caption|upper }}"]
)
def test_a_template_that_shows_a_caption_needs_a_source_that_has_them(template: str, tmp_path: Path) -> None:
    asks = {"model": "m", "max_cost": 1, "prompts": {"dogs": {"kind": "custom", "template": template}}}
    given = {"source": {"uri": str(tmp_path)}, "store": str(tmp_path / "store"), "generator": asks}
    with pytest.raises(ValidationError, match=r"generator\.prompts\.dogs uses `caption`, and the source has none"):
        RefreshConfig.model_validate(given)
    RefreshConfig.model_validate({**given, "source": {"uri": str(tmp_path), "captions": "txt"}})


def test_a_column_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    pool = Pool(tmp_path, images=1)
    (tmp_path / "mapping.csv").write_text("key,task\nshapes/0000.jpg,shapes\n")
    where = SourceConfig(
        uri=str(pool.root / "pool"), tasks="table", mapping=str(tmp_path / "mapping.csv"), captions="column"
    )
    with pytest.raises(ConfigError, match="`caption`"):
        Captions(open_source(where)).look_up([("shapes/0000.jpg", "shapes")])
    with pytest.raises(ValidationError, match="captions: column goes with tasks: table"):
        SourceConfig(uri=str(tmp_path), captions="column")
