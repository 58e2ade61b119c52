"""How fast, how steadily and how sparingly instructions are bought, against the endpoint double in a process of its own.

    python benchmarks/instructions.py throughput     # 50 ms latency, no limit, 100 kB pictures that are ready to be sent
    python benchmarks/instructions.py sdk         # the same requests by the SDK alone, as it is commonly used: nothing is kept
    python benchmarks/instructions.py stage       # the same, the whole stage: pictures are read, hashed, made and encoded
    python benchmarks/instructions.py batch       # the stage in batch mode
    python benchmarks/instructions.py pace        # 2 s latency, 600 requests a minute: share of the limit used, 429s
    python benchmarks/instructions.py replay      # the stage again, every answer in the ledger
    python benchmarks/instructions.py side --peer-python PATH  # beside bespokelabs-curator, which that Python must have

Each prints one line of JSON. CPU is that of this process, per request; the endpoint's comes on top and shares the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
from PIL import Image

from presel.config import GeneratorConfig, ImageConfig, PriceConfig, PromptConfig, SourceConfig
from presel.instruct.engine import Engine, shared
from presel.instruct.request import opening
from presel.keys import digest, sample_id
from presel.stages.instruct import instruct
from presel.table_store import Output
from presel.tables import REFERENCE, TableRef

KEY = "PRESEL_BENCHMARK_KEY"
SIDE = 768


@contextmanager
def endpoint(latency: float, limit: int | None = None, faults: str = "none") -> Iterator[str]:
    """The endpoint double in a process of its own; yields its address."""
    command = [sys.executable, "-m", "presel.demo.endpoint", "--port", "0", "--latency", str(latency)]
    command += ["--faults", faults, "--batch-seconds", "0.5"]
    command += ["--requests-per-minute", str(limit)] if limit else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()[0]
    finally:
        server.terminate()
        server.wait()


def picture(seed: int, quality: int) -> bytes:
    """A 768 x 600 JPEG with the detail of a photograph; about 100 kB at quality 43, 350 kB at 90."""
    import io

    coarse = np.random.default_rng(seed).integers(0, 255, (200, 256, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(coarse).resize((SIDE, 600), Image.Resampling.BICUBIC).save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def settings(url: str, **more: Any) -> GeneratorConfig:
    prices = PriceConfig(input_per_million=0.4, output_per_million=1.6)
    return GeneratorConfig(model="m", base_url=url, api_key_env=KEY, max_cost=1000.0, prices=prices, **more)


async def ask_all(engine: Engine, generator: GeneratorConfig, n: int, jpeg: bytes) -> list[float]:
    """Ask about `n` different contents with one ready picture; returns when each answer came."""
    places, came = asyncio.Semaphore(2 * generator.concurrency + 128), []

    async def ready() -> bytes:
        return await engine.io(base64.b64encode, jpeg)

    async def one(i: int) -> None:
        await engine.answer(opening(digest(str(i).encode()), "t", generator), ready)
        came.append(time.monotonic())
        places.release()

    async with asyncio.TaskGroup() as group:
        for i in range(n):
            await places.acquire()
            group.create_task(one(i))
    return came


def throughput(n: int, concurrency: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, endpoint(0.05) as url:
        generator, jpeg = settings(url, concurrency=concurrency), picture(0, 43)
        with shared(folder, generator) as engine:
            measure = Measure(n)
            engine.run(ask_all(engine, generator, n, jpeg)).result()
            return {**measure.end(), "picture_kB": round(len(jpeg) / 1000)}


def sdk(n: int, concurrency: int) -> dict[str, Any]:
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

    with endpoint(0.05) as url:
        measure = Measure(n)
        asyncio.run(run(url))
        return measure.end()


def stage(n: int, concurrency: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, endpoint(0.05) as url:
        generator, wanted = settings(url, concurrency=concurrency), pool(Path(folder), n)
        measure = Measure(n)
        instruct(wanted, SourceConfig(uri=f"{folder}/pool"), generator, ImageConfig())
        return measure.end()


def batch(n: int, concurrency: int) -> dict[str, Any]:
    how = {"gather": 0.5, "poll": 0.2, "megabytes_per_file": 50}
    with tempfile.TemporaryDirectory() as folder, endpoint(0.0) as url:
        generator = settings(url, concurrency=concurrency, mode="batch", batch=how)
        wanted = pool(Path(folder), n)
        measure = Measure(n)
        instruct(wanted, SourceConfig(uri=f"{folder}/pool"), generator, ImageConfig())
        return {**measure.end(), "batched": counts(url)["batched"]}


def counts(url: str) -> dict[str, Any]:
    """What the endpoint was asked so far."""
    with urllib.request.urlopen(f"{url}/counts") as answer:
        return dict(json.load(answer))


def side(n: int, peer: str | None) -> dict[str, Any]:
    """Both on the same endpoint, each with an empty store: calls it takes, calls again, calls for one more row, and so on."""
    if peer is None or not Path(peer).exists():
        return {"skipped": "no --peer-python: a Python that has bespokelabs-curator 0.1.31 or later"}
    found: dict[str, Any] = {"rows": n}
    for name, ask in (("presel", ask_presel), ("curator", lambda *of: ask_curator(peer, *of))):
        for faults in ("none", "mild", "storm"):
            with tempfile.TemporaryDirectory() as folder, endpoint(0.05, faults=faults) as url:
                pool(
                    Path(folder), n + 1, pictures=n + 1
                )  # faults are drawn by what is sent: equal pictures, equal faults
                if faults != "none":
                    seconds, rows, said = ask(url, folder, n, "Be exact.")
                    found[f"{name}, {faults}"] = {
                        "calls_per_row": round(counts(url)["total"] / n, 2),
                        "rows": rows,
                        "seconds": round(seconds, 1),
                        **({"error": said} if said else {}),
                    }
                    continue
                calls, results = [0], []
                for rows, system in ((n, "Be exact."), (n, "Be exact."), (n + 1, "Be exact."), (n + 1, "Be brief.")):
                    results.append(ask(url, folder, rows, system))
                    calls.append(counts(url)["total"])
                first, again, one_more, reworded = np.diff(calls).tolist()
                found[name] = {
                    "requests_per_second": round(first / results[0][0], 1),
                    "calls": first,
                    "calls_on_rerun": again,
                    "calls_after_one_more_row": one_more,
                    "calls_after_a_changed_system_prompt": reworded,
                }
    return {**found, "load": round(os.getloadavg()[0], 1)}


def ask_presel(url: str, folder: str, rows: int, system: str) -> tuple[float, int, str | None]:
    prompt = PromptConfig(system=system)
    started = time.monotonic()
    wanted = table_of(Path(folder), rows)
    ref = instruct(
        wanted, SourceConfig(uri=f"{folder}/pool"), settings(url, concurrency=48, prompt=prompt), ImageConfig()
    )
    return time.monotonic() - started, ref.rows, None


def ask_curator(peer: str, url: str, folder: str, rows: int, system: str) -> tuple[float, int, str | None]:
    script = str(Path(__file__).with_name("curator_rows.py"))
    command = [peer, script, url, f"{folder}/pool/t", str(rows), f"{folder}/cache", system, "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = next((line for line in done.stdout.splitlines()[::-1] if line.startswith('{"seconds"')), None)
    if said is None:
        return float("nan"), 0, done.stderr[-300:]
    result = json.loads(said)
    return result["seconds"], result["rows"], result["error"]


def replay(n: int, concurrency: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, endpoint(0.0) as url:
        generator, wanted = settings(url, concurrency=concurrency), pool(Path(folder), n)
        source = SourceConfig(uri=f"{folder}/pool")
        first = instruct(wanted, source, generator, ImageConfig())
        Path(folder, "store", first.folder, "manifest.json").unlink()
        measure = Measure(n)
        again = instruct(wanted, source, generator, ImageConfig())
        return {**measure.end(), "same_bytes": first.digest == again.digest}


def pace(n: int, concurrency: int) -> dict[str, Any]:
    limit = 600
    with tempfile.TemporaryDirectory() as folder, endpoint(2.0, limit) as url:
        generator, jpeg = settings(url, concurrency=concurrency, requests_per_minute=limit), picture(0, 20)
        with shared(folder, generator) as engine:
            measure = Measure(n)
            came = engine.run(ask_all(engine, generator, n, jpeg)).result()
            steady = [at - came[0] for at in came if at - came[0] >= 2.0]
            used = len(steady) / (steady[-1] - 2.0) * 60 / limit
            extra = engine.done.requests - n
    return {**measure.end(), "share_of_limit": round(used, 4), "throttled": extra}


def pool(root: Path, n: int, pictures: int = 4) -> TableRef:
    """`n` JPEGs on disk, all picked: some pictures, and a comment that makes each file's content its own."""
    kinds = [picture(seed, 43) for seed in range(pictures)]
    (root / "pool" / "t").mkdir(parents=True)
    for i in range(n):
        data = kinds[i % pictures][:-2] + b"\xff\xfe\x00\x0a" + f"{i:08d}".encode() + b"\xff\xd9"
        (root / "pool" / "t" / f"{i}.jpg").write_bytes(data)
    return table_of(root, n)


