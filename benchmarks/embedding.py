"""Embedding 500 x 400 JPEGs: this pipeline against the way most people do it, side by side in one run.

    python -m benchmarks.embedding                                  # both encoders
    python -m benchmarks.embedding --encoder vit --images 200

The other way is a torch DataLoader with 4 workers around the model's own PIL transform. The model is the same object in both,
ViT-B-32 with random weights or the encoder that needs no download. Vectors of both ways are compared.

`slowest` is the pace that nothing could beat: the largest of reading, decoding and computing. Once as the pipeline measures
them, seconds of work over the threads or processes that share it; once as each takes alone, with the machine to itself.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from presel import table_store
from presel.config import EncoderConfig, SourceConfig
from presel.encoders import Encoder, load_encoder
from presel.encoders.feeding import READERS
from presel.images.child import How
from presel.images.decoder import File, Opened
from presel.images.decoders import decoders
from presel.parallel import cores
from presel.stages.embed import embed_part
from presel.stages.ingest import ingest
from presel.vectors import unit_vectors

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


def compare(name: str, images: int, batch: int) -> None:
    """All ways over the same files; models loaded, files in the page cache and decoding processes started before any."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        files = write_pool(folder / "pool", images, seed=0)
        weights = vit_weights(folder) if name == "vit" else None
        # A tag would also set QuickGELU: the file alone is named, so that both ways run the same model.
        named = f"open_clip:ViT-B-32/{weights}" if weights else "builtin"
        config = EncoderConfig(name=named, batch_size=batch)
        encoder = load_encoder(config)
        source = SourceConfig(uri=str(folder / "pool"), part_size=100_000)
        part = ingest(source, str(folder / "store"))
        usual, usual_seconds = timed(the_usual_way(files, encoder, name, weights, batch))
        each = alone(files, encoder, config)
        ours, our_seconds = timed(lambda: embed_part(part, source, config))
        tell(ours, usual, usual_seconds, our_seconds, each)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--encoder", choices=list(IMAGES), help="one of them alone")
    options.add_argument("--images", type=int)
    options.add_argument("--batch", type=int, default=64)
    asked = options.parse_args()
    warnings.filterwarnings("ignore", message="This DataLoader will create")  # four workers are the point
    for name in [asked.encoder] if asked.encoder else IMAGES:
        compare(name, asked.images or IMAGES[name], asked.batch)


def tell(ours: Any, usual: Vectors, usual_seconds: float, our_seconds: float, each: dict[str, float]) -> None:
    facts = table_store.facts(ours)
    usual /= np.linalg.norm(usual, axis=1, keepdims=True)
    cosines = np.sum(usual * unit_vectors(table_store.read(ours)), axis=1)
    inside = {
        "read": facts["read_seconds"] / facts["read_threads"],
        "decode": facts["decode_seconds"] / facts["decode_processes"],
        "compute": facts["compute_seconds"],
    }
    print(f"{facts['encoder']}, {len(usual):,} images, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"  DataLoader, 4 workers  {usual_seconds:7.2f} s  {len(usual) / usual_seconds:7.1f} images/s")
    print(f"  presel embed_part      {our_seconds:7.2f} s  {len(usual) / our_seconds:7.1f} images/s")
    print(f"  ratio                  {usual_seconds / our_seconds:7.2f}")
    for where, seconds in (("inside embed_part, work / workers", inside), ("each alone", each)):
        told = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
        print(f"  {where}: {told}; wall / slowest {our_seconds / max(seconds.values()):.2f}")
    print(f"  cosine between the two ways: least {cosines.min():.5f}, mean {cosines.mean():.5f}")


if __name__ == "__main__":
    main()
