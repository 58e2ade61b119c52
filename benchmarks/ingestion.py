"""Reading 5,000 objects of 50 kB from a local S3 server: the source's reader against a plain boto3 loop, in one run.

    python -m benchmarks.ingestion                       # a server that answers from memory, in a process of its own
    python -m benchmarks.ingestion --server moto         # slow: it is the server that limits
    python -m benchmarks.ingestion --server PATH         # of rclone: `rclone serve s3`
    python -m benchmarks.ingestion --listing 1000000     # list and diff that many keys, without a server

Both ways are warm, take turns, and read the same objects; the ratio is that of the median rounds. CPU time is the client's
own, in milliseconds an object: it says what a faster server or a quieter machine would show.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import boto3

from presel import table_store
from presel.config import SourceConfig
from presel.pipeline import ahead, shared_pool
from presel.sources import Source, open_source
from presel.stages import ingest as ingestion
from presel.storage import Entry

BUCKET, SIZE = "bench", 50_000


@contextmanager
def server(kind: str, folder: Path, objects: int) -> Iterator[None]:
    """`kind`: memory, moto, or the path of rclone."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    commands = {
        "memory": [sys.executable, "-m", "benchmarks.s3_memory", port, str(objects), str(SIZE)],
        "moto": [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port],
    }
    rclone = [kind, "serve", "s3", "--auth-key", "test,testtest", "--addr", f"127.0.0.1:{port}", str(folder)]
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "testtest",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    process = subprocess.Popen(commands.get(kind, rclone), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(int(port))
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("the server did not start")


def measure(name: str, count: int, work: Callable[[], int]) -> float:
    started, cpu = time.perf_counter(), time.process_time()
    size = work()
    wall, spent = time.perf_counter() - started, time.process_time() - cpu
    assert size == count * SIZE, f"{size:,} bytes came"
    print(f"  {name:34s} {count / wall:7.0f} objects/s  {1e3 * spent / count:5.2f} ms CPU each", flush=True)
    return wall


def read_all(objects: int, rounds: int) -> None:
    client = boto3.client("s3")
    source = open_source(SourceConfig(uri=f"s3://{BUCKET}"))
    listed = [(key, entry.etag, entry.size) for key, _, entry in source.entries()]
    assert len(listed) == objects, f"{len(listed)} listed"

    def plain(items: Sequence[tuple[str, str, int]] = listed) -> int:
        return sum(len(client.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key, _, _ in items)

    def ours(items: Sequence[tuple[str, str, int]] = listed) -> int:
        got = ahead(lambda item: source.read(*item), items, shared_pool("read", 32), window=64)
        return sum(len(data) for data in got if isinstance(data, bytes))

    plain(listed[:50]), ours(listed[:50])
    mine, theirs = [], []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(rounds):
        mine.append(measure("presel source, as in embed", objects, ours))
        theirs.append(measure("boto3 loop", objects, plain))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    ratio = statistics.median(theirs) / statistics.median(mine)
    read = 2 * rounds * objects * SIZE / 1e6
    print(f"  ratio {ratio:.1f}; memory grew by {grown:.0f} MB while {read:,.0f} MB were read")


def reading(objects: int, rounds: int, kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / BUCKET).mkdir()
        with server(kind, folder, objects):
            if kind != "memory":
                _fill(objects, kind)
            print(f"{objects:,} objects of 50 kB, {Path(kind).name}, load {os.getloadavg()[0]:.1f}")
            read_all(objects, rounds)


def _fill(objects: int, kind: str) -> None:
    client, body = boto3.client("s3"), os.urandom(SIZE)
    if kind == "moto":
        client.create_bucket(Bucket=BUCKET)
    with ThreadPoolExecutor(16) as pool:
        keys = [f"task{number % 10}/{number:06d}.jpg" for number in range(objects)]
        list(pool.map(lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=body), keys))


class Made(Source):
    """A source of that many objects that exist in the listing alone."""

    objects = 0

    def entries(self, without: str | None = None) -> Iterator[tuple[str, str, Entry]]:  # noqa: ARG002
        for number in range(self.objects):
            key = f"task{number % 191:03d}/train/2026/image-{number:012d}.jpg"
            yield key, self.tasks_of(key)[0], Entry(key, 50_000 + number % 1000, f"{number:032x}")


def listing(objects: int) -> None:
    ingestion.open_source = Made  # type: ignore[assignment,attr-defined]
    with tempfile.TemporaryDirectory() as name:
        source = SourceConfig(uri=f"{name}/pool")
        for label, count in (("first", objects), ("unchanged", objects), ("1 % new", objects + objects // 100)):
            Made.objects = count
            started = time.perf_counter()
            facts = table_store.facts(ingestion.ingest(source, f"{name}/store"))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            told = {what: facts[what] for what in ("new", "kept", "changed", "removed")}
            print(f"  {label:10s} {count:,} keys  {time.perf_counter() - started:6.1f} s  peak {peak:,.0f} MB  {told}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--objects", type=int, default=5000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--server", default="memory", help="memory, moto, or the path of the rclone program")
    options.add_argument("--listing", type=int, help="measure listing and diffing this many keys instead")
    asked = options.parse_args()
    if asked.listing:
        listing(asked.listing)
    else:
        reading(asked.objects, asked.rounds, asked.server)


if __name__ == "__main__":
    main()
