"""An answer belongs to its request, whatever else a server says on the connection; over real sockets.

Money depends on what a failure is called, too: a ConnectError says that not a byte was sent, so nothing can be billed.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from presel.instruct.endpoint import client as module
from presel.instruct.endpoint.client import Client
from presel.instruct.endpoint.outcomes import Answered, Failed, Outcome
from presel.instruct.questions.request import opening
from tests.instruct.hostile import http
from tests.instruct.pools import generator

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serves every connection by `talk`, and closes it after."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(reader, writer)
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/v1"
    finally:
        running.close()


async def received(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Head and body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return head, await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))


def about(body: bytes, **more: object) -> str:
    """An answer that says which picture it was asked about."""
    picture = body.partition(b"base64,")[2].partition(b'"')[0].decode()
    return json.dumps({"choices": [{"message": {"content": picture}}], **more})


def said(outcome: Outcome) -> str:
    return str(outcome.body["choices"][0]["message"]["content"]) if isinstance(outcome, Answered) else str(outcome)


async def asked(talk: Talk, pictures: list[bytes], timeout: float = 5.0) -> list[Outcome]:
    """One picture after the other."""
    async with server(talk) as url:
        settings = generator(url, timeout=timeout)
        client = Client(settings)
        found = [await client.ask(opening("c" * 64, "t", settings), picture) for picture in pictures]
        await client.close()
        return found


def twice_in_a_segment(body: bytes) -> bytes:
    return 2 * http(200, about(body))


def longer_than_announced(body: bytes) -> bytes:
    return http(200, about(body), f"content-length: {len(about(body))}") + http(200, about(b'base64,WRONG"'))


def an_answer_to_nobody(body: bytes) -> bytes:
    return http(200, about(body)) + http(408, "")


@pytest.mark.parametrize("spoken", [twice_in_a_segment, longer_than_announced, an_answer_to_nobody])
def test_what_is_left_over_on_a_connection_is_no_other_pictures_answer(spoken: Callable[[bytes], bytes]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await received(reader)
            writer.write(spoken(body))

    pictures = [b"AAAA", b"BBBB", b"CCCC"]
    assert [said(found).encode() for found in asyncio.run(asked(talk, pictures))] == pictures


@pytest.mark.parametrize("place", ["header", "body"])
def test_an_answer_that_names_another_request_is_none(place: str) -> None:
    """A proxy that mixes up its own connections hands each client an answer, but the other one's."""
    names: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await received(reader)
        names.append(re.findall(r"\r\nx-request-id: (\S+)", head)[0])
        name = names[max(0, len(names) - 2)]
        answer = about(body, id=f"chatcmpl-{name}") if place == "body" else about(body)
        writer.write(http(200, answer, *([f"x-client-request-id: {name}"] if place == "header" else [])))

    first, second = asyncio.run(asked(talk, [b"AAAA", b"BBBB"]))
    assert said(first) == "AAAA"
    assert isinstance(second, Failed)
    assert (second.reason, second.billed) == ("broken_body", True)


def test_a_late_answer_is_not_taken_for_the_next_requests() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await received(reader)
        await asyncio.sleep(0.4 if b"AAAA" in body else 0)
        writer.write(http(200, about(body)))

    slow, fast = asyncio.run(asked(talk, [b"AAAA", b"BBBB"], timeout=0.2))
    assert isinstance(slow, Failed)
    assert said(fast) == "BBBB"


BOMB = gzip.compress(bytes(40 * 2**20))


@pytest.mark.parametrize("raw", [http(200, BOMB, "content-encoding: gzip"), http(200, bytes(9 * 2**20))])
def test_a_body_beyond_all_sense_is_a_failed_try(raw: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(raw)
        await writer.drain()

    (found,) = asyncio.run(asked(talk, [b"AAAA"]))
    assert isinstance(found, Failed)
    assert (found.reason, found.billed) == ("broken_body", True)
    assert "a body of more than" in found.message


def test_a_charset_that_is_none_spoils_no_answer() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await received(reader)
        writer.write(http(200, about(body), kind="application/json; charset=base64"))

    (found,) = asyncio.run(asked(talk, [b"AAAA"]))
    assert said(found) == "AAAA"


def certificate(folder: Path) -> Path:
    """A key and a certificate for localhost, signed by itself, in one file."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    signed = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "certificate.pem"
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain) + signed)
    return file


@pytest.mark.parametrize("trusted", [True, False])
def test_over_tls_only_a_trusted_server_is_told_anything(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, told = certificate(tmp_path), []
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(file)
    trust = ssl.create_default_context(cafile=str(file) if trusted else None)
    monkeypatch.setattr(module.trust, "context", lambda: trust)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await received(reader))
        writer.write(http(200, about(b'base64,AAAA"')))

    async def run() -> Outcome:
        async with server(talk, tls=serving) as url:
            settings = generator(url.replace("http://127.0.0.1", "https://localhost"), timeout=5.0)
            client = Client(settings)
            found = await client.ask(opening("c" * 64, "t", settings), b"A" * 3_000_000)
            await client.close()
            return found

    found = asyncio.run(run())
    assert isinstance(found, Answered if trusted else Failed)
    assert len(told) == trusted
    if isinstance(found, Failed):
        assert (found.reason, found.billed) == ("connection", False)


@pytest.mark.parametrize(("exempt", "direct"), [("", False), ("127.0.0.1", True)])
def test_a_proxy_of_the_environment_is_gone_through_unless_the_host_is_exempt(
    exempt: str, direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    lines: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        await received(reader)
        writer.write(http(200, "{}"))

    async def run() -> None:
        async with server(talk) as url:
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("NO_PROXY", exempt)
            settings = generator(url if direct else "http://127.0.0.1:9/v1", timeout=5.0)
            client = Client(settings)
            await client.ask(opening("c" * 64, "t", settings), b"AAAA")
            await client.close()

    asyncio.run(run())
    assert lines[0].startswith(b"POST /v1/chat" if direct else b"POST http://127.0.0.1:9/v1/chat")
