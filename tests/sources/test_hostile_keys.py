"""Whatever somebody called a file: it ends as a row or as a reject, under its own name, and the rest of the pool is used."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from presel.config import SourceConfig
from presel.errors import AccessDenied
from presel.sources import open_source
from presel.storage import open_store
from presel.storage.s3 import client
from presel.tables import table_store
from tests.stages.pools import Run, picture, run
from tests.storage_servers import new_bucket

pytestmark = pytest.mark.usefixtures("server")
NAMES = [
    "with space.jpg", "a+b.jpg", "%2F.jpg", "100%.jpg", "%00.jpg", "é.jpg", "e\u0301.jpg", "🌄.jpg", "👩\u200d👧.jpg",
    "tab\t.jpg", "cr\rx.jpg", "\x01.jpg", "\x7f.jpg", "\x1b[31m.jpg", "\ufeff.jpg", "\u202egpj.jpg", "\u00a0.jpg",
    "back\\slash.jpg", "Case.jpg", "case.jpg", "#.jpg", "?.jpg", "a=b&amp;c.jpg", "*.jpg", "'\".jpg", "~;:@$,!().jpg",
    "<script>alert(1).jpg", "{{7*7}}.jpg", "[bold]x.jpg", "[,].jpg", "s3:", "=cmd.jpg", "dot..jpg", "trailing. ", "pre",
    "deep/" * 20 + "x.jpg",
]  # fmt: skip
TASKS = ["t", "[bold red]t", "{{task}}", "<img src=x onerror=alert(1)>", "..."]
ON_S3_ALONE = ["t/../up.jpg", "t/./dot.jpg", "t//double.jpg", "t/pre/below.jpg", "s3://b/k.jpg", "t/" + "x" * 990]
REFUSED = {
    "/leading.jpg": "no_task",
    "//twice.jpg": "no_task",
    "..": "no_task",
    "t/folder.jpg/": "not_an_image",
    "t/.hidden.jpg": "not_an_image",
    "t/__MACOSX/._x.jpg": "not_an_image",
    "t/Thumbs.db": "not_an_image",
}


def ends(done: Run) -> tuple[set[str], dict[str, str]]:
    """Keys that became samples, and the others with their reasons."""
    rows = {row["key"] for part in done.samples.split() for row in table_store.read(part, ["key"]).to_pylist()}
    refs = (done.catalog, *done.embeddings, done.samples)
    return rows, {row["key"]: row["reason"] for ref in refs for row in table_store.rejects(ref).to_pylist()}


def test_every_key_that_a_bucket_may_hold_is_a_sample_or_a_reject(tmp_path: Path) -> None:
    uri = new_bucket()
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    wanted = [f"t/{name}" for name in NAMES] + [f"{task}/x.jpg" for task in TASKS] + ON_S3_ALONE
    stored = set()
    for number, key in enumerate([*wanted, *REFUSED]):
        try:
            client().put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=picture(number))
        except ClientError:
            continue  # not every server takes every key
        stored.add(key)
    assert len(stored) > 30
    rows, refused = ends(run(uri, str(tmp_path)))
    assert rows == stored & set(wanted)
    assert refused == {key: reason for key, reason in REFUSED.items() if key in stored}
    assert ends(run(uri, str(tmp_path))) == (rows, refused)


def test_every_file_that_a_folder_may_hold_is_a_sample_or_a_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = tmp_path / "pool"
    wanted = [f"t/{name}" for name in NAMES] + [f"{task}/x.jpg" for task in TASKS] + ["t/new\nline.jpg", "a\nb/x.jpg"]
    for number, key in enumerate(wanted):
        (pool / key).parent.mkdir(parents=True, exist_ok=True)
        (pool / key).write_bytes(picture(number))
    (pool / "t" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(picture(100))
    os.mkfifo(pool / "t" / "pipe.jpg")
    (pool / "t" / "zero.jpg").symlink_to("/dev/zero")
    (pool / "t" / "loop.jpg").symlink_to("loop.jpg")
    (pool / "t" / "broken.jpg").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as spoken:
        monkeypatch.chdir(pool / "t")  # the path of a socket must be short
        spoken.bind("socket.jpg")
        rows, refused = ends(run(str(pool), str(tmp_path / "store")))
    assert rows == set(wanted)
    assert refused == {
        "t/caf\\udce9.jpg": "unreadable",
        "t/pipe.jpg": "unreadable",
        "t/zero.jpg": "unreadable",
        "t/socket.jpg": "unreadable",
        "t/loop.jpg": "unreadable",
        "t/broken.jpg": "unreadable",
    }


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    elsewhere, pool = tmp_path / "elsewhere" / "charts", tmp_path / "pool"
    for folder in (elsewhere, pool / "photo"):
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(b"x")
    (pool / "chart").symlink_to(elsewhere)
    (pool / "photo" / "up").symlink_to("..")
    (pool / "photo" / "self").symlink_to(pool / "photo")
    (elsewhere / "back").symlink_to(pool)
    assert {entry.path for entry in open_store(str(pool)).list()} == {"chart/1.jpg", "photo/1.jpg"}
    assert open_store(str(pool)).read("chart/1.jpg") == b"x"


def test_links_between_folders_do_not_multiply_files(tmp_path: Path) -> None:
    for name in "abcdefgh":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
    for one in "abcdefgh":
        for other in "abcdefgh":
            (tmp_path / one / f"to {other}").symlink_to(tmp_path / other)
    assert [entry.path for entry in open_store(str(tmp_path)).list()] == [f"{name}/1.jpg" for name in "abcdefgh"]


EXCLUDE = ("lost+found", "*.tmp", "raw/**/thumbs", "/top.jpg", "drafts/")


def test_what_is_excluded_is_not_there(uri: str) -> None:
    kept = ["a/1.jpg", "a/top.jpg", "a/raw/thumbs/1.jpg", "b/drafts", "raw/thumbs.jpg"]
    left_out = ["lost+found/x.jpg", "a/lost+found/y/z.jpg", "a/1.tmp", "raw/thumbs/1.jpg", "raw/x/y/thumbs/1.jpg"]
    for key in [*kept, *left_out, "top.jpg", "drafts/1.jpg", "a/drafts/b/1.jpg"]:
        open_store(uri).write(key, b"x")
    listed = open_source(SourceConfig(uri=uri, exclude=EXCLUDE)).entries()
    assert sorted(key for key, _, _ in listed) == sorted(kept)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_looked_into_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    for name in ("a", "lost+found"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
    (tmp_path / "lost+found").chmod(0)
    with pytest.raises(AccessDenied, match=r"lost\+found.*source\.exclude"):
        list(open_source(SourceConfig(uri=str(tmp_path))).entries())
    listed = open_source(SourceConfig(uri=str(tmp_path), exclude=("lost+found",))).entries()
    assert [key for key, _, _ in listed] == ["a/1.jpg"]
    (tmp_path / "lost+found").chmod(0o755)


def test_a_folder_that_vanishes_while_it_is_listed_ends_no_listing(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_bytes(b"x")
    listed = open_store(str(tmp_path)).list()
    assert next(listed).path == "a/1.jpg"
    (tmp_path / "b" / "1.jpg").unlink()
    (tmp_path / "b").rmdir()
    assert [entry.path for entry in listed] == ["c/1.jpg"]
