"""Files and batches of the API, through the SDK: each call is repeated until it is known what came of it.

All of these calls may be repeated without harm but one. Creating a batch twice buys everything twice, so its outcome can
be "nobody knows", and then batches.py finds out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

import openai

from presel.config import GeneratorConfig
from presel.errors import EndpointRefused, EndpointUnavailable
from presel.images.reasons import Reason
from presel.instruct.endpoint.client import Client
from presel.instruct.endpoint.limits import backoff, retry_after
from presel.instruct.endpoint.outcomes import Failed, Throttled
from presel.instruct.words import parsed, printable
from presel.storage import bodies

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_TRANSFER = 3600.0
"""Seconds for one file of 200 MB: 55 kB/s."""
_PAGE = 100

Call = Callable[[openai.AsyncOpenAI], Awaitable[Any]]


@dataclass(frozen=True)
class Batch:
    """A batch as the provider describes it."""

    id: str
    status: str
    metadata: Mapping[str, str]
    file: str
    """The id of the file it was made from."""
    output: str | None
    errors: str | None
    completed: int
    total: int
    complaint: tuple[str, str]
    """Code and message of the first error about the whole file."""


class BatchClient:
    """Files and batches of one endpoint. Lives in the engine's loop."""

    def __init__(self, client: Client, generator: GeneratorConfig) -> None:
        self._reading, self._generator = client.reading, generator
        self._client = client

    async def upload(self, file: BinaryIO, name: str) -> str:
        """The id of the uploaded file, which is read from its beginning. Raises EndpointRefused where there is no batch API."""

        async def call(sdk: openai.AsyncOpenAI) -> Any:
            file.seek(0)
            return await sdk.files.with_raw_response.create(file=(name, file), purpose="batch")

        found = await self._insisted(call, _TRANSFER)
        if found is None:
            raise EndpointRefused(
                "the endpoint has no batch API", where=self._generator.base_url, fix="set `generator.mode: live`"
            )
        return str(found["id"])

    async def create(self, file: str, metadata: dict[str, str]) -> Batch | None:
        """Create a batch; None: nobody knows whether it was. Raises EndpointRefused when it certainly was not."""

        async def call(sdk: openai.AsyncOpenAI) -> Any:
            return await sdk.batches.with_raw_response.create(
                completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file, metadata=metadata
            )

        while isinstance(found := await self._once(call, self._generator.timeout, _described), Throttled):
            await asyncio.sleep(_wait(found, 1))
            if there := await self.find(file, metadata):  # it was created all the same
                return there
        return None if isinstance(found, Failed) or found is None else _batch(found)

    async def retrieve(self, batch: str) -> Batch | None:
        """A batch as it stands; None: the provider knows it no more."""
        found = await self._insisted(lambda sdk: sdk.batches.with_raw_response.retrieve(batch), parse=_described)
        return _batch(found) if found else None

    async def find(self, file: str, metadata: Mapping[str, str]) -> Batch | None:
        """The batch of an uploaded file: made from it, or with our metadata, to which a provider may add its own."""
        async for batch in self._all():
            if batch.file == file or metadata.items() <= batch.metadata.items():
                return batch
        return None

    async def _all(self) -> AsyncIterator[Batch]:
        after: dict[str, str] = {}
        while True:
            page = await self._insisted(lambda sdk, at=after: sdk.batches.with_raw_response.list(limit=_PAGE, **at))  # type: ignore[misc]
            items = [item for item in (page or {}).get("data") or [] if isinstance(item, dict) and item.get("id")]
            for item in items:
                yield _batch(item)
            if not page or not page.get("has_more") or not items or after == {"after": items[-1]["id"]}:
                return
            after = {"after": items[-1]["id"]}

    async def delete(self, file: str) -> None:
        """Delete an uploaded file; one that is not there is fine."""
        await self._insisted(lambda sdk: sdk.files.with_raw_response.delete(file))

    async def download(self, file: str, least: int, largest: int) -> list[dict[str, Any]] | None:
        """The lines of a file that should have `least`; None: the provider has it no more.

        A file that came cut, in a line or between two, is asked for again; if it stays so, what there is counts. Raises
        EndpointUnavailable for one of more than `largest` bytes.
        """

        async def call(sdk: openai.AsyncOpenAI) -> Any:
            return await sdk.files.with_raw_response.content(file)

        for _ in range(self._generator.attempts):
            with bodies.at_most(largest):
                found = await self._insisted(call, _TRANSFER, parse=_lines)
            if found is None or (found["whole"] and len(found["lines"]) >= least):
                break
        return found["lines"] if found else None

    @cached_property
    def _sdk(self) -> openai.AsyncOpenAI:
        return self._client.opened()

    async def close(self) -> None:
        if "_sdk" in vars(self):
            await self._sdk.close()

    async def _insisted(
        self, call: Call, seconds: float | None = None, parse: Callable[[str], Any] | None = None
    ) -> Any:
        """A call's JSON; None: there is no such thing. Raises EndpointRefused and, after `attempts`, EndpointUnavailable."""
        failures, started = 0, time.monotonic()
        while True:
            found = await self._once(call, seconds or self._generator.timeout, parse or _object)
            if isinstance(found, Throttled) and time.monotonic() - started < _TRANSFER:
                await asyncio.sleep(_wait(found, 1))
            elif isinstance(found, Failed | Throttled):
                failures += 1
                if failures >= self._generator.attempts:
                    raise EndpointUnavailable(
                        f"the batch API gives no answers: {found.message}",
                        where=self._generator.base_url,
                        fix="run again when it is back: batches go on without us, and are fetched then",
                    )
                await asyncio.sleep(_wait(found, failures))
            else:
                return found

    async def _once(self, call: Call, seconds: float, parse: Callable[[str], Any] | None = None) -> Any:
        """What one call came to: JSON, None for 404, Throttled or Failed. Raises EndpointRefused."""
        try:
            async with asyncio.timeout(seconds):
                raw = await call(self._sdk)
            found = (parse or _object)(self._reading.scrubbed(raw.text))
            return Failed(Reason.BROKEN_BODY, "not what was asked for", billed=False) if found is None else found
        except openai.NotFoundError:
            return None
        except openai.APIStatusError as error:
            status, text, headers = error.status_code, error.response.text, error.response.headers
        except Exception as error:
            return self._reading.failed(error)
        outcome = self._reading.outcome(status, self._reading.scrubbed(text), headers)
        if isinstance(outcome, Throttled | Failed):
            return outcome
        raise EndpointRefused(
            f"the batch API refuses with {status}: {self._reading.message(text)}",
            where=self._generator.base_url,
            fix="set `generator.mode: live` if the endpoint has no batch API",
        )


