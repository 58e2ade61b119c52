"""How fast, how steadily and how sparingly instructions are bought, from an endpoint in a process of its own.

    python -m benchmarks.instructions throughput  # 50 ms latency, no limit, 100 kB pictures: ledger, leases, pace, base64
    python -m benchmarks.instructions sdk         # the same requests by the SDK alone, as it is commonly used: nothing is kept
    python -m benchmarks.instructions stage       # the whole stage: pictures are read, hashed, made and encoded
    python -m benchmarks.instructions batch       # the stage in batch mode
    python -m benchmarks.instructions pace        # 2 s latency, 600 requests a minute: share of the limit used, 429s
    python -m benchmarks.instructions replay      # the stage again, every answer in the ledger
    python -m benchmarks.instructions side --peer-python PATH  # beside bespokelabs-curator, which that Python must have

`--endpoint minimal` asks one that shares no code with presel (endpoints.py). Each prints one line of JSON. CPU is that of this
process, per request; the endpoint's, which shares the cores, stands beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import bisect
import json
import os
import resource
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import openai

from benchmarks.endpoints import Running, endpoint
from benchmarks.instruct_pool import KEY, picture, pool, settings
from presel.config import GeneratorConfig, ImageConfig, SourceConfig
from presel.config.keys import digest
from presel.instruct.engine import Engine
from presel.instruct.questions.request import opening
from presel.instruct.sharing import shared
from presel.stages.instruct import instruct

LIMIT = 600


async def ask_all(engine: Engine, generator: GeneratorConfig, n: int, jpeg: bytes, measure: Measure) -> None:
    """Ask about `n` different contents with one picture, which is ready but for its base64."""
    places = asyncio.Semaphore(2 * generator.concurrency + 128)

    async def one(i: int) -> None:
        await engine.answer(opening(digest(str(i).encode()), "t", generator), lambda: base64.b64encode(jpeg))
        measure.note()
        places.release()

    async with asyncio.TaskGroup() as group:
        for i in range(n):
            await places.acquire()
            group.create_task(one(i))


def throughput(n: int, concurrency: int, kind: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, endpoint(0.05, kind=kind) as server:
        generator, jpeg = settings(server.url, concurrency=concurrency), picture(0, 43)
        with shared(folder, generator) as engine:
            measure = Measure(n, server)
            engine.run(ask_all(engine, generator, n, jpeg, measure)).result()
            return {**measure.end(), "picture_kB": round(len(jpeg) / 1000)}


def sdk(n: int, concurrency: int, kind: str) -> dict[str, Any]:
    """The SDK with a semaphore around it: no ledger, no money, no pace. What anything built on it costs at least."""
    jpeg = base64.b64encode(picture(0, 43))

    async def run(url: str) -> None:
        generator, places = settings(url), asyncio.Semaphore(concurrency)
        async with openai.AsyncOpenAI(api_key="any", base_url=url, max_retries=0) as client:

            async def one(i: int) -> None:
                request = opening(digest(str(i).encode()), "t", generator)
                create: Any = client.chat.completions.create
                schema = {"name": "instruction", "schema": dict(request.schema)}
                async with places:
                    answer = await create(
                        model=request.model,
                        messages=json.loads(request.body(jpeg))["messages"],
                        response_format={"type": "json_schema", "json_schema": schema},
                        **request.parameters,
                    )
                json.loads(answer.choices[0].message.content)

            await asyncio.gather(*(one(i) for i in range(n)))

    with endpoint(0.05, kind=kind) as server:
        measure = Measure(n, server)
        asyncio.run(run(server.url))
        return measure.end()


def stage(n: int, concurrency: int, kind: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, endpoint(0.05, kind=kind) as server:
        generator, wanted = settings(server.url, concurrency=concurrency), pool(Path(folder), n)
        measure = Measure(n, server)
        instruct(wanted, SourceConfig(uri=f"{folder}/pool"), generator, ImageConfig())
        return measure.end()


def batch(n: int, concurrency: int, _kind: str) -> dict[str, Any]:
    how = {"gather": 0.5, "poll": 0.2, "megabytes_per_file": 50}
    with tempfile.TemporaryDirectory() as folder, endpoint(0.0, "--batch-seconds", "0.5") as server:
        generator = settings(server.url, concurrency=concurrency, mode="batch", batch=how)
        wanted = pool(Path(folder), n)
        measure = Measure(n, server)
        instruct(wanted, SourceConfig(uri=f"{folder}/pool"), generator, ImageConfig())
        return {**measure.end(), "batched": server.counts()["batched"]}


def replay(n: int, concurrency: int, kind: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, endpoint(0.0, kind=kind) as server:
        generator, wanted = settings(server.url, concurrency=concurrency), pool(Path(folder), n)
        source = SourceConfig(uri=f"{folder}/pool")
        first = instruct(wanted, source, generator, ImageConfig())
        Path(folder, "store", first.folder, "manifest.json").unlink()
        measure = Measure(n, server)
        again = instruct(wanted, source, generator, ImageConfig())
        return {**measure.end(), "same_bytes": first.digest == again.digest}


def pace(n: int, concurrency: int, _kind: str) -> dict[str, Any]:
    """All four ways to learn of a limit of 600 a minute at once, each with an endpoint and an engine of its own."""

    def one(tells: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder, minimal(tells) as server:
            configured = {"requests_per_minute": LIMIT} if tells == "nothing" else {}
            generator = settings(server.url, concurrency=concurrency, **configured)
            with shared(folder, generator) as engine:
                measure = Measure(n, server)
                engine.run(ask_all(engine, generator, n, picture(0, 20), measure)).result()
            return used(server.counts()["came"], server.counts()["refused"])

    def minimal(tells: str) -> AbstractContextManager[Running]:
        return endpoint(2.0, "--limit", str(LIMIT), "--tells", tells, kind="minimal")

    with ThreadPoolExecutor() as threads:
        ways = {"configured": "nothing", "headers": "headers", "429, seconds": "seconds", "429, a date": "date"}
        return dict(zip(ways, threads.map(one, ways.values()), strict=True))


def used(came: list[float], refused: int) -> dict[str, Any]:
    """Of a limit a minute: the share that arrived, in all and after the first ten seconds, and the most in any window."""
    came.sort()
    steady = [at for at in came if at >= came[0] + 10]

    def most(seconds: float) -> int:
        return max(bisect.bisect_left(came, at + seconds) - i for i, at in enumerate(came))

    return {
        "requests": len(came),
        "refused": refused,
        "share_from_the_first": round((len(came) - refused - 1) / (came[-1] - came[0]) * 60 / LIMIT, 4),
        "share_after_10_s": round((len(steady) - 1) / (steady[-1] - steady[0]) * 60 / LIMIT, 4),
        "most_in_60_s": most(60),
        "most_in_1_s": most(1),
    }


class Measure:
    """Wall time, CPU and memory from now on, here and at the endpoint."""

    def __init__(self, n: int, server: Running) -> None:
        self.n, self.server, self.came = n, server, 0
        self.early = 0.0
        self.theirs, self.cpu, self.at = server.cpu(), time.process_time(), time.monotonic()

    def note(self) -> None:
        """One more answer came."""
        self.came += 1
        if self.came == self.n // 10:
            self.early = resident()

    def end(self) -> dict[str, Any]:
        seconds = time.monotonic() - self.at
        memory = {"MB_at_a_tenth": self.early, "MB_at_the_end": resident()} if self.early else {}
        return {
            "requests": self.n,
            "seconds": round(seconds, 2),
            "requests_per_second": round(self.n / seconds, 1),
            "cpu_ms_per_request": round((time.process_time() - self.cpu) / self.n * 1000, 2),
            "endpoint_cpu_ms": round((self.server.cpu() - self.theirs) / self.n * 1000, 2),
            "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            **memory,
            "load": round(os.getloadavg()[0], 1),
        }


def resident() -> float:
    """MB in memory now."""
    return round(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


WAYS = {"throughput": throughput, "sdk": sdk, "stage": stage, "batch": batch, "pace": pace, "replay": replay}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=[*WAYS, "side"])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=48)
    parser.add_argument("--endpoint", choices=["double", "minimal"], default="double")
    parser.add_argument("--peer-python", help="for `side`: a Python with bespokelabs-curator installed")
    asked = parser.parse_args()
    os.environ.setdefault(KEY, "any")
    if asked.way == "side":
        from benchmarks.beside_curator import side

        print(json.dumps({"way": "side", **side(min(asked.requests, 300), asked.peer_python)}, indent=1))
        return
    found = WAYS[asked.way](asked.requests, asked.concurrency, asked.endpoint)
    print(json.dumps({"way": asked.way, "endpoint": asked.endpoint, **found}))


if __name__ == "__main__":
    main()
