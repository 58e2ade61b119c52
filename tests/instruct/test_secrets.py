"""The key comes back in everything an endpoint says, and is in nothing that is kept, logged or shown."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Callable

import pytest

from presel.errors import PreselError
from presel.instruct.endpoint.secrecy import Secret
from tests.instruct.hostile import TURNS, answer, failure, hostile, http
from tests.instruct.pools import BATCH, SECRET, Pool, generator

MASKED = (
    f"{SECRET[:7]}***{SECRET[-3:]}",
    f"{SECRET[:3]}********",
    f"*****{SECRET[-4:]}",
    f"{SECRET[:6]}...{SECRET[-4:]}",
)
ENCODED = base64.b64encode(f"Bearer {SECRET}".encode()).decode()
ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in SECRET)
SAID = f"Your header was 'Authorization: Bearer {SECRET}', that is {ENCODED} or {SECRET.encode().hex()}."
HEADERS = (f"x-echo: Bearer {SECRET}", f"x-request-id: {ENCODED}", f"location: http://127.0.0.1:1/?key={SECRET}")
COMPLAINT = f"Incorrect API key provided: {MASKED[0]} or {MASKED[1]} or {MASKED[2]} or {MASKED[3]}. {SAID}"

ENDPOINTS: dict[str, Callable[[], bytes]] = {
    "answer": lambda: answer(json.dumps({"turns": [{"question": "Key?", "response": SAID}]}), *HEADERS),
    "answer in escapes": lambda: http(
        200, answer().partition(b"\r\n\r\n")[2].replace(b"A picture.", ESCAPED.encode()), *HEADERS
    ),
    "refusal": lambda: answer(None, *HEADERS, message={"content": None, "refusal": SAID}),
    "prose": lambda: answer(f"{TURNS[:9]} {SAID}", *HEADERS),
    "html": lambda: http(200, f"<html>{SAID}</html>", *HEADERS, kind="text/html"),
    "broken": lambda: http(200, f'{{"{SECRET}": ', *HEADERS),
    "400": lambda: failure(400, SECRET, COMPLAINT, *HEADERS),
    "filter": lambda: failure(400, "content_filter", COMPLAINT, *HEADERS),
    "401": lambda: failure(401, "invalid_api_key", COMPLAINT, *HEADERS),
    "403 in html": lambda: http(403, f"<html>{COMPLAINT}</html>", *HEADERS, kind="text/html"),
    "404": lambda: failure(404, COMPLAINT, COMPLAINT, *HEADERS),
    "429": lambda: failure(429, "insufficient_quota", COMPLAINT, *HEADERS),
    "500": lambda: failure(500, "x", COMPLAINT, *HEADERS),
    "redirect": lambda: http(307, SAID, *HEADERS),
    "no status": lambda: f"HTTP/1.1 {SECRET}\r\n\r\n".encode(),
    "bad header": lambda: f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n".encode(),
    "bad length": lambda: http(200, "{}", f"content-length: {SECRET}", *HEADERS),
    "bad gzip": lambda: http(200, SAID, "content-encoding: gzip", *HEADERS),
}
TELLTALES = (SECRET, ENCODED, ENCODED[12:28], SECRET.encode().hex(), ESCAPED, SECRET[4:12])


@pytest.mark.parametrize("mode", [{}, {"mode": "batch", "batch": BATCH}], ids=["live", "batch"])
@pytest.mark.parametrize("says", ENDPOINTS.values(), ids=ENDPOINTS.keys())
def test_the_key_is_nowhere_whatever_the_endpoint_says(
    says: Callable[[], bytes], mode: dict[str, object], pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.NOTSET)
    shown = ""
    with hostile(pool, {}, every_path=says) as endpoint:
        try:
            pool.instruct(generator(endpoint.url, attempts=1, **mode), picked=3)
        except PreselError as error:
            chain: BaseException | None = error
            while chain is not None:
                shown += repr(chain) + str(chain) + repr(vars(chain))
                chain = chain.__cause__ or chain.__context__
            shown += "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    assert endpoint.headers, "nothing was asked"
    assert f"Bearer {SECRET}".encode() in endpoint.headers[0]
    records = "".join(f"{record.getMessage()} {record.exc_text or ''} {record.args!r}" for record in caplog.records)
    kept = b"".join(file.read_bytes() for file in pool.root.rglob("*") if file.is_file()).decode("utf-8", "replace")
    for place in (shown, caplog.text, records, kept):
        for telltale in TELLTALES:
            assert telltale.lower() not in place.lower()
        if not says().startswith(b"HTTP/1.1 200"):
            assert not any(masked in place for masked in MASKED)


@pytest.mark.parametrize("around", ["{}", "Bearer {}", "user:{}", "a{}b", "ab{}", "abc{}xyz"])
def test_base64_of_the_key_is_found_wherever_it_stands(around: str) -> None:
    coded = base64.b64encode(around.format(SECRET).encode()).decode()
    urlsafe = base64.urlsafe_b64encode(around.format(SECRET).encode()).decode()
    for text in (coded, urlsafe):
        assert text[8:28] not in Secret(SECRET).out_of(text)
        assert "[key removed]" in Secret(SECRET).out_of(text)


def test_innocent_words_stay_and_a_word_too_short_to_be_a_key_is_not_looked_for() -> None:
    prose = "A task-based demo*** with sky... and ask-me*** stars"
    assert Secret(SECRET).out_of(prose) == prose
    assert Secret(SECRET).out_of_message("a task-based thing ... done") == "a task-based thing ... done"
    assert Secret("demo").out_of_message("a demo of demo***") == "a demo of demo***"
