"""Scoring relevance: ours against the plain way, side by side in one run.

    python benchmarks/relevance.py [--samples 16] [--rounds 3] [--threads 1] [--layers 2] [--width 256] [--tower 128]

The plain way is what the method's released scripts do: for each of the two losses open the image, prepare it, run the model
over the whole sequence with a batch of one, take the labels' loss. The model is a LLaVA of the 7B's shape in small: 336-pixel
images as 576 tokens, a vocabulary of 32,064, random weights. Both ways read the same files; the losses are compared.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from random import Random

import torch
from PIL import Image
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from presel.config import ImageConfig, ReferenceModelConfig, SourceConfig
from presel.config.keys import digest, sample_id
from presel.demo.drawing.tasks import TASKS, draw
from presel.reference_model import Losses, Preparer, ReferenceModel, Turn, Unusable, load, score
from presel.reference_model.conversation import ChatFormat, question_free
from presel.reference_model.reading import Sample, SampleReader, read_ahead

VOCABULARY = 32_064  # LLaVA-1.5's


class Clock:
    """Medians over the rounds of wall time and of this process's CPU time (which a busy machine disturbs less)."""

    def __init__(self) -> None:
        self._rounds: list[tuple[float, float]] = []

    def __enter__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._rounds.append((time.perf_counter() - self._started[0], time.process_time() - self._started[1]))

    @property
    def seconds(self) -> float:
        return statistics.median(wall for wall, _ in self._rounds)

    @property
    def cpu_seconds(self) -> float:
        return statistics.median(cpu for _, cpu in self._rounds)


def llava(layers: int, width: int, tower: int, tower_layers: int | None = None, device: str = "cpu") -> ReferenceModel:
    """LLaVA-1.5's shape with a narrow tower and language model, random weights, and the demo's tokenizer.

    On a GPU the weights are bfloat16 and made there."""
    small = load(ReferenceModelConfig(model="builtin", device="cpu"))
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    heads = width // 64
    vision = CLIPVisionConfig(
        image_size=336, patch_size=14, hidden_size=tower, intermediate_size=4 * tower, num_hidden_layers=tower_layers or layers,
        num_attention_heads=tower // 32,
    )  # fmt: skip
    text = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=width * 11 // 4, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=2048,
    )  # fmt: skip
    torch.manual_seed(0)
    token = small.processor.tokenizer.convert_tokens_to_ids("<image>")
    shape = LlavaConfig(vision_config=vision, text_config=text, image_token_id=token, image_seq_length=576)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlavaForConditionalGeneration(shape)
    finally:
        torch.set_default_dtype(usual)
    side = {"height": 336, "width": 336}
    small.processor.image_processor.size = small.processor.image_processor.crop_size = side
    return ReferenceModel(model.eval().to(device, dtype), small.processor, torch.device(device), dtype)


def pool(folder: Path, count: int) -> list[Sample]:
    tasks, made = list(TASKS), []
    for n in range(count):
        drawn = draw(tasks[n % len(tasks)], 2_000_000 + n, 0)
        path = folder / drawn.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn.data)
        content, asked = digest(drawn.data), Random(n).choice(drawn.facts.questions)
        made.append(
            Sample(
                sample_id(drawn.task, content), drawn.task, drawn.key, content, (Turn(asked.question, asked.answer),)
            )
        )
    return made


def plainly(model: ReferenceModel, folder: Path, samples: list[Sample]) -> dict[str, tuple[float, float]]:
    chat, found = ChatFormat(model.processor), {}
    for sample in samples:
        losses = []
        for turns in (sample.turns, question_free(sample.turns, "masked")):
            rendered = chat.render(turns)
            image = Image.open(io.BytesIO((folder / sample.key).read_bytes())).convert("RGB")
            inputs = model.processor(
                text=[rendered.text], images=[image], add_special_tokens=False, return_tensors="pt"
            ).to(model.device, model.dtype)
            tail = model.processor.tokenizer(rendered.text[rendered.responses[0][0] :], add_special_tokens=False)[
                "input_ids"
            ]
            labels = torch.full_like(inputs["input_ids"], -100)
            labels[0, -len(tail) :] = torch.tensor(tail, device=labels.device)
            with torch.no_grad():
                losses.append(float(model.model(**inputs, labels=labels).loss))
        found[sample.id] = (losses[0], losses[1])
    return found


def ours(model: ReferenceModel, folder: Path, samples: list[Sample], batch: int) -> dict[str, Losses]:
    read = SampleReader(SourceConfig(uri=str(folder)), ImageConfig(), Preparer(model.processor, 2048))
    ready = [prepared for _, prepared in read_ahead(read, samples) if not isinstance(prepared, Unusable)]
    return {losses.id: losses for losses in score(model, ready, batch)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {
        "samples": 16,
        "rounds": 3,
        "threads": 1,
        "layers": 2,
        "width": 256,
        "tower": 128,
        "batch": 8,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, samples = llava(options.layers, options.width, options.tower), pool(folder, options.samples)
        ours(model, folder, samples[:2], 2)  # the self-check of the first sample, and warm-up
        plainly(model, folder, samples[:1])
        plain_clock, quick_clock = Clock(), Clock()
        for _ in range(options.rounds):  # in turn, so that a busy machine is busy for both
            with plain_clock:
                plain = plainly(model, folder, samples)
            with quick_clock:
                quick = ours(model, folder, samples, options.batch)
        gap = max(abs(a - b) for s in samples for a, b in zip(plain[s.id], quick[s.id][2:], strict=True))
    result = {
        **vars(options),
        "plain_samples_per_second": round(options.samples / plain_clock.seconds, 3),
        "ours_samples_per_second": round(options.samples / quick_clock.seconds, 3),
        "ratio": round(plain_clock.seconds / quick_clock.seconds, 2),
        "ratio_of_cpu_time": round(plain_clock.cpu_seconds / quick_clock.cpu_seconds, 2),
        "largest_difference_nats": gap,
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
