"""The demo's setting: a drawn pool on a store, an annotator on this machine, and a configuration that names them.

Everything else is what production runs. The configuration differs from a user's in four names only: the encoder and
the reference model are `builtin` (no download), the annotator's address is a local one, and its key is a word.
The annotator's port changes from run to run, so the configuration names an environment variable in its place:
what is paid for is keyed by the address as written, and a second demo buys nothing.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from presel.config import (
    DatasetConfig,
    EncoderConfig,
    GeneratorConfig,
    LoraConfig,
    PriceConfig,
    PromptConfig,
    ReferenceModelConfig,
    RefreshConfig,
    SourceConfig,
)
from presel.config.keys import digest
from presel.demo.annotator import annotator, sent_picture
from presel.demo.endpoint import serve
from presel.demo.pool import Answers, write_pool
from presel.errors import require
from presel.images import API_VERSION
from presel.storage import open_store

ENDPOINT = "PRESEL_DEMO_ENDPOINT"
KEY = "PRESEL_DEMO_KEY"
BUCKET = "presel-demo"
MODEL = "demo-annotator"
IMAGE_SIDE = 384

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Setting:
    """A running demo. `requests()` counts what the annotator was asked since it was started."""

    config: RefreshConfig
    requests: Callable[[], int]


def demo_config(source: str, store: str, *, seed: int = 0, paper: bool = False) -> RefreshConfig:
    """The configuration of the embedded default. Prices are those of a small vision model, so that money means something."""
    return RefreshConfig(
        mode="paper" if paper else "default",
        seed=seed,
        source=SourceConfig(uri=source),
        store=store,
        encoder=EncoderConfig(name="builtin"),
        generator=GeneratorConfig(
            model=MODEL,
            base_url=f"${{{ENDPOINT}}}",
            api_key_env=KEY,
            prompt=PromptConfig(kind="short_answer"),
            image_side=IMAGE_SIDE,
            max_cost=1.0,
            prices=PriceConfig(input_per_million=0.40, output_per_million=1.60),
        ),
        reference_model=ReferenceModelConfig(model="builtin", max_length=512, lora=_lora(paper)),
        dataset=DatasetConfig(name="demo"),
    )


def _lora(paper: bool) -> LoraConfig:
    """The paper's recipe is for 7 B parameters; one of 2 M learns at ten times its rate, from a sixteenth of its rank."""
    dropout = 0.0 if paper else 0.3  # without it the loss without a question measures surprise at the prompt
    return LoraConfig(
        rank=16, alpha=32, learning_rate=2e-3, projector_learning_rate=2e-4, batch=8, question_dropout=dropout
    )


@contextmanager
def staged(
    folder: Path,
    *,
    images: int = 2400,
    seed: int = 0,
    s3: bool = False,
    paper: bool = False,
    on_progress: OnProgress | None = None,
) -> Iterator[Setting]:
    """Draw the pool if it is not there yet, start the annotator, and name both in a configuration. Raises MissingExtra."""
    require("demo", "the demo")
    with ExitStack() as stack:
        root = stack.enter_context(s3_server()) if s3 else str(folder.absolute())
        answers, pictures = pool(f"{root}/pool", folder, images, seed, on_progress)
        endpoint = stack.enter_context(serve(annotator(answers, pictures)))
        stack.enter_context(environment(**{ENDPOINT: endpoint.url, KEY: "demo"}))
        config = demo_config(f"{root}/pool", f"{root}/store", seed=seed, paper=paper)
        yield Setting(config, requests=lambda: endpoint.counts.total)


def pool(
    uri: str, folder: Path, images: int, seed: int, on_progress: OnProgress | None = None
) -> tuple[Answers, dict[str, str]]:
    """The answers to the pool at `uri`, which is drawn first if it is not there, and which content each sent picture shows."""
    place = open_store(uri)
    known, seen = folder / f"answers-{images}-{seed}.json", folder / f"pictures-{images}-{seed}-v{API_VERSION}.json"
    if known.exists() and seen.exists() and next(iter(place.list()), None) is not None:
        return Answers.load(known), json.loads(seen.read_text())
    pictures: dict[str, str] = {}

    def put(key: str, data: bytes) -> None:
        place.write(key, data)
        sent = sent_picture(data, IMAGE_SIDE)
        if sent is not None:
            pictures[sent] = digest(data)

    answers = write_pool(put, images=images, seed=seed, on_progress=on_progress)
    seen.write_text(json.dumps(pictures))
    answers.save(known)
    return answers, pictures


@contextmanager
def s3_server() -> Iterator[str]:
    """An S3 server in this process, over HTTP, in memory; yields `s3://bucket`."""
    from moto.server import ThreadedMotoServer

    from presel.storage import s3

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it says one line per request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    access = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with environment(**access):
            s3.client().create_bucket(Bucket=BUCKET)
            yield f"s3://{BUCKET}"
    finally:
        server.stop()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables for the length of a block; processes started within inherit them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
