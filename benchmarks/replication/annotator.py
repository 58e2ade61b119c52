"""The endpoint's answers: the truth of the picture that was sent, one instruction an image, as an annotator would write.

A real API sees only the picture and the prompt, and so does this one: it finds the picture by the digest of the JPEG that the
product makes of it for sending, and the task by its name in the prompt. Which of a picture's questions is asked is drawn from
the picture and `generator.seed`. The model `shuffled` answers as carelessly as can be: with the instruction of another picture
of the task.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.replication.pools import Pool, Row
from presel.config.keys import digest
from presel.demo.annotator import sent_picture
from presel.demo.endpoint import Annotate
from presel.images import API_VERSION

SIDE = 384
TRUE, SHUFFLED = "annotator", "shuffled"
_TASK = re.compile(r'belongs to the task "([^"]*)"')


def annotator(pool: Pool, work: Path) -> Annotate:
    """Answers about every picture of the pool split; what a sent picture shows is computed once and kept in `work`."""
    sent = _sent_pictures(pool, work / f"sent-2-v{API_VERSION}.json")
    by_key: dict[str, list[Row]] = defaultdict(list)
    by_task: dict[str, list[Row]] = defaultdict(list)
    for row in pool.split("pool"):
        by_key[row.key].append(row)
        by_task[row.task].append(row)

    def annotate(picture: bytes, words: str, request: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        seen, named = digest(picture), _TASK.search(words)
        rows = [row for key in sent[seen] for row in by_key[key]]
        row = next((row for row in rows if named and row.task == named[1]), rows[0])
        rng = Random(f"{request['model']}/{request.get('seed')}/{seen}/{row.task}")
        if request["model"] == SHUFFLED:
            row = rng.choice(by_task[row.task])
        return [rng.choice(row.questions)]

    return annotate


def _sent_pictures(pool: Pool, path: Path) -> dict[str, list[str]]:
    """Digest of the JPEG that is sent -> keys: one picture may lie in several tasks under several keys."""
    if path.exists():
        known: dict[str, list[str]] = json.loads(path.read_text())
        return known
    found: dict[str, list[str]] = {}
    for key in dict.fromkeys(row.key for row in pool.split("pool")):
        sent = sent_picture(pool.bytes_of(key), SIDE)
        if sent is not None:
            found.setdefault(sent, []).append(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found
