"""Our way onto the wire, over real sockets: what is sent, what comes back, and what a failure may be called.

Money depends on the last: a ConnectError says that not a byte was sent, so nothing can be billed.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from presel.instruct.endpoint.client import Client
from presel.instruct.endpoint.transport import Transport
from tests.instruct.pools import generator

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def server(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serves every connection by `talk`, and closes it after."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http://127.0.0.1:{running.sockets[0].getsockname()[1]}/"
    finally:
        running.close()


@asynccontextmanager
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=Transport(ssl.create_default_context())) as opened:
        yield opened


async def received(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))


def answer(said: bytes) -> httpx2.Response:
    """What the client makes of what a server says to one request, before it closes the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await received(reader)
        writer.write(said)

    async def run() -> httpx2.Response:
        async with server(talk) as url, client() as http:
            return await http.post(url, content=b"question")

    return asyncio.run(run())


@pytest.mark.parametrize(
    "said",
    [
        OK,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"ok"),
    ],
    ids=["with its length", "in chunks", "until the end", "HTTP/1.0", "after a 100", "compressed"],
)
def test_a_body_is_read_however_it_is_framed(said: bytes) -> None:
    assert (answer(said).status_code, answer(said).text) == (200, "ok")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000,
        b"SSH-2.0-OpenSSH\r\n",
    ],
    ids=["nothing", "half a head", "short", "half a chunk", "no chunk", "not compressed", "endless head", "not HTTP"],
)
def test_what_breaks_after_the_request_was_sent_is_never_called_a_failure_to_connect(said: bytes) -> None:
    with pytest.raises(httpx2.HTTPError) as caught:
        answer(said)
    assert not isinstance(caught.value, (httpx2.ConnectError, httpx2.ConnectTimeout))


def test_a_handshake_that_fails_is_a_failure_to_connect() -> None:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"I speak no TLS.\r\n")

    async def run() -> None:
        async with server(talk) as url, client() as http:
            await http.post(url.replace("http:", "https:"), content=b"question")

    with pytest.raises(httpx2.ConnectError):
        asyncio.run(run())


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
def test_over_tls_only_a_trusted_server_is_told_anything(trusted: bool, tmp_path: Path) -> None:
    file, told = certificate(tmp_path), []
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(file)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            told.append(await received(reader))
            writer.write(OK)

    async def run() -> None:
        trust = ssl.create_default_context(cafile=str(file) if trusted else None)
        async with server(talk, tls=serving) as url, httpx2.AsyncClient(transport=Transport(trust)) as http:
            for body in (b"x" * 3_000_000, b"y"):
                await http.post(url.replace("http://127.0.0.1", "https://localhost"), content=body)

    if trusted:
        asyncio.run(run())
    else:
        with pytest.raises(httpx2.ConnectError):
            asyncio.run(run())
    assert [len(body) for body in told] == ([3_000_000, 1] if trusted else [])


def test_a_large_body_arrives_whole_and_connections_are_used_again() -> None:
    bodies, connections = [], []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        while True:
            bodies.append(await received(reader))
            writer.write(OK)

    sent = [bytes([i]) * 3_000_000 for i in range(4)]

    async def run() -> None:
        async with server(talk) as url, client() as http:
            await asyncio.gather(*(http.post(url, content=body) for body in sent[:2]))
            for body in sent[2:]:
                await http.post(url, content=body)

    asyncio.run(run())
    assert sorted(bodies) == sent
    assert len(connections) == 2


@pytest.mark.parametrize("parting", [b"", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"])
def test_an_idle_connection_that_the_server_closed_or_spoke_on_is_not_used(parting: bytes) -> None:
    connections = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await received(reader)
        writer.write(OK)
        await asyncio.sleep(0.02)
        writer.write(parting)

    async def run() -> list[int]:
        async with server(talk) as url, client() as http:
            first = await http.post(url, content=b"one")
            await asyncio.sleep(0.1)
            return [first.status_code, (await http.post(url, content=b"two")).status_code]

    assert asyncio.run(run()) == [200, 200]
    assert len(connections) == 2


def test_a_late_answer_is_not_taken_for_the_next_requests() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await received(reader)
        await asyncio.sleep(0.3 if body == b"slow" else 0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n" + body)

    async def run() -> str:
        async with server(talk) as url, client() as http:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await http.post(url, content=b"slow")
            return (await http.post(url, content=b"fast")).text

    assert asyncio.run(run()) == "fast"


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
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    async def run() -> None:
        async with server(talk) as url:
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("NO_PROXY", exempt)
            settings = generator(url if direct else "http://127.0.0.1:9/v1", timeout=5.0)
            asked = Client(settings)
            await asked.sdk.post("/x", cast_to=httpx2.Response, content=b"{}")
            await asked.close()

    asyncio.run(run())
    assert lines[0].startswith(b"POST /x" if direct else b"POST http://127.0.0.1:9/v1/x")
