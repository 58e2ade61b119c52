"""What a catalog says about the pool since the listing before."""

from __future__ import annotations

import os
from pathlib import Path

from presel.sources.catalog import in_words, since_before
from presel.storage import open_store
from tests.stages.pools import Run, keys, picture, put, run


def told(done: Run) -> dict[str, int]:
    return since_before(done.catalog, done.samples)


def test_new_kept_changed_reuploaded_and_removed_images_are_told_apart(tmp_path: Path) -> None:
    uri, store = str(tmp_path / "pool"), str(tmp_path / "store")
    put(uri, *keys("a", *range(8)))
    first = run(uri, store)
    assert told(first) == {"new": 8, "kept": 0, "changed": 0, "reuploaded": 0, "refused": 0, "removed": 0, "absent": 0}
    assert told(run(uri, store)) == {
        "new": 0,
        "kept": 8,
        "changed": 0,
        "reuploaded": 0,
        "refused": 0,
        "removed": 0,
        "absent": 0,
    }

    open_store(uri).delete("a/000.jpg")
    open_store(uri).write("a/001.jpg", picture(4711))
    for key in keys("a", 2, 3):
        os.utime(tmp_path / "pool" / key, ns=(1, 1))  # the same bytes, put there again
    put(uri, *keys("b", 1, 2, 3))
    open_store(uri).write("b/notes.txt", b"x")
    done = run(uri, store)
    assert told(done) == {"new": 3, "kept": 4, "changed": 1, "reuploaded": 2, "refused": 1, "removed": 1, "absent": 0}
    told_so = (
        "Since the listing before: 3 new, 4 kept, 1 changed, 2 re-uploaded unchanged, 1 removed; 1 refused unread."
    )
    assert in_words(told(done)) == told_so

    put(uri, "b/004.jpg")
    assert told(run(uri, store)) == {
        "new": 1,
        "kept": 10,
        "changed": 0,
        "reuploaded": 0,
        "refused": 1,
        "removed": 0,
        "absent": 0,
    }
