"""What a task is called on the board: its stage, and in which round it comes up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import Task


def stage_in_words(task: Task[..., Any], parameters: Mapping[str, Any]) -> str:
    """The task run's name without its last word: `instruct reference` of `instruct reference chart`, `embed` of `embed 00001`.

    A word that hangs on a task which is not over yet is left out.
    """
    template = task.task_run_name if isinstance(task.task_run_name, str) else task.name
    words = []
    for word in template.rpartition(" {")[0].split() or [template]:
        try:
            words.append(word.format(**parameters))
        except (AttributeError, KeyError):
            continue
    return " ".join(words)
