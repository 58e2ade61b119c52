"""The one place that talks to the API, through the `openai` SDK, and the one table that says what its failures mean.

The SDK's own retries are off: it sends no idempotency key, so a time-out that it retries by itself can be billed
twice without anybody counting. `create` returns the raw text and we read it: `.parse()` raises on a cut or filtered
answer and loses words that were paid for. The SDK's time-out is per read, so a body that trickles would never end:
the whole request has a deadline.

Every failure says two things: may it be tried again, and may it have been billed? A reset, a time-out or a broken
body came after the request was sent: the provider may have worked and will bill, so it counts as spent at its
reserved price.

Secrets: the key is read from the environment here, handed to the SDK, and cut out of every text that comes back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from presel.config import GeneratorConfig
from presel.errors import ConfigError, EndpointRefused
from presel.instruct.outcomes import Answered, Failed, Outcome, Rejected, Throttled
from presel.instruct.request import Request

_VARIABLE = re.compile(r"\$\{(\w+)\}")

RETRYABLE_STATUS = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
FATAL: dict[int, str] = {
    401: "check the key in the environment variable that `generator.api_key_env` names",
    402: "the account has no credit: add some, then run again; nothing is bought twice",
    403: "the key may not use this model: check its permissions, or choose another `generator.model`",
    404: "check `generator.base_url` and `generator.model`",
    405: "check `generator.base_url`",
    407: "check the proxy settings",
}
_OUT_OF_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated")
_ABOUT_THE_PICTURE = ("content_filter", "content_policy_violation", "moderation_blocked", "invalid_image", "image_")


class Client:
    """One endpoint, one key. Lives in the engine's loop.

    It keeps one SDK client, with one connection, for each request in flight: the pool beneath looks at every
    connection it has for every request, which at 64 of them costs more than the request (measured:
    benchmarks/instructions.py).
    """

    def __init__(self, generator: GeneratorConfig) -> None:
        self._secret = secret(generator)
        self._timeout = generator.timeout
        self._where = resolved_base_url(generator.base_url)
        self._trust = ssl.create_default_context()  # 60 ms: made once for all connections
        self._idle: list[openai.AsyncOpenAI] = []

    async def ask(self, request: Request, picture: str) -> Outcome:
        """Send one request with its picture (a data URL). Raises EndpointRefused when no request will ever succeed."""
        raw = await self._sent(request, picture)
        if isinstance(raw, Failed):
            return raw
        status, text, headers = raw
        return self._answer(text, headers) if status == 200 else self._status(status, text, headers)

    async def _sent(self, request: Request, picture: str) -> tuple[int, str, Mapping[str, str]] | Failed:
        """Status, text and headers as they came. Nothing is raised from in here: a foreign exception holds request and key."""
        sdk = self._idle.pop() if self._idle else self._opened()
        try:
            async with asyncio.timeout(self._timeout):
                raw = await sdk.chat.completions.with_raw_response.create(
                    model=request.model, messages=[], extra_body=_body(request, picture)
                )
                return raw.status_code, self._scrubbed(raw.text), raw.headers
        except openai.APIStatusError as error:
            return error.status_code, self._scrubbed(error.response.text), error.response.headers
        except Exception as error:
            return self._translated(error)
        finally:
            self._idle.append(sdk)

    async def close(self) -> None:
        for sdk in self._idle:
            await sdk.close()

    def _opened(self) -> openai.AsyncOpenAI:
        http = httpx2.AsyncClient(
            verify=self._trust,
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            timeout=httpx2.Timeout(self._timeout, connect=15.0),
        )
        return openai.AsyncOpenAI(api_key=self._secret, base_url=self._where, max_retries=0, http_client=http)

    def _answer(self, text: str, headers: Mapping[str, str]) -> Outcome:
        body = _json(text)
        if body is None:
            return Failed("broken_body", f"not JSON: {text[:80]!r}", billed=True, headers=headers)
        if isinstance(body.get("error"), Mapping) and not body.get("choices"):
            code = body["error"].get("code")  # some routers report failures of the model behind them with status 200
            return self._status(code if isinstance(code, int) else 502, json.dumps(body), headers)
        if not _has_choice(body):
            return Failed("broken_body", "no `choices` in the answer", billed=True, headers=headers)
        return Answered(200, body, headers)

    def _status(self, status: int, text: str, headers: Mapping[str, str]) -> Outcome:
        error = _error(text)
        code, message = error["code"], error["message"] or f"status {status}"
        if code in _OUT_OF_CREDIT:
            status = 402
        if status == 429:
            return Throttled(headers, message)
        if status in RETRYABLE_STATUS or status >= 500:
            return Failed("server_error", f"{status}: {message}", billed=False, headers=headers)
        if status in FATAL or 300 <= status < 400:
            raise EndpointRefused(
                f"the endpoint refuses with {status}: {message[:300]}",
                where=self._where,
                fix=FATAL.get(status, FATAL[404]),
            )
        if any(code.startswith(word) for word in _ABOUT_THE_PICTURE):
            return Answered(400, {"error": {"code": code, "message": message}}, headers)
        return Rejected(status, f"{status}: {message[:300]}")

    def _translated(self, error: Exception) -> Failed:
        for foreign, (reason, billed) in FAILURES.items():
            if isinstance(error, foreign):
                cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else None
                billed = billed and not isinstance(cause, NEVER_SENT)
                return Failed(reason, self._scrubbed(f"{type(error).__name__}: {cause or error}")[:300], billed)
        raise error

    def _scrubbed(self, text: str) -> str:
        """Without the key: an endpoint may say it back. A word too short to be a key is not looked for."""
        return text.replace(self._secret, "[key removed]") if len(self._secret) >= 8 else text


FAILURES: dict[type[Exception], tuple[str, bool]] = {
    TimeoutError: ("timeout", True),
    openai.APITimeoutError: ("timeout", True),
    openai.APIConnectionError: ("connection", True),
    openai.APIError: ("broken_body", True),
    httpx2.HTTPError: ("connection", True),
    httpx2.StreamError: ("connection", True),
    UnicodeError: ("broken_body", True),
    json.JSONDecodeError: ("broken_body", True),
}
"""Foreign exception -> (reason, may it have been billed?). The first that fits counts."""

NEVER_SENT: tuple[type[Exception], ...] = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
"""Causes of a connection error that came before a byte was sent: certainly not billed."""


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


def _body(request: Request, picture: str) -> dict[str, Any]:
    """The request's JSON. It goes past the SDK's typed arguments: walking through them took 10 % of all time, to no effect."""
    schema = {"name": "instruction", "strict": True, "schema": dict(request.schema)}
    return {
        "messages": request.with_picture(picture),
        "response_format": {"type": "json_schema", "json_schema": schema},
        **request.parameters,
    }


def _json(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _has_choice(body: Mapping[str, Any]) -> bool:
    choices = body.get("choices")
    return isinstance(choices, list) and bool(choices) and isinstance(choices[0], Mapping)


def _error(text: str) -> dict[str, str]:
    """Code and message of an error body, whatever its shape."""
    body = _json(text) or {}
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        return {"code": "", "message": str(error)[:300]}
    code = error.get("code") or error.get("type") or ""
    return {"code": str(code), "message": str(error.get("message") or body.get("detail") or "")[:300]}
