"""The one place that asks for answers.

A request is one connection: what else a server or a proxy says on it (an answer sent twice, a body longer than announced, an
answer to a request that was never sent) ends with it, and cannot become another picture's answer. httpx2 keeps connections
by default and would read what is left over as the next answer; and a new connection is cheaper than its pool
(docs/decisions.md). If a server returns the name of a request, that name says which request was answered.

Nothing is retried by itself: a time-out that a library retries can be billed twice without anybody counting. A library's
time-out is per read, so a body that trickles would never end: the whole request has a deadline, and a body a largest size
(storage/bodies.py). What a failure means is said in failures.py. Files and batches go by the `openai` SDK (`opened`).

Secrets: the key is read from the environment here, put into a header, and cut out of every text that comes back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

from presel.config import GeneratorConfig
from presel.errors import ConfigError
from presel.images.reasons import Reason
from presel.instruct.endpoint.failures import Reading
from presel.instruct.endpoint.outcomes import Failed, Outcome
from presel.instruct.endpoint.secrecy import Secret
from presel.instruct.questions.request import Request
from presel.storage import bodies, trust

if TYPE_CHECKING:
    import openai

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_JSON = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth|(?:^|_)sig(?:_|$|nature)", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(?:sk|pk|ghp|hf|xox.|AKIA|eyJ)[-_]?\w{12}")
_NAME = re.compile(r"presel-[0-9a-f]{32}")


class Client:
    """One endpoint, one key. Lives in the engine's loop."""

    def __init__(self, generator: GeneratorConfig) -> None:
        self._secret = secret(generator)
        self._timeout = generator.timeout
        self._where, self._query, self._headers = reached(generator)
        self._http = self._connections()
        self.reading = Reading(
            generator.base_url, self._secret
        )  # as written: what `${NAME}` stands for is nobody's business
        filled = " ".join([_path(generator.base_url), *generator.request.extra_headers.values()])
        self._others = [Secret(os.environ[name]) for name in _VARIABLE.findall(filled)]
        for other in self._others:
            other.quiet()

    async def ask(self, request: Request, picture: bytes) -> Outcome:
        """Send one request with its picture (a JPEG in base64). Raises EndpointRefused when no request will ever succeed."""
        raw = await self._sent(request.body(picture))
        return raw if isinstance(raw, Failed) else self.reading.outcome(*raw)

    async def _sent(self, body: bytes) -> tuple[int, str, Mapping[str, str]] | Failed:
        """Status, text and headers as they came. Nothing is raised from in here: a foreign exception holds request and key."""
        name = f"presel-{secrets.token_hex(16)}"
        headers = {**self._headers, **_JSON, "X-Request-Id": name, "X-Client-Request-Id": name}
        url = f"{self._where}/chat/completions"
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.stream("POST", url, content=body, headers=headers, params=self._query) as response,
            ):
                data = await response.aread()
            text = data.decode(json.detect_encoding(data), errors="replace")  # JSON is UTF-8, whatever a header says
            for other in self._others:
                text = other.out_of(text)
        except Exception as error:
            return self.reading.failed(error)
        if set(_NAME.findall(" ".join([text, *response.headers.values()]))) - {name}:
            return Failed(Reason.BROKEN_BODY, "an answer that names another request than this one", billed=True)
        return response.status_code, self.reading.scrubbed(text), response.headers

    async def close(self) -> None:
        await self._http.aclose()

    def opened(self) -> openai.AsyncOpenAI:
        """An SDK client, for files and batches."""
        import openai

        return openai.AsyncOpenAI(
            api_key=self._secret,
            base_url=self._where.partition("/deployments/")[0],
            max_retries=0,
            http_client=self._connections(),
            default_headers=self._headers,
            default_query=self._query,
        )

    def _connections(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            verify=trust.context(),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=0),
            timeout=httpx2.Timeout(None, connect=15.0),
            event_hooks={"response": [bodies.bound_async]},
        )


def resolved_base_url(base_url: str) -> str:
    """The address with `${NAME}` taken from the environment.

    Requests are keyed by the address as written, so a server whose port changes from run to run (the demo's) keeps
    its answers. Raises ConfigError when the variable is not set, when what results is no address, or when it carries
    a password.
    """
    address = _filled(base_url, "base_url").rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            "the endpoint's address is not one", where="generator.base_url", expected="https://...", got=base_url
        )
    secrets_in_path = [name for name in _VARIABLE.findall(_path(base_url)) if _holds_a_secret(name)]
    if parts.username or parts.password or secrets_in_path:
        raise ConfigError(
            f"the endpoint's address holds a {'secret, ${' + secrets_in_path[0] + '}' if secrets_in_path else 'password'}: "
            "addresses are kept and logged, here, by proxies and by servers",
            where="generator.base_url",
            fix="take it out: a key belongs into the environment variable that `generator.api_key_env` names, another one into "
            "a header, `generator.request.extra_headers: {Name: ${NAME}}`",
        )
    return address


def _path(base_url: str) -> str:
    """What follows the host, as written."""
    return base_url.partition("://")[2].partition("/")[2] if "://" in base_url else base_url.partition("/")[2]


def _holds_a_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.match(os.environ[name]))


def reached(generator: GeneratorConfig) -> tuple[str, dict[str, str], dict[str, str]]:
    """Address, query and headers of an endpoint's requests, the key among them. Raises ConfigError.

    Azure's older form has `?api-version=` in its address, and takes the key in a header of its own.
    """
    url = httpx2.URL(resolved_base_url(generator.base_url))
    query, key = dict(url.params), secret(generator)
    told = {"api-key": key} if "api-version" in query else {"Authorization": f"Bearer {key}"}
    named = generator.request.extra_headers.items()
    more = {name: _filled(value, f"request.extra_headers.{name}") for name, value in named}
    return str(url.copy_with(query=None)).rstrip("/"), query, {**told, **more}


def _filled(value: str, field: str) -> str:
    """With `${NAME}` taken from the environment. Raises ConfigError when the variable is not set."""
    missing = [name for name in _VARIABLE.findall(value) if name not in os.environ]
    if missing:
        raise ConfigError(
            f"the environment variable {missing[0]} is not set",
            where=f"generator.{field}",
            fix=f"export {missing[0]}=...",
        )
    return _VARIABLE.sub(lambda found: os.environ[found[1]], value)


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