def table_of(root: Path, n: int) -> TableRef:
    """The first `n` of the pool, all picked."""
    rows = []
    for i in range(n):
        content = digest((root / "pool" / "t" / f"{i}.jpg").read_bytes())
        row = {"sample_id": sample_id("t", content), "task": "t", "key": f"t/{i}.jpg", "content": content}
        rows.append({**row, "cluster": 0, "order": i, "picked": True})
    out = Output(str(root / "store"), "reference", f"{n:032d}")
    out.write_rows(rows, REFERENCE, "t")
    return out.commit({})


class Measure:
    """Wall time, CPU and memory from now on."""

    def __init__(self, n: int) -> None:
        self.n, self.cpu, self.at = n, time.process_time(), time.monotonic()

    def end(self) -> dict[str, Any]:
        seconds = time.monotonic() - self.at
        return {
            "requests": self.n,
            "seconds": round(seconds, 2),
            "requests_per_second": round(self.n / seconds, 1),
            "cpu_ms_per_request": round((time.process_time() - self.cpu) / self.n * 1000, 2),
            "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "load": round(os.getloadavg()[0], 1),
        }


WAYS = {"throughput": throughput, "sdk": sdk, "stage": stage, "batch": batch, "pace": pace, "replay": replay}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=[*WAYS, "side"])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=48)
    parser.add_argument("--peer-python", help="for `side`: a Python with bespokelabs-curator installed")
    asked = parser.parse_args()
    os.environ.setdefault(KEY, "any")
    if asked.way == "side":
        print(json.dumps({"way": "side", **side(min(asked.requests, 300), asked.peer_python)}, indent=1))
        return
    print(json.dumps({"way": asked.way, **WAYS[asked.way](asked.requests, asked.concurrency)}))


if __name__ == "__main__":
    main()
