"""Embedding 500 x 400 JPEGs: this pipeline against the way most people do it, by turns in one run.

    python -m benchmarks.embedding                                  # both encoders
    python -m benchmarks.embedding --encoder vit --images 200

The other way is a torch DataLoader with 4 workers around the model's own PIL transform. The model is the same object in both,
ViT-B-32 with random weights or the encoder that needs no download. Vectors of both ways are compared.

`slowest` is the pace that nothing could beat: the largest of reading, decoding and computing. Once as the pipeline measures
them, seconds of work over the threads or processes that share it; once as each takes alone, with the machine to itself.
Figures are medians of three rounds: of one round each, as this was first measured, a neighbour decided which way was faster.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from presel.concurrency.blocks import cores
from presel.config import EncoderConfig, SourceConfig
from presel.encoders import Encoder, load_encoder
from presel.encoders.feeding import READERS
from presel.images.child import How
from presel.images.decoder import File, Opened
from presel.images.decoders import decoders
from presel.stages.embed import embed_part
from presel.stages.ingest import ingest
from presel.tables import table_store
from presel.tables.vectors import unit_vectors

Vectors = NDArray[np.float32]


class Files(Dataset[Any]):
    """What a DataLoader's workers do: open, convert, transform."""

    def __init__(self, files: list[Path], transform: Callable[[Image.Image], Any]) -> None:
        self._files, self._transform = files, transform

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Any:
        with Image.open(self._files[index]) as image:
            return self._transform(image.convert("RGB"))


def write_pool(folder: Path, images: int, seed: int) -> list[Path]:
    """Crops of photographs with a little noise, JPEG quality 85, about 50 kB each."""
    from skimage import data

    generator = np.random.default_rng(seed)
    photographs = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), data.hubble_deep_field()]
    (folder / "all").mkdir(parents=True)
    for number in range(images):
        photograph = Image.fromarray(photographs[number % len(photographs)])
        x, y = generator.uniform(0, 0.3, 2) * photograph.size
        crop = photograph.crop((int(x), int(y), int(x + 0.7 * photograph.width), int(y + 0.7 * photograph.height)))
        pixels = np.asarray(crop.resize((500, 400))).astype(np.int16)
        noisy = (pixels + generator.integers(-6, 7, pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / "all" / f"{number:06d}.jpg", quality=85)
    return sorted((folder / "all").glob("*.jpg"))


def vit_weights(folder: Path) -> str:
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    state = open_clip.create_model("ViT-B-32").state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "vit.safetensors")
    return str(folder / "vit.safetensors")


def the_usual_way(
    files: list[Path], encoder: Encoder, name: str, weights: str | None, batch: int
) -> Callable[[], Vectors]:
    """DataLoader, 4 workers, the model's own transform; the model, built beforehand, runs when a batch arrives."""
    import open_clip
    import torch

    if name == "builtin":
        loader = DataLoader(Files(files, encoder.prepare), batch, num_workers=4, collate_fn=list)
        return lambda: np.concatenate([encoder.encode(pixels) for pixels in loader])
    model, _, transform = open_clip.create_model_and_transforms("ViT-B-32", pretrained=weights)
    model.eval()
    loader = DataLoader(Files(files, transform), batch, num_workers=4)

    def embedded() -> Vectors:
        with torch.inference_mode():
            return np.concatenate([model.encode_image(pixels).numpy() for pixels in loader])

    return embedded


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


IMAGES = {"builtin": 1000, "vit": 200}


def alone(files: list[Path], encoder: Encoder, config: EncoderConfig) -> dict[str, float]:
    """Seconds of each of the three when nothing else is done: with bytes in memory, and then with pictures prepared."""
    limits, groups = config.images, [files[start : start + 16] for start in range(0, len(files), 16)]
    how = How((limits.max_pixels, limits.min_side, limits.max_aspect_ratio), encoder.side, encoder.preparation)

    def decode(group: list[File]) -> list[Any]:
        opened = [answer.end for answer in decoders(cores()).open(group, how)]
        arrays = [one.array for one in opened if isinstance(one, Opened)]
        return arrays if encoder.preparation else [encoder.prepare(array) for array in arrays]

    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(cores()) as threads:
        raw, reading = timed(
            lambda: list(readers.map(lambda group: [File(f.read_bytes(), f.name) for f in group], groups))
        )
        prepared, decoding = timed(lambda: [one for group in threads.map(decode, raw) for one in group])
    size = config.batch_size
    _, computing = timed(lambda: [encoder.encode(prepared[at : at + size]) for at in range(0, len(prepared), size)])
    return {"read": reading, "decode": decoding, "compute": computing}


