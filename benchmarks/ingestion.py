"""Reading 5,000 objects of 50 kB from a local S3 server: the source's reader against a plain boto3 loop, in one run.

    python -m benchmarks.ingestion                       # a server that answers from memory, in a process of its own
    python -m benchmarks.ingestion --server moto         # slow: it is the server that limits
    python -m benchmarks.ingestion --server PATH         # of rclone: `rclone serve s3`
    python -m benchmarks.ingestion --listing 1000000     # list and diff that many keys, without a server
    python -m benchmarks.ingestion --listing 1000000 --mapping parquet    # whose tasks a table names (or: csv, jsonl)
    python -m benchmarks.ingestion --listing 1000000 --http               # over HTTP, from the server that answers from memory
    python -m benchmarks.ingestion --llava 665298        # tasks out of a LLaVA file of that many records, about a gigabyte

Both ways are warm, take turns, and read the same objects; the ratio is that of the median rounds. CPU time is the client's
own, in milliseconds an object: it says what a faster server or a quieter machine would show.
"""

from __future__ import annotations

import argparse
import json
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
import pyarrow as pa
import pyarrow.parquet as pq

from presel.concurrency.ahead import ahead, shared_pool
from presel.config import SourceConfig
from presel.sources import Source, open_source
from presel.sources.catalog import changes
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
            key = made_key(number)
            for task in self.tasks_of(key) or ("",):
                yield key, task, Entry(key, 50_000 + number % 1000, f"{number:032x}")


def made_key(number: int) -> str:
    return f"task{number % 191:03d}/train/2026/image-{number:012d}.jpg"


def listing(objects: int, kind: str | None) -> None:
    ingestion.open_source = Made  # type: ignore[assignment,attr-defined]
    with tempfile.TemporaryDirectory() as name:
        source = SourceConfig(uri=f"{name}/pool")
        if kind:
            file = _written_elsewhere(f"{name}/mapping.{kind}", objects + objects // 100)
            source = SourceConfig(uri=f"{name}/pool", tasks="table", mapping=file)
        for label, count in (("first", objects), ("unchanged", objects), ("1 % new", objects + objects // 100)):
            Made.objects = count
            _ingested(label, source, f"{name}/store")


def listing_over_http(objects: int) -> None:
    with tempfile.TemporaryDirectory() as name, server("memory", Path(name), objects):
        for label in ("first", "unchanged"):
            _ingested(label, SourceConfig(uri=f"s3://{BUCKET}"), f"{name}/store")


def _ingested(label: str, source: SourceConfig, store: str) -> None:
    started = time.perf_counter()
    found = changes(ingestion.ingest(source, store))
    spent = time.perf_counter() - started
    print(f"  {label:10s} {found.new + found.kept:,} keys  {spent:6.1f} s  peak {_peak()}  {found}", flush=True)


def llava(records: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = _written_elsewhere(f"{name}/mix.json", records)
        started = time.perf_counter()
        found = open_source(SourceConfig(uri=f"{name}/pool", tasks="llava", mapping=file)).task_map
        spent, size = time.perf_counter() - started, Path(file).stat().st_size / 1e6
        assert found is not None
        print(f"  {records:,} records, {size:,.0f} MB: {len(found):,} images in {spent:.1f} s, peak {_peak()}")


def _peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


def _written_elsewhere(path: str, rows: int) -> str:
    """A mapping, made by another process: what it takes to write one is not what it takes to read it."""
    subprocess.run([sys.executable, "-m", "benchmarks.ingestion", "--write", path, "--objects", str(rows)], check=True)
    return path


def write(path: Path, rows: int) -> None:
    pairs = ((made_key(number), f"task{number % 191:03d}") for number in range(rows))
    if path.suffix == ".parquet":
        keys, tasks = zip(*pairs, strict=True)
        pq.write_table(pa.table({"key": keys, "task": tasks}), path)
        return
    with path.open("w") as file:
        if path.suffix == ".json":
            words = [{"from": who, "value": "What is shown here, and why? " * 20} for who in ("human", "gpt")]
            record = {"id": "0", "image": "", "conversations": words}
            dumped = (json.dumps(record | {"image": f"coco/train2017/{n % 350_000:012d}.jpg"}) for n in range(rows))
            file.write("[" + next(dumped))
            file.writelines(f",\n{line}" for line in dumped)
            file.write("]")
        elif path.suffix == ".csv":
            file.write("key,task\n")
            file.writelines(f"{key},{task}\n" for key, task in pairs)
        else:
            file.writelines(json.dumps({"key": key, "task": task}) + "\n" for key, task in pairs)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--objects", type=int, default=5000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--server", default="memory", help="memory, moto, or the path of the rclone program")
    options.add_argument("--listing", type=int, help="measure listing and diffing this many keys instead")
    options.add_argument(
        "--mapping", choices=["parquet", "csv", "jsonl"], help="with --listing: a table names their tasks"
    )
    options.add_argument("--http", action="store_true", help="with --listing: from a server, not from memory")
    options.add_argument("--llava", type=int, help="measure reading a LLaVA file of this many records instead")
    options.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.write:
        write(asked.write, asked.objects)
    elif asked.llava:
        llava(asked.llava)
    elif asked.listing and asked.http:
        listing_over_http(asked.listing)
    elif asked.listing:
        listing(asked.listing, asked.mapping)
    else:
        reading(asked.objects, asked.rounds, asked.server)


if __name__ == "__main__":
    main()
