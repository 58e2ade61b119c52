"""Makes the tiny LVLM's base again: `python -m presel.demo.make_base --out FOLDER`.

The base must know the demo's world before it is fitted on a hundred reference samples, as a LLaVA-1.5 knows photographs. It
learns from pictures of the same tasks that no pool holds (index 1,000,000 and up). Each picture is one row: the image once,
then up to four prompts about it, each attending to the image and itself alone, so that one vision pass and one image prefix
serve four lessons. Three questions in ten are dropped: a model that never saw a question-free prompt is surprised by the
prompt, not by the response (FACTS: without it the ranking of tasks inverts). Muon learns far faster than AdamW at this size.

About 15 minutes on two cores. One seed gives one recipe, not one file: float sums depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from presel.demo.drawing.tasks import TASKS, sketch
from presel.demo.drawing.truth import Facts
from presel.demo.lvlm import IMAGE_TOKENS, build_model, build_processor, build_tokenizer

if TYPE_CHECKING:
    import torch

FIRST_INDEX = 1_000_000
PROMPTS, DROPPED = 4, 0.3


class Recipe(NamedTuple):
    """What was used for the shipped weights."""

    images: int = 20_000
    steps: int = 900
    batch: int = 32
    learning_rate: float = 4e-3
    seed: int = 0


class Lesson(NamedTuple):
    """One picture: 3 x 112 x 112 bytes, and what is true of it."""

    pixels: torch.Tensor
    facts: Facts


def lessons(count: int, seed: int, images: Any) -> Iterator[Lesson]:
    """Pictures of all tasks, half by their share of the pool and half evenly, through the model's own preprocessing."""
    shares = {task: 0.5 * spec.share + 0.5 / len(TASKS) for task, spec in TASKS.items()}
    drawn: Counter[str] = Counter()
    for task in Random(f"{seed}/base").choices(list(shares), list(shares.values()), k=count):
        picture = sketch(task, FIRST_INDEX + drawn[task], seed, longest=320)
        drawn[task] += 1
        out = images(picture.image, do_rescale=False, do_normalize=False, return_tensors="pt")
        yield Lesson(out["pixel_values"][0].byte(), picture.facts)


class Row(NamedTuple):
    """One picture's tokens: the image prefix, then prompts side by side."""

    ids: list[int]
    labels: list[int]  # -100 where nothing is predicted; labels[i] is the token after ids[i]
    positions: list[int]
    segment: list[int]  # 0 is the prefix, which all see


def row(facts: Facts, tokenizer: Any, rng: Random) -> Row:
    """Up to four question-response pairs of a picture, its caption among the candidates, some without their question."""
    asked = list(facts.questions)
    pairs = [(qa.question, qa.answer) for qa in rng.sample(asked, min(PROMPTS, len(asked)))]
    if len(pairs) < PROMPTS:
        pairs.append(("Describe the picture.", facts.caption))
    # Captions keep their question: what an image suggests by itself is an answer of its task. A picture with one question has
    # but one prompt to learn that from, so it gets two chances.
    chances = 2 if len(asked) == 1 else 1
    dropped = [n < len(asked) and any(rng.random() < DROPPED for _ in range(chances)) for n in range(len(pairs))]
    image, user = tokenizer.convert_tokens_to_ids(["<image>", "<|user|>"])
    prefix = [tokenizer.bos_token_id, user, *[image] * IMAGE_TOKENS]
    out = Row(prefix, [-100] * len(prefix), list(range(len(prefix))), [0] * len(prefix))
    for number, ((question, answer), drop) in enumerate(zip(pairs, dropped, strict=True), start=1):
        prompt = tokenizer.encode(("" if drop else question) + "<|assistant|>", add_special_tokens=False)
        reply = tokenizer.encode(answer + "</s>", add_special_tokens=False)
        ids = prompt + reply[:-1]
        out.ids.extend(ids)
        out.labels.extend([-100] * (len(prompt) - 1) + reply)
        out.positions.extend(range(IMAGE_TOKENS + 2, IMAGE_TOKENS + 2 + len(ids)))
        out.segment.extend([number] * len(ids))
    return out


