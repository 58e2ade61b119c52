"""Artifacts that follow the work must never hold it up, and names must be such as Prefect takes."""

from __future__ import annotations

import threading
import time
from threading import Event, Timer

from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from presel.concurrency.progress import Progress
from tasks.artifacts import LiveArtifact, _key, show_markdown
from tasks.progress import ProgressArtifact

NOBODY = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}


def test_a_server_that_is_away_fails_nobody_and_is_waited_for_by_nobody() -> None:
    with temporary_settings(NOBODY):
        artifact = LiveArtifact("progress", None, None)
        started = time.monotonic()
        for percent in range(100):
            artifact.say(float(percent), "under way")
        assert time.monotonic() - started < 2.0
        artifact.settle()
    assert [thread.name for thread in threading.enumerate()].count("presel-artifacts") == 1


def test_an_artifact_that_cannot_be_shown_is_a_line_in_the_log_and_fails_nobody(caplog) -> None:
    with temporary_settings(NOBODY):
        show_markdown("my_data-result", "text", "words")
    assert "the artifact my_data-result is not shown (ConnectError" in caplog.text


def test_the_last_word_is_waited_for_while_an_earlier_one_is_on_its_way() -> None:
    artifact, asked, answered, sent = LiveArtifact("markdown", None, None), Event(), Event(), []

    def slow(data: object, _description: str) -> None:
        asked.set()
        answered.wait(5)
        sent.append(data)

    artifact._send = slow  # type: ignore[method-assign]
    artifact.say("first", "")
    assert asked.wait(5)
    artifact.say("last", "")
    Timer(0.2, answered.set).start()
    artifact.settle()
    assert sent == ["first", "last"]


def test_work_of_a_moment_shows_no_progress() -> None:
    with temporary_settings(NOBODY), ProgressArtifact() as artifact:
        artifact(Progress("embed", "00000", 1, 2, "images"))
        artifact(Progress("embed", "00000", 2, 2, "images"))
    assert artifact._artifact is None


def test_a_dataset_name_with_underscores_makes_a_key_that_prefect_takes() -> None:
    assert _key("my_data-board") == "my-data-board"
