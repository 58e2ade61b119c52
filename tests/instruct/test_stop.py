"""A process that is told to end sends nothing more, whichever of its threads becomes free."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from presel.demo.endpoint import looks, serve
from presel.errors import EndpointUnavailable
from presel.instruct.sharing import drain, drained, resume
from tests.instruct.pools import Pool, generator


def test_after_a_drain_no_thread_opens_an_engine_and_nothing_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = [Pool(tmp_path, images=8, task=f"task-{i}") for i in range(6)]
    settings = generator("${PRESEL_TEST_URL}", concurrency=2)
    with serve(looks, latency=0.05) as endpoint, ThreadPoolExecutor(2) as threads:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        running = [threads.submit(pool.instruct, settings, 8) for pool in pools]
        while endpoint.counts.answered < 3:
            time.sleep(0.01)
        drain(EndpointUnavailable("stopped by a signal", fix="run again"))
        sent = endpoint.counts.total
        assert drained(10)
        failed = [future.exception() for future in running]
        assert endpoint.counts.total - sent <= 2
    assert all(isinstance(error, EndpointUnavailable) for error in failed), failed
    assert "stopped by a signal" in str(failed[-1])
    with pytest.raises(EndpointUnavailable, match="stopped by a signal"):
        pools[0].instruct(settings, 8)
    resume()
    with serve(looks) as endpoint:
        monkeypatch.setenv("PRESEL_TEST_URL", endpoint.url)
        assert pools[0].instruct(settings, 8).rows == 8
