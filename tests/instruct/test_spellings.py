"""A key goes no further in whatever spelling it comes back, and no address carries a secret into a run."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.config import GeneratorConfig
from presel.config.file import load
from presel.errors import ConfigError
from presel.instruct.endpoint.client import resolved_base_url
from presel.instruct.endpoint.secrecy import Secret
from presel.instruct.ledger import Ledger
from presel.storage import open_store
from tests.instruct.hostile import answer, failure, hostile
from tests.instruct.pools import KEY_VARIABLE, Pool, generator, reasons

KEY = "sk-ab/cd+12_34.EF=gh"


def each(form: str) -> Callable[[str], str]:
    return lambda key: "".join(form.format(ord(letter)) for letter in key)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "escaped slashes": lambda key: key.replace("/", "\\/"),
    "twice escaped slashes": lambda key: key.replace("/", "\\\\/"),
    "JSON escapes": each("\\u{:04x}"),
    "JSON escapes within JSON": each("\\\\u{:04X}"),
    "braces": each("\\u{{{:x}}}"),
    "hexadecimal escapes": each("\\x{:02x}"),
    "URL": lambda key: quote(key, safe=""),
    "a part of an URL": quote,
    "URL within an URL": lambda key: quote(quote(key, safe=""), safe=""),
    "every letter of an URL": each("%{:02x}"),
    "HTML numbers": each("&#{};"),
    "HTML hexadecimal": each("&#x{:X};"),
    "HTML names": lambda key: key.replace("/", "&sol;").replace("+", "&plus;").replace("=", "&equals;"),
    "HTML within HTML": lambda key: key.replace("/", "&amp;#47;"),
    "quoted printable": each("={:02X}"),
    "base64 with escaped slashes": lambda key: base64.b64encode(key.encode()).decode().replace("/", "\\/"),
    "base64 in an URL": lambda key: quote(base64.b64encode(b"Bearer " + key.encode()).decode(), safe=""),
    "some of each": lambda key: (
        key.replace("k", "\\u006b").replace("/", "\\/").replace("+", "%2B").replace("=", "&#61;")
    ),
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_key_is_cut_out_in_every_spelling_and_json_stays_json(spell: Callable[[str], str]) -> None:
    spelled = spell(KEY)
    clean = Secret(KEY).out_of(f"before {spelled} after")
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    assert "[key removed]" in clean
    assert spelled not in clean
    document = json.dumps({"said": json.dumps({"turns": [spelled]})})
    assert "[key removed]" in json.loads(json.loads(Secret(KEY).out_of(document))["said"])["turns"][0]


@pytest.mark.parametrize(
    "text", ["%41" * 300_000, "\\" * 300_000 + "/", "\\s" * 200_000, "&amp;" * 100_000, "=" * 300_000]
)
def test_no_text_takes_long_to_look_through(text: str) -> None:
    started = time.process_time()
    assert Secret(KEY).out_of(text) == text
    assert time.process_time() - started < 3


@given(st.text(max_size=200))
def test_an_innocent_text_stays_as_it_is(text: str) -> None:
    assert Secret("sk-0123456789abcdef").out_of(text) == text


@pytest.mark.parametrize("spell", [*SPELLINGS.values(), str], ids=[*SPELLINGS.keys(), "plain"])
def test_a_key_with_a_slash_is_in_no_file_of_a_store(
    spell: Callable[[str], str], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    said = json.dumps({"turns": [{"question": "What key?", "response": "KEY"}]}).replace(
        "KEY", spell(KEY).replace('"', "")
    )
    with hostile(pool, {0: lambda _: answer(said), 1: lambda _: failure(400, "x", f"no {spell(KEY)}")}) as endpoint:
        ref = pool.instruct(generator(endpoint.url), picked=3)
    assert reasons(ref)[0] == "declined"
    for file in Path(pool.store).rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert KEY.encode() not in data
            assert spell(KEY).encode() not in data
    assert len(list(Ledger(open_store(pool.store)).all_keys())) >= 3


@pytest.mark.parametrize(
    "address",
    [
        "https://user:hunter22@host/v1",
        "https://hunter22@host/v1",
        "https://host/v1?api_key=hunter22",
        "http://h/v1?sig=hunter22",
    ],
)
def test_a_password_in_an_address_is_refused_where_it_is_read_and_not_said_back(address: str, tmp_path: Path) -> None:
    file = tmp_path / "presel.yaml"
    file.write_text(f"source: {{uri: a}}\nstore: b\ngenerator: {{max_cost: 1, base_url: '{address}'}}\n")
    with pytest.raises(ConfigError, match="password or a key") as caught:
        load(file)
    assert caught.value.exit_code == 2
    assert "hunter22" not in str(caught.value)
    with pytest.raises(ValueError, match="password or a key") as wrong:
        GeneratorConfig(base_url=address, max_cost=1)
    assert "hunter22" not in str(wrong.value)


def test_a_secret_that_comes_into_the_path_by_a_variable_is_refused_and_a_name_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "hunter22")
    monkeypatch.setenv("PLACE", "sk-0123456789abcdef")
    monkeypatch.setenv("DEPLOYMENT", "gpt-4o-mini-2024")
    for address in ("https://host/${GATEWAY_TOKEN}/v1", "https://host/${PLACE}/v1"):
        with pytest.raises(ConfigError, match="addresses are kept") as caught:
            resolved_base_url(address)
        assert "hunter22" not in str(caught.value)
        assert "sk-0123" not in str(caught.value)
    assert resolved_base_url("https://host/${DEPLOYMENT}/v1") == "https://host/gpt-4o-mini-2024/v1"
    assert GeneratorConfig(base_url="https://host/v1?api-version=2024-10-21", max_cost=1)


def test_errors_name_the_address_as_it_is_written(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    with hostile(pool, {0: lambda _: failure(401, "x", "no")}) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url.removesuffix("/v1"))
        with pytest.raises(Exception, match="refuses with 401") as caught:
            pool.instruct(generator("${PRESEL_TEST_URL}/v1"), picked=1)
    assert "${PRESEL_TEST_URL}/v1" in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