class Round(NamedTuple):
    """Seconds of one round: the usual way, ours, and each of the three stages."""

    usual: float
    ours: float
    inside: dict[str, float]
    """As the pipeline measures them: seconds of work over the threads or processes that share it."""
    alone: dict[str, float]


def compare(name: str, images: int, batch: int, rounds: int) -> None:
    """All ways over the same files; models loaded, files in the page cache and decoding processes started before any."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files = write_pool(folder / "pool", images, seed=0)
        weights = vit_weights(folder) if name == "vit" else None
        # A tag would also set QuickGELU: the file alone is named, so that both ways run the same model.
        named = f"open_clip:ViT-B-32/{weights}" if weights else "builtin"
        config = EncoderConfig(name=named, batch_size=batch)
        encoder = load_encoder(config)
        usual_way = the_usual_way(files, encoder, name, weights, batch)
        alone(files, encoder, config)
        measured = []
        for number in range(rounds):
            source = SourceConfig(uri=str(folder / "pool"), part_size=100_000)
            part = ingest(source, str(folder / f"store {number}"))
            usual, usual_seconds = timed(usual_way)
            ours, our_seconds = timed(partial(embed_part, part, source, config))
            facts = table_store.facts(ours)
            measured.append(Round(usual_seconds, our_seconds, inside(facts), alone(files, encoder, config)))
        print(f"{facts['encoder']}, {len(files):,} images, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        tell(measured, len(files))
        usual /= np.linalg.norm(usual, axis=1, keepdims=True)
        cosines = np.sum(usual * unit_vectors(table_store.read(ours)), axis=1)
        print(f"  cosine between the two ways: least {cosines.min():.5f}, mean {cosines.mean():.5f}")


def inside(facts: Mapping[str, Any]) -> dict[str, float]:
    return {
        "read": facts["read_seconds"] / facts["read_threads"],
        "decode": facts["decode_seconds"] / facts["decode_processes"],
        "compute": facts["compute_seconds"],
    }


def tell(rounds: list[Round], images: int) -> None:
    """Medians: of the seconds, and of each round's own ratios."""
    usual, ours = median(one.usual for one in rounds), median(one.ours for one in rounds)
    ratios = sorted(one.usual / one.ours for one in rounds)
    print(f"  DataLoader, 4 workers  {usual:7.2f} s  {images / usual:7.1f} images/s")
    print(f"  presel embed_part      {ours:7.2f} s  {images / ours:7.1f} images/s")
    print(
        f"  ratio                  {median(ratios):7.2f}   of {len(rounds)} rounds: {ratios[0]:.2f} to {ratios[-1]:.2f}"
    )
    for where, pick in (
        ("inside embed_part, work / workers", attrgetter("inside")),
        ("each alone", attrgetter("alone")),
    ):
        seconds = [pick(one) for one in rounds]
        told = ", ".join(f"{name} {median(each[name] for each in seconds):.2f} s" for name in seconds[0])
        slowest = median(one.ours / max(each.values()) for one, each in zip(rounds, seconds, strict=True))
        print(f"  {where}: {told}; wall / slowest {slowest:.2f}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--encoder", choices=list(IMAGES), help="one of them alone")
    options.add_argument("--images", type=int)
    options.add_argument("--batch", type=int, default=64)
    options.add_argument("--rounds", type=int, default=3, help="of both ways by turns")
    asked = options.parse_args()
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # four workers are the point
    for name in [asked.encoder] if asked.encoder else IMAGES:
        compare(name, asked.images or IMAGES[name], asked.batch, asked.rounds)


if __name__ == "__main__":
    main()
