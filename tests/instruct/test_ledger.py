from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from presel.errors import IntegrityError, NotFound
from presel.instruct import ledger as book
from presel.instruct.ledger import Answer, Ledger
from presel.storage import open_store


def answer(key: str, cost: float = 0.002, model: str = "m") -> Answer:
    request = {"model": model, "base_url": "http://a/v1", "content": "c"}
    return Answer(key, request, 200, {"choices": [{"message": {"content": "ü"}}]}, 10, 5, cost, True, 0, "2026-11-24")


KEYS = [f"{prefix}{'0' * 30}" for prefix in ("aa", "ab", "b0")]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    filled = Ledger(open_store(str(tmp_path)))
    for key in KEYS:
        filled.keep(answer(key))
    return filled


def test_an_answer_lies_where_its_key_says_and_can_be_read_by_a_person(ledger: Ledger, tmp_path: Path) -> None:
    text = (tmp_path / "ledger" / "answers" / "aa" / f"{KEYS[0]}.json").read_text()
    assert json.loads(text)["body"]["choices"][0]["message"]["content"] == "ü"
    assert "ü" in text
    assert text.count("\n") > 8


def test_the_first_answer_to_a_request_counts(ledger: Ledger) -> None:
    second = replace(answer(KEYS[0]), cost_usd=9.0)
    assert ledger.keep(second).cost_usd == 0.002
    assert ledger.find(KEYS[0]) == answer(KEYS[0])


def test_what_was_never_bought_is_not_found(ledger: Ledger) -> None:
    assert ledger.find("f" * 32) is None


def test_a_damaged_answer_is_said_and_not_bought_again(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "ledger" / "answers" / "aa" / f"{KEYS[0]}.json").write_text("{")
    with pytest.raises(IntegrityError, match="cannot be read"):
        ledger.find(KEYS[0])


def test_a_changed_word_in_an_answer_is_noticed(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "answers" / "aa" / f"{KEYS[0]}.json"
    path.write_text(path.read_text().replace("ü", "u"))
    with pytest.raises(IntegrityError, match="changed after it was written"):
        ledger.find(KEYS[0])
    looked_at = dict(ledger.checked())
    assert [isinstance(looked_at[key], IntegrityError) for key in KEYS] == [True, False, False]


def test_an_answer_from_before_formats_were_named_is_read(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "answers" / "aa" / f"{KEYS[0]}.json"
    document = json.loads(path.read_text())
    del document["format"], document["sha256"]
    path.write_text(json.dumps(document))
    assert ledger.find(KEYS[0]) == answer(KEYS[0])


def test_an_answer_of_a_newer_presel_is_refused_and_nobody_is_told_to_delete_it(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "answers" / "aa" / f"{KEYS[0]}.json"
    path.write_text(json.dumps({"format": book.FORMAT + 1, "answer": "in another shape"}))
    with pytest.raises(IntegrityError, match="upgrade presel") as caught:
        ledger.find(KEYS[0])
    assert "delete" not in str(caught.value)


def test_ls_show_stats_and_export(ledger: Ledger) -> None:
    ledger.keep(answer("ff" + "0" * 30, cost=1.0, model="z"))
    assert book.ls(ledger) == [*KEYS, "ff" + "0" * 30]
    assert book.ls(ledger, "a") == KEYS[:2]
    assert book.show(ledger, "b") == answer(KEYS[2])
    rows = book.stats(ledger)
    assert [(row["model"], row["answers"]) for row in rows] == [("m", 3), ("z", 1)]
    assert rows[0]["cost_usd"] == pytest.approx(0.006)
    assert [json.loads(line)["key"] for line in book.export(ledger)] == [*KEYS, "ff" + "0" * 30]


@pytest.mark.parametrize(("beginning", "said"), [("a", "2 answers start"), ("ee", "no such answer")])
def test_show_says_when_a_key_is_unknown_or_ambiguous(ledger: Ledger, beginning: str, said: str) -> None:
    with pytest.raises(NotFound, match=said):
        book.show(ledger, beginning)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"null", b'""', b"7", b"", b"{", b'{"format": 1}', b'{"format": "x"}'])
def test_an_answer_file_of_nothing_is_said_in_words(data: bytes, tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.write(f"ledger/answers/{KEYS[0][:2]}/{KEYS[0]}.json", data)
    with pytest.raises(IntegrityError, match="cannot be read"):
        Ledger(store).find(KEYS[0])