def collate(rows: Sequence[Row], pad: int) -> dict[str, torch.Tensor]:
    """Model inputs of a batch: each token sees the prefix and what came before it in its own prompt."""
    import torch

    longest = max(len(r.ids) for r in rows)

    def filled(name: str, value: int) -> torch.Tensor:
        return torch.tensor([getattr(r, name) + [value] * (longest - len(r.ids)) for r in rows])

    segment = filled("segment", -1)
    same = segment[:, :, None] == segment[:, None, :]
    visible = (same | (segment == 0)[:, None, :]).tril()
    mask = torch.zeros(visible.shape).masked_fill_(~visible, torch.finfo(torch.float32).min)
    return {
        "input_ids": filled("ids", pad),
        "labels": filled("labels", -100),
        "position_ids": filled("positions", 0),
        "attention_mask": mask[:, None],
    }


def optimizers(model: Any, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings, norms and biases."""
    import torch

    matrices: list[Any] = []
    others: list[Any] = []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
    return [
        torch.optim.Muon(matrices, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=learning_rate / 2, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def pace(step: int, steps: int) -> float:
    """Share of the learning rate: 3 % warm-up, constant, then linearly to zero over the last half."""
    return min(1.0, (step + 1) / (0.03 * steps), 2 * (1 - step / steps))


def train(model: Any, material: Sequence[Lesson], processor: Any, recipe: Recipe) -> list[float]:
    """Trains in place, vision tower and all; returns the loss of every step in nats per response token."""
    import torch

    rng, images = Random(f"{recipe.seed}/order"), processor.image_processor
    scale = torch.tensor(images.image_std).view(1, 3, 1, 1) * 255
    shift = torch.tensor(images.image_mean).view(1, 3, 1, 1) * 255
    chosen = optimizers(model, recipe.learning_rate)
    base = [[group["lr"] for group in optimizer.param_groups] for optimizer in chosen]
    order: list[int] = []
    losses = []
    model.train()
    started = time.time()
    for step in range(recipe.steps):
        while len(order) < recipe.batch:
            order.extend(rng.sample(range(len(material)), len(material)))
        batch, order = [material[n] for n in order[: recipe.batch]], order[recipe.batch :]
        inputs = collate(
            [row(lesson.facts, processor.tokenizer, rng) for lesson in batch], processor.tokenizer.pad_token_id
        )
        labels = inputs.pop("labels")
        pixels = (torch.stack([lesson.pixels for lesson in batch]).float() - shift) / scale
        kept = labels >= 0
        with torch.autocast("cpu", torch.bfloat16):  # 1.4 times as fast where the processor has bf16 products
            logits = model(**inputs, pixel_values=pixels, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[kept].float(), labels[kept])
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, rates in zip(chosen, base, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * pace(step, recipe.steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if step % 25 == 24:
            print(f"step {step + 1} loss {sum(losses[-25:]) / 25:.4f} {time.time() - started:.0f} s", flush=True)
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/lvlm-base"))
    for name, value in Recipe()._asdict().items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    out: Path = options.pop("out")
    make(out, Recipe(**options))


def make(out: Path, recipe: Recipe) -> None:
    """Draws, trains and saves as float16 safetensors."""
    import torch

    images = build_processor(build_tokenizer(["a"])).image_processor
    started = time.time()
    material = list(lessons(recipe.images, recipe.seed, images))
    print(f"{len(material)} pictures in {time.time() - started:.0f} s", flush=True)
    texts = {text for lesson in material for qa in lesson.facts.questions for text in (qa.question, qa.answer)}
    texts |= {lesson.facts.caption for lesson in material}
    tokenizer = build_tokenizer(texts)
    processor, model = build_processor(tokenizer), build_model(tokenizer, recipe.seed)
    started = time.time()
    losses = train(model, material, processor, recipe)
    seconds = round(time.time() - started)
    processor.save_pretrained(out)
    model.to(torch.float16).save_pretrained(out)
    record = {**recipe._asdict(), "seconds": seconds, "last_loss": round(sum(losses[-50:]) / len(losses[-50:]), 4)}
    (out / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