def _wait(outcome: Throttled | Failed, failures: int) -> float:
    asked = retry_after(outcome.headers)
    return backoff(failures) if asked is None else asked


def _object(text: str) -> dict[str, Any] | None:
    found = parsed(text)
    return found if isinstance(found, dict) and ("id" in found or "data" in found) else None


def _described(text: str) -> dict[str, Any] | None:
    """A batch as the provider describes it; None without an id and a status, since its end could never be seen."""
    found = _object(text)
    return found if found and found.get("id") and isinstance(found.get("status"), str) else None


def _lines(text: str) -> dict[str, Any] | None:
    lines, whole = [], True
    for line in text.split("\n"):
        if line.strip():
            lines.append(parsed(line))
            whole = whole and lines[-1] is not None
    return {
        "lines": [line for line in lines if isinstance(line, dict) and isinstance(line.get("custom_id"), str)],
        "whole": whole,
    }


def _batch(found: Mapping[str, Any]) -> Batch:
    counts, metadata = found.get("request_counts"), found.get("metadata")
    counts = counts if isinstance(counts, Mapping) else {}
    errors = found.get("errors")
    told = (errors.get("data") if isinstance(errors, Mapping) else errors) or [{}]
    first = told[0] if isinstance(told, list) and isinstance(told[0], Mapping) else {}
    return Batch(
        id=str(found["id"]),
        status=str(found.get("status")),
        metadata=metadata if isinstance(metadata, Mapping) else {},
        file=str(found.get("input_file_id") or ""),
        output=found.get("output_file_id"),
        errors=found.get("error_file_id"),
        completed=int(counts.get("completed") or 0),
        total=int(counts.get("total") or 0),
        complaint=(str(first.get("code") or ""), printable(str(first.get("message") or ""))),
    )
