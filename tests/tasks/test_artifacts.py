"""Artifacts that follow the work must never hold it up, and names must be such as Prefect takes."""

from __future__ import annotations

import threading
import time

from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from presel.progress import Progress
from tasks.artifacts import LiveArtifact, _key
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


def test_work_of_a_moment_shows_no_progress() -> None:
    with temporary_settings(NOBODY), ProgressArtifact() as artifact:
        artifact(Progress("embed", "00000", 1, 2, "images"))
        artifact(Progress("embed", "00000", 2, 2, "images"))
    assert artifact._artifact is None


def test_a_dataset_name_with_underscores_makes_a_key_that_prefect_takes() -> None:
    assert _key("my_data-board") == "my-data-board"
