"""The base: one small LVLM a pool, from nothing, on captions of the base split alone.

It has seen no question and no picture of the pool, as a pretrained LVLM has not. A LLaVA of 2 million parameters: 96-pixel
pictures as 16 tokens, three layers of language model. Half of the captions come without a prompt, because a model that never
saw a question-free prompt is surprised by the prompt, not by the response. Every arm starts from the same files.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.replication.pools import Pool, Row
from presel.config import ImageConfig
from presel.config.keys import short_digest
from presel.demo.lvlm import Size, build_model, build_processor, build_tokenizer
from presel.demo.make_base import optimizers, pace
from presel.images import Rejected, decode

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
SIZE = Size(side=96, patch=24, tower=144, tower_layers=4, tower_heads=4, width=144, inner=384, layers=3, heads=4)
PROMPT = "Describe the picture."
VOCABULARY = 6000
_REPORT_EVERY = 50


class Recipe(NamedTuple):
    """How long the base is trained; `pictures`: captions shown, repeats counted."""

    pictures: int = 38_400
    batch: int = 64
    learning_rate: float = 4e-3
    seed: int = 0
    size: Size = SIZE


class Caption(NamedTuple):
    pixels: torch.Tensor
    """uint8[3, side, side], through the model's own preprocessing."""
    tokens: list[int]


USUAL = Recipe()


def base_of(pool: Pool, work: Path, recipe: Recipe = USUAL, seconds: float = math.inf) -> Path:
    """The folder of the pool's base, which is trained first if it is not there, for so many seconds at most.

    Its name holds what it is made from.

    Two pools with the same base split and the same words share one.
    """
    rows = [row.document() for row in pool.split("base")]
    made_from = short_digest("base 1", json.dumps([rows, pool.words, recipe._asdict()]))
    folder = work / "bases" / made_from[:16]
    if not (folder / "recipe.json").exists():
        _make(pool, folder, recipe, seconds)
    return folder


def _make(pool: Pool, folder: Path, recipe: Recipe, seconds: float) -> None:
    tokenizer = build_tokenizer(pool.words, VOCABULARY)
    processor, model = build_processor(tokenizer, recipe.size), build_model(tokenizer, recipe.seed, recipe.size)
    model.set_attn_implementation("eager")  # backward through the fused one takes three times as long on a CPU
    log.info("base: %d tokens, %.1f M parameters", len(tokenizer), sum(p.numel() for p in model.parameters()) / 1e6)
    started = time.time()
    material = list(_captions(pool, processor))
    log.info("base: %d captions read in %.0f s", len(material), time.time() - started)
    started = time.time()
    losses = _train(model, processor, material, recipe, seconds)
    folder.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(folder)
    model.save_pretrained(folder)
    record = {
        "pictures": recipe.pictures, "batch": recipe.batch, "learning_rate": recipe.learning_rate, "seed": recipe.seed,
        "captions": len(material), "steps": len(losses), "tokens": len(tokenizer), "seconds": round(time.time() - started),
        "last_loss": round(sum(losses[-50:]) / len(losses[-50:]), 4),
    }  # fmt: skip
    (folder / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")


def _captions(pool: Pool, processor: Any) -> Iterator[Caption]:
    """Of every readable picture of the base split; a picture of several tasks is shown with each caption."""
    for row in pool.split("base"):
        image = decode(pool.bytes_of(row.key), ImageConfig(), row.key)
        if isinstance(image, Rejected):
            log.warning("base: %s cannot be read: %s", row.key, image.reason)
            continue
        out = processor.image_processor(image, do_rescale=False, do_normalize=False, return_tensors="pt")
        ids = processor.tokenizer.encode(_said(row) + "</s>", add_special_tokens=False)
        yield Caption(out["pixel_values"][0].byte(), ids)


def _said(row: Row) -> str:
    return row.caption or row.task


def _train(model: Any, processor: Any, material: Sequence[Caption], recipe: Recipe, seconds: float) -> list[float]:
    """In place, vision tower and all; the loss of every step in nats per token.

    The rate falls to its end with the steps or with the time, whichever is nearer to its end.
    """
    import torch

    rng, images = Random(f"{recipe.seed}/captions"), processor.image_processor
    scale = torch.tensor(images.image_std).view(1, 3, 1, 1) * 255
    shift = torch.tensor(images.image_mean).view(1, 3, 1, 1) * 255
    chosen = optimizers(model, recipe.learning_rate)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in chosen]
    total = max(1, recipe.pictures // recipe.batch)
    order: list[list[int]] = []
    losses: list[float] = []
    model.train()
    started = time.time()
    for step in range(total):
        done = max(step, total * (time.time() - started) / seconds)
        if done >= total:
            log.warning("base: its time is over after %d of %d steps", step, total)
            break
        if not order:
            order = _order(material, recipe.batch, rng)
        batch = [material[n] for n in order.pop()]
        ids, labels = _collated(batch, processor.tokenizer, recipe.size.image_tokens, rng)
        pixels = (torch.stack([one.pixels for one in batch]).float() - shift) / scale
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids, pixel_values=pixels, use_cache=False).logits
        kept = labels >= 0
        loss = torch.nn.functional.cross_entropy(logits[kept].float(), labels[kept])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, base in zip(chosen, rates, strict=True):
            for group, rate in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * pace(int(done), total)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if step % _REPORT_EVERY == _REPORT_EVERY - 1:
            mean = sum(losses[-_REPORT_EVERY:]) / _REPORT_EVERY
            log.info("base: step %d of %d, loss %.3f, %.0f s", step + 1, total, mean, time.time() - started)
    model.eval()
    return losses


def _order(material: Sequence[Caption], batch: int, rng: Random) -> list[list[int]]:
    """Batches of one epoch in random order, each of captions of similar length: a batch costs what its longest member costs."""
    shuffled = rng.sample(range(len(material)), len(material))
    some = 8 * batch
    near = [
        sorted(shuffled[at : at + some], key=lambda n: len(material[n].tokens)) for at in range(0, len(shuffled), some)
    ]
    batches = [part[at : at + batch] for part in near for at in range(0, len(part), batch)]
    return rng.sample(batches, len(batches))


def _collated(batch: Sequence[Caption], tokenizer: Any, image_tokens: int, rng: Random) -> tuple[Any, Any]:
    """Token ids, and the token to predict after each (-100: none); padded on the right."""
    import torch

    image, user, assistant = tokenizer.convert_tokens_to_ids(["<image>", "<|user|>", "<|assistant|>"])
    question = tokenizer.encode(PROMPT, add_special_tokens=False)
    rows, labels = [], []
    for one in batch:
        prompt = [tokenizer.bos_token_id, user, *[image] * image_tokens, *(question if rng.random() < 0.5 else [])]
        rows.append([*prompt, assistant, *one.tokens[:-1]])
        labels.append([-100] * len(prompt) + one.tokens)
    longest = max(map(len, rows))
    pad = tokenizer.pad_token_id
    return (
        torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows]),
        torch.tensor([[*row, *[-100] * (longest - len(row))] for row in labels]),
    )
