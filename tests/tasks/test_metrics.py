"""What Prometheus would read, scraped over HTTP."""

from __future__ import annotations

import httpx
import pytest

from presel.cli.prefect_run import free_port
from presel.concurrency.progress import Progress
from presel.demo.setting import environment
from presel.errors import ConfigError
from presel.tables.table_store import Output
from tasks import metrics


def scraped(port: int) -> dict[str, float]:
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines()
    return {
        name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if not line.startswith("#"))
    }


def asked(done: int, spent: float) -> Progress:
    figures = {
        "requests": done,
        "spent_usd": spent,
        "input_tokens": 100 * done,
        "store_usd": 0.5 + spent,
        "cap_usd": 2.0,
    }
    return Progress("instruct", "reference chart", done, 9, "instructions", figures=figures)


def test_progress_and_results_are_scraped_as_what_they_add_up_to(tmp_path) -> None:
    port = free_port()
    with environment(**{metrics.VARIABLE: f"127.0.0.1:{port}"}):
        meters = metrics.meters()
        assert meters is metrics.meters(), "one endpoint for a process"
    assert meters is not None
    one, other = meters.listener("instruct"), meters.listener("instruct")
    for event in (asked(1, 0.01), asked(3, 0.03)):
        one(event)
    other(asked(2, 0.02))
    out = Output(str(tmp_path), "embed", "0" * 32)
    for number in range(3):
        out.reject(task="chart", key=f"{number}.png", id="", reason="truncated")
    meters.ran("embed", "Completed", 1.5, out.commit({}))
    seen = scraped(port)
    assert seen['presel_units_total{stage="instruct",unit="instructions"}'] == 5
    assert seen["presel_requests_total"] == 5
    assert seen['presel_tokens_total{direction="input"}'] == 500
    assert seen["presel_spent_usd_total"] == pytest.approx(0.05)
    assert (seen["presel_store_spent_usd"], seen["presel_cap_usd"]) == (0.52, 2.0)
    assert seen['presel_rejects_total{reason="truncated",stage="embed"}'] == 3
    assert seen['presel_task_seconds_sum{stage="embed",state="Completed"}'] == 1.5


def test_nobody_asked_for_metrics_and_there_are_none() -> None:
    assert metrics.meters() is None


def test_a_port_that_is_taken_costs_the_metrics_and_not_the_run(caplog) -> None:
    port = free_port()
    with environment(**{metrics.VARIABLE: f"127.0.0.1:{port}"}):
        assert metrics.meters() is not None
    metrics._serve(metrics.Meters(), "127.0.0.1", port)
    assert "no metrics" in caplog.text


def test_a_wrong_address_is_said_in_words() -> None:
    for address in ("yes", "127.0.0.1:99999"):
        with environment(**{metrics.VARIABLE: address}), pytest.raises(ConfigError, match="host:port"):
            metrics.meters()


def test_rejects_that_cannot_be_read_are_not_counted_and_fail_no_task(tmp_path, caplog) -> None:
    out = Output(str(tmp_path), "embed", "0" * 32)
    out.reject(task="chart", key="0.png", id="", reason="truncated")
    table = out.commit({})
    for file in tmp_path.rglob("rejects.parquet"):
        file.unlink()
    metrics.Meters().ran("embed", "Completed", 1.5, table)
    assert "the rejects of embed are not counted" in caplog.text
