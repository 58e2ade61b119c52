"""The one place that asks for answers, through the `openai` SDK.

The SDK's own retries are off: it sends no idempotency key, so a time-out that it retries by itself can be billed
twice without anybody counting. The raw text comes back and we read it: `.parse()` raises on a cut or filtered answer
and loses words that were paid for. The SDK's time-out is per read, so a body that trickles would never end: the whole
request has a deadline. What a failure means is said in failures.py.

The body goes out as bytes that we made ourselves (request.py): the SDK would walk through its typed arguments and
escape 130 kB of base64 for every request. It goes out by a transport of our own (transport.py) where no proxy is in between.

Secrets: the key is read from the environment here, handed to the SDK, and cut out of every text that comes back.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
import openai

from presel.config import GeneratorConfig
from presel.errors import ConfigError
from presel.instruct.endpoint.failures import Reading
from presel.instruct.endpoint.outcomes import Failed, Outcome
from presel.instruct.endpoint.transport import Transport
from presel.instruct.questions.request import Request

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_JSON: openai.RequestOptions = {"headers": {"Content-Type": "application/json"}}


class Client:
    """One endpoint, one key. Lives in the engine's loop."""

    def __init__(self, generator: GeneratorConfig) -> None:
        self._secret = secret(generator)
        self._timeout = generator.timeout
        self._where = resolved_base_url(generator.base_url)
        self.sdk = self.opened(self._transport())
        self.reading = Reading(self._where, self._secret)

    async def ask(self, request: Request, picture: bytes) -> Outcome:
        """Send one request with its picture (a JPEG in base64). Raises EndpointRefused when no request will ever succeed."""
        raw = await self._sent(request.body(picture))
        return raw if isinstance(raw, Failed) else self.reading.outcome(*raw)

    async def _sent(self, body: bytes) -> tuple[int, str, Mapping[str, str]] | Failed:
        """Status, text and headers as they came. Nothing is raised from in here: a foreign exception holds request and key."""
        try:
            async with asyncio.timeout(self._timeout):
                raw = await self.sdk.post("/chat/completions", cast_to=httpx2.Response, content=body, options=_JSON)
                return raw.status_code, self.reading.scrubbed(raw.text), raw.headers
        except openai.APIStatusError as error:
            return error.status_code, self.reading.scrubbed(error.response.text), error.response.headers
        except Exception as error:
            return self.reading.failed(error)

    async def close(self) -> None:
        await self.sdk.close()

    def opened(self, transport: httpx2.AsyncBaseTransport | None = None) -> openai.AsyncOpenAI:
        """An SDK client; without a transport of its own it goes by httpx2's, which knows proxies and every time-out."""
        http = httpx2.AsyncClient(
            transport=transport,
            verify=_trust(),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=httpx2.Timeout(self._timeout, connect=15.0),
        )
        return openai.AsyncOpenAI(api_key=self._secret, base_url=self._where, max_retries=0, http_client=http)

    def _transport(self) -> Transport | None:
        """Ours, unless a proxy stands between us and the endpoint."""
        parts = urlsplit(self._where)
        proxied = {parts.scheme, "all"} & getproxies().keys() and not proxy_bypass(parts.hostname or "")
        return None if proxied else Transport(_trust())


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """The certificates to trust: 60 ms to read, so once a process."""
    return ssl.create_default_context()


def resolved_base_url(base_url: str) -> str:
    """The address with `${NAME}` taken from the environment.

    Requests are keyed by the address as written, so a server whose port changes from run to run (the demo's) keeps
    its answers. Raises ConfigError when the variable is not set, when what results is no address, or when it carries
    a password.
    """
    missing = [name for name in _VARIABLE.findall(base_url) if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the environment variable {missing[0]} is not set",
            where="generator.base_url",
            fix=f"export {missing[0]}=...",
        )
    address = _VARIABLE.sub(lambda found: os.environ[found[1]], base_url).rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            "the endpoint's address is not one", where="generator.base_url", expected="https://...", got=base_url
        )
    if parts.username or parts.password:
        raise ConfigError(
            "the endpoint's address holds a password, which would end up in every ledger entry",
            where="generator.base_url",
            fix="take it out; the key belongs into the environment variable that `generator.api_key_env` names",
        )
    return address


def secret(generator: GeneratorConfig) -> str:
    """The API key. Raises ConfigError when the environment does not hold it."""
    value = os.environ.get(generator.api_key_env, "").strip()
    if not value:
        raise ConfigError(
            f"the environment variable {generator.api_key_env} is not set",
            where="generator.api_key_env",
            fix=f"export {generator.api_key_env}=<your key>; any word will do for a server that asks for none",
        )
    return value
