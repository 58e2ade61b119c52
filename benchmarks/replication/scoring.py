"""What a tuned model can do: greedily generated answers to held-out questions, exactly right or not.

A picture's answers are generated together with others' in batches, from the frozen tower's features, with the cache of
transformers. Whoever is right word for word scores 1, everybody else 0: nothing is partly right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from benchmarks.replication.pools import Pool, Row
from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.config.keys import digest
from presel.reference_model import Turn, Unusable, load
from presel.reference_model.frozen import reader
from presel.reference_model.reading import Sample, read_ahead

A_PICTURE = 2  # questions at most
BATCH = 250
LONGEST = 160  # tokens of an answer; whoever says more than the right one needs is wrong already


class Question(NamedTuple):
    task: str
    key: str
    question: str
    answer: str


def held_out(pool: Pool, a_task: int) -> list[Question]:
    """The test's questions, for every arm and seed the same: of a picture up to two, of a task up to `a_task`."""
    by_task: dict[str, list[Question]] = defaultdict(list)
    for row in pool.split("test"):
        by_task[row.task] += _of(row)
    found: list[Question] = []
    for task, questions in sorted(by_task.items()):
        found += Random(f"test/{task}").sample(questions, min(a_task, len(questions)))
    return found


def _of(row: Row) -> list[Question]:
    chosen = Random(f"test/{row.key}").sample(row.questions, min(A_PICTURE, len(row.questions)))
    return [Question(row.task, row.key, question, answer) for question, answer in chosen]


def right(
    pool: Pool, questions: Sequence[Question], config: ReferenceModelConfig, adapter: Mapping[str, bytes]
) -> list[int]:
    """1 or 0 for each question."""
    import torch

    model = load(config, adapter or None)
    model.model.requires_grad_(False)
    source = SourceConfig(uri=str(pool.folder / "images"), tasks="single")
    read = reader(model, source, ImageConfig(), config)
    contents: dict[str, str] = {}
    samples = []
    for n, one in enumerate(questions):
        if one.key not in contents:
            contents[one.key] = digest(pool.bytes_of(one.key))
        samples.append(Sample(str(n), one.task, one.key, contents[one.key], (Turn(one.question, one.answer),)))
    said = [""] * len(questions)
    ready = [found for _, found in read_ahead(read, samples) if not isinstance(found, Unusable)]
    ready.sort(key=lambda one: one.with_question.response[0])
    with torch.inference_mode():
        for at in range(0, len(ready), BATCH):
            batch = ready[at : at + BATCH]
            for one, text in zip(batch, _generated(model, batch), strict=True):
                said[int(one.id)] = text
    return [int(text == _plain(one.answer)) for text, one in zip(said, questions, strict=True)]


def _generated(model: Any, batch: Sequence[Any]) -> Iterator[str]:
    import torch

    prompts = [one.with_question.ids[: one.with_question.response[0]] for one in batch]
    longest = max(map(len, prompts))
    ids = torch.tensor([[*[model.pad] * (longest - len(row)), *row] for row in prompts])
    mask = torch.tensor([[*[0] * (longest - len(row)), *[1] * len(row)] for row in prompts])
    pixels = torch.cat([one.image["pixel_values"] for one in batch])
    tokenizer = model.processor.tokenizer
    needed = max(len(one.with_question.ids) - len(row) for one, row in zip(batch, prompts, strict=True)) + 1
    with torch.autocast("cpu", torch.bfloat16):
        out = model.model.generate(
            input_ids=ids, attention_mask=mask, pixel_values=pixels, max_new_tokens=min(LONGEST, needed), do_sample=False,
            pad_token_id=model.pad, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
    for row in out[:, longest:].tolist():
        yield _plain(tokenizer.decode(row, skip_special_tokens=True))


def _plain(text: str) -> str:
    return " ".join(text.split())
