"""`presel ledger` and `presel demo endpoint`, as a person meets them."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from presel.cli.ledger import app
from tests.instruct.hostile import answer, hostile
from tests.instruct.pools import KEY_VARIABLE, SECRET, Pool, generator


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of three answers, one of them with half a surrogate pair and an escape sequence in it."""
    monkeypatch.setenv(KEY_VARIABLE, SECRET)
    pool = Pool(tmp_path, images=3)
    odd = json.dumps({"turns": [{"question": "What \ud800?", "response": "\x1b[31mRed."}]})
    with hostile(pool, {0: lambda _: answer(odd, id="\ud800")}) as endpoint:
        pool.instruct(generator(endpoint.url), picked=3)
    path = tmp_path / "presel.yaml"
    path.write_text(f"source: {{uri: {tmp_path}/pool}}\nstore: {tmp_path}/store\ngenerator: {{max_cost: 1}}\n")
    return str(path)


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_answers_are_listed_by_key_or_with_what_they_cost_and_say(config: str) -> None:
    keys = said("ls", "-c", config).split()
    assert len(keys) == 3
    long = said("ls", "--long", "-c", config)
    assert all(key in long for key in keys)
    assert long.count("0.000072") == 3
    assert "\x1b" not in long
    rows = json.loads(said("ls", "--long", "--json", "-c", config))
    assert [row["key"] for row in rows] == keys


def test_every_answer_can_be_shown_and_exported_whatever_is_in_it(config: str) -> None:
    keys = said("ls", "-c", config).split()
    shown = [json.loads(said("show", key[:8], "-c", config)) for key in keys]
    exported = [json.loads(line) for line in said("export", "-c", config).splitlines()]
    assert shown == exported
    assert {answer["key"] for answer in shown} == set(keys)
    assert "\ud800" in {answer["body"]["id"] for answer in shown}


def test_stats_say_what_each_model_and_endpoint_cost(config: str) -> None:
    text = said("stats", "-c", config)
    assert "http://127.0.0.1" in text
    assert "0.000216" in text
    assert "reserved $0.0000" in text


def test_the_endpoint_for_rehearsals_starts_counts_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "presel.cli", "demo", "endpoint", "--faults", "storm", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        counts = json.loads(urllib.request.urlopen(f"{address}/counts").read())
        process.terminate()
    assert counts["total"] == 0
    assert counts["faults"] == {}
