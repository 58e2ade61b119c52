"""Whatever goes wrong inside the engine, whoever waits for an answer is told: nothing hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from presel.errors import StorageUnavailable
from presel.instruct.endpoint.client import Client
from presel.instruct.endpoint.limits import Pace
from presel.instruct.engine import Engine
from presel.instruct.jobs import Desk
from presel.instruct.money.purse import Purse
from tests.instruct.hostile import answer, failure, hostile
from tests.instruct.pools import Pool, generator

SECONDS = 20.0


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sending", "keeping", "endpoint.limits"):
        monkeypatch.setattr(f"presel.instruct.{module}.backoff", lambda *_: 0.01)


def ends(work: Callable[[], Any]) -> BaseException | None:
    """What a piece of work raises; fails if it does not end."""
    raised: list[BaseException | None] = []

    def run() -> None:
        try:
            work()
            raised.append(None)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), "it hangs"
    return raised[0]


def failing(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, at: int) -> list[int]:
    """Make the `at`-th call of a coroutine function or function raise; the list holds how many calls there were."""
    real, calls = getattr(owner, name), [0]

    def counted() -> None:
        calls[0] += 1
        if calls[0] == at:
            raise RuntimeError("injected")

    async def awaited(*args: Any, **more: Any) -> Any:
        counted()
        return await real(*args, **more)

    def called(*args: Any, **more: Any) -> Any:
        counted()
        return real(*args, **more)

    monkeypatch.setattr(owner, name, awaited if asyncio.iscoroutinefunction(real) else called)
    return calls


AWAITS = [
    (Engine, "io"),
    (Engine, "prepared"),
    (Client, "ask"),
    (Desk, "change"),
    (Pace, "throttled"),
    (Pace, "failed"),
    (Pace, "succeeded"),
    (Desk, "open"),
]


@pytest.mark.parametrize(("owner", "name"), AWAITS, ids=[f"{owner.__name__}.{name}" for owner, name in AWAITS])
def test_an_exception_at_any_await_of_the_engine_ends_the_run(owner: type, name: str, tmp_path: Path) -> None:
    """The run meets a 429, a reset and a cut answer, so that every way through the engine is taken."""
    says = {
        0: lambda times: failure(429) if times == 1 else answer(),
        1: lambda times: b"" if times == 1 else answer(),
        2: lambda times: answer('{"turns": [{"q', finish="length") if times == 1 else answer(),
    }
    for at in range(1, 60):
        pool = Pool(tmp_path / str(at), images=3)
        with hostile(pool, says) as endpoint, pytest.MonkeyPatch.context() as patch:
            calls = failing(patch, owner, name, at)
            url = endpoint.url
            raised = ends(lambda pool=pool, url=url: pool.instruct(generator(url), picked=3))
        assert raised is None or "injected" in repr(raised), raised
        if calls[0] < at:
            break
    assert at > 1
    assert raised is None


def test_a_reset_while_the_money_log_cannot_be_written_ends_the_run_in_words(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any) -> None:
        raise StorageUnavailable("the disk is full", where="ledger/lost")

    monkeypatch.setattr(Purse, "lose", refuses)
    with hostile(pool, {0: lambda _: b""}) as endpoint:
        raised = ends(lambda: pool.instruct(generator(endpoint.url), picked=3))
    assert isinstance(raised, StorageUnavailable)
