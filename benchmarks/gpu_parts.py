"""The parts of `benchmarks.gpu`: each a function that reports a figure as soon as it has one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Report = Callable[..., None]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class Size(NamedTuple):
    device: str
    """cuda or cpu."""
    tiny: bool

    def of(self, full: int, tiny: int) -> int:
        return tiny if self.tiny else full

    @property
    def faiss(self) -> str:
        """The device of k-means: without a GPU, the same code by faiss on the CPU."""
        return "gpu" if self.device == "cuda" else "faiss"


class Part(NamedTuple):
    says: str
    share: float
    """Of all the time there is."""
    measure: Callable[[Size, Report], None]


# --- does it compute the same? ---


def same_vectors(size: Size, report: Report) -> None:
    """Cosines between this device's vectors and float32 on the CPU, ViT-B-32 with random weights."""
    from benchmarks.embedding import vit_weights, write_pool
    from presel.config import EncoderConfig, SourceConfig
    from presel.stages.embed import embed_part
    from presel.stages.ingest import ingest
    from presel.tables import table_store
    from presel.tables.vectors import unit_vectors

    with tempfile.TemporaryDirectory() as made:
        folder, found = Path(made), []
        write_pool(folder / "pool", size.of(256, 8), seed=0)
        name = f"open_clip:ViT-B-32/{vit_weights(folder)}"
        source = SourceConfig(uri=str(folder / "pool"))
        for device in (size.device, "cpu"):
            part = ingest(source, str(folder / f"store {len(found)}"))
            ref = embed_part(part, source, EncoderConfig(name=name, device=device))
            found.append(unit_vectors(table_store.read(ref)))
    cosines = np.sum(found[0] * found[1], axis=1)
    report(images=len(cosines), least_cosine=round(float(cosines.min()), 6), mean=round(float(cosines.mean()), 6))


def same_losses(size: Size, report: Report) -> None:
    """Both losses of the builtin model: this device as the product uses it, against plain float32 on the CPU."""
    from benchmarks.relevance import ours, pool
    from presel.config import ReferenceModelConfig
    from presel.reference_model import load

    with tempfile.TemporaryDirectory() as made:
        samples = pool(Path(made), size.of(110, 11))
        each = [
            ours(load(ReferenceModelConfig(model="builtin", device=device)), Path(made), samples, 8)
            for device in (size.device, "cpu")
        ]
    gaps = [abs(a - b) for one in samples for a, b in zip(each[0][one.id][2:], each[1][one.id][2:], strict=True)]
    report(samples=len(samples), largest_gap_nats=round(max(gaps), 5), mean_gap_nats=round(sum(gaps) / len(gaps), 5))


def same_fit(size: Size, report: Report) -> None:
    """The losses of the reference model's steps, on both devices from the same start."""
    from benchmarks.relevance import pool
    from presel.config import ImageConfig, LoraConfig, ReferenceModelConfig, SourceConfig
    from presel.reference_model import Preparer, load, lora
    from presel.reference_model.checkpoint import Checkpoint
    from presel.reference_model.fit import fit
    from presel.reference_model.reading import SampleReader

    with tempfile.TemporaryDirectory() as made:
        samples, traces = pool(Path(made), size.of(128, 8)), []
        config = LoraConfig(rank=8, alpha=16, batch=8, epochs=size.of(4, 1), question_dropout=0.0)
        for device in (size.device, "cpu"):
            model = load(ReferenceModelConfig(model="builtin", device=device))
            lora.attach(model, config, 0)
            read = SampleReader(SourceConfig(uri=made), ImageConfig(), Preparer(model.processor, 2048))
            kept = Checkpoint(f"{made}/kept {len(traces)}", "fit")
            fitted = fit(model, samples, read, config, 0, kept, lambda *_: None)
            traces.append([row["loss"] for row in fitted.history])
    gaps = np.abs(np.subtract(*traces))
    report(steps=len(gaps), largest_gap_nats=round(float(gaps.max()), 5), last_losses=[t[-1] for t in traces])


def same_clusters(size: Size, report: Report) -> None:
    """Inertia of both engines on the same vectors; the clusters themselves differ, and the stage's key says so."""
    from benchmarks.pools import clustered, diffuse
    from presel.selection.clustering import kmeans

    n, k = size.of(50_000, 2_000), size.of(500, 20)
    for name, rows in (("clustered", clustered(n, 128, k, seed=1)), ("diffuse", diffuse(n, 128, seed=1))):
        there, here = kmeans(rows, k, seed=0, device=size.faiss), kmeans(rows, k, seed=0)
        again = kmeans(rows, k, seed=0, device=size.faiss)
        report(**{
            f"{name}_inertia_ratio": round(there.inertia / here.inertia, 5),
            f"{name}_same_again": bool((there.labels == again.labels).all()),
        })  # fmt: skip


# --- how fast is it? ---


def embedding(size: Size, report: Report) -> None:
    """From JPEG files in memory to vectors on disk, beside a DataLoader with 8 workers around the same model."""
    from benchmarks.embedding import write_pool

    with tempfile.TemporaryDirectory(dir=_memory()) as made:
        folder = Path(made)
        files = write_pool(folder / "pool", size.of(8_000, 16), seed=0)
        for library, name in (
            ("open_clip", "ViT-B-32"),
            ("open_clip", "ViT-L-14"),
            ("timm", "vit_base_patch14_dinov2"),
        ):
            if not size.tiny or name == "ViT-B-32":
                _embed(size, report, folder, files, library, name)


def _embed(size: Size, report: Report, folder: Path, files: list[Path], library: str, name: str) -> None:
    from presel.config import EncoderConfig, SourceConfig
    from presel.stages.embed import embed_part
    from presel.stages.ingest import ingest

    weights, model, side = _random_weights(folder, library, name)
    full = f"{library}:{name}/{weights}" if library == "open_clip" else f"timm:{name}"
    given = {} if library == "open_clip" else {"weights": weights}
    source = SourceConfig(uri=str(folder / "pool"), part_size=100_000)
    config = EncoderConfig(name=full, device=size.device, batch_size=256, **given)
    rates = []
    for turn in range(2):  # the first one compiles
        part = ingest(source, str(folder / f"{name} {turn}"))
        started = time.perf_counter()
        embed_part(part, source, config)
        rates.append(len(files) / (time.perf_counter() - started))
    report(**{f"{name}_images_per_second": round(rates[1], 1), f"{name}_with_compiling": round(rates[0], 1)})
    usual = _data_loader(files, model, side, size.device)
    report(**{f"{name}_data_loader": round(usual, 1), f"{name}_ratio": round(rates[1] / usual, 2)})


def _random_weights(folder: Path, library: str, name: str) -> tuple[str, Any, int]:
    """A file of random weights, the image tower that has them, and its pictures' side."""
    import open_clip
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    made = open_clip.create_model(name) if library == "open_clip" else timm.create_model(name, num_classes=0)
    file = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in made.state_dict().items()}, file)
    if library == "open_clip":
        return str(file), made.visual, 224
    return str(file), made, int(made.default_cfg["input_size"][-1])


def _data_loader(files: list[Path], model: Any, side: int, device: str) -> float:
    """Images a second."""
    import torch
    from torch.utils.data import DataLoader
    from torchvision import transforms

    from benchmarks.embedding import Files

    steps = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()]
    chain = transforms.Compose([*steps, transforms.Normalize(**IMAGENET)])
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = model.eval().to(device, dtype)
    loader = DataLoader(Files(files, chain), 256, num_workers=8 if device == "cuda" else 2, pin_memory=device == "cuda")
    started = time.perf_counter()
    with torch.inference_mode():
        for pixels in loader:
            model(pixels.to(device, dtype, non_blocking=True)).float().cpu().numpy()
    return len(files) / (time.perf_counter() - started)


def card(size: Size, report: Report) -> None:
    """The rate of large products in bfloat16, and which share of it a ViT-L/14's forward pass reaches alone."""
    import open_clip
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    dtype = torch.bfloat16 if size.device == "cuda" else torch.float32
    side = size.of(8192, 512)
    a, b = (torch.randn(side, side, device=size.device).to(dtype) for _ in range(2))
    measured = 2 * side**3 / _seconds(size, lambda: a @ b)
    report(measured_tflops=round(measured / 1e12, 3))
    name, batch = ("ViT-B-32", 2) if size.tiny else ("ViT-L-14", 64)
    tower = open_clip.create_model(name).visual.eval().to(size.device, dtype, memory_format=torch.channels_last)
    pixels = torch.randn(batch, 3, 224, 224, device=size.device).to(dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counted:
            tower(pixels)
        quick = torch.compile(tower, dynamic=False) if size.device == "cuda" else tower
        seconds = _seconds(size, partial(quick, pixels))
    rate = counted.get_total_flops() / seconds
    report(tower=name, images_per_second=round(batch / seconds, 1), share_of_measured=round(rate / measured, 3))


def _seconds(size: Size, work: Callable[[], Any]) -> float:
    """Of one call, the median of several, warm."""
    import torch

    times = []
    for _ in range(size.of(30, 5)):
        started = time.perf_counter()
        work()
        if size.device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return float(np.median(times[len(times) // 3 :]))


def scoring(size: Size, report: Report) -> None:
    """Both losses at LLaVA-1.5-7B's shape, random weights, beside two plain passes a sample."""
    from benchmarks.relevance import llava, ours, plainly, pool

    model = llava(*((1, 64, 64, 1) if size.tiny else (32, 4096, 1024, 24)), device=size.device)
    report(parameters_in_billions=round(sum(p.numel() for p in model.model.parameters()) / 1e9, 3))
    with tempfile.TemporaryDirectory() as made:
        samples, batch = pool(Path(made), size.of(256, 4)), size.of(32, 2)
        ours(model, Path(made), samples[:batch], batch)  # the self-check of the first sample, and warm-up
        plainly(model, Path(made), samples[:2])
        started = time.perf_counter()
        quick = ours(model, Path(made), samples, batch)
        rate = len(samples) / (time.perf_counter() - started)
        report(samples_per_second=round(rate, 2))
        some = samples[: size.of(64, 4)]
        started = time.perf_counter()
        plain = plainly(model, Path(made), some)
        usual = len(some) / (time.perf_counter() - started)
    gap = max(abs(a - b) for one in some for a, b in zip(plain[one.id], quick[one.id][2:], strict=True))
    report(plain_samples_per_second=round(usual, 2), ratio=round(rate / usual, 2), largest_gap_nats=round(gap, 5))


def clustering(size: Size, report: Report) -> None:
    """k-means of a million rows: our engine on the GPU, and faiss's own as it comes."""
    from benchmarks.clustering import inertia
    from benchmarks.pools import clustered
    from presel.selection.clustering import kmeans

    n, d, k = size.of(1_000_000, 2_000), size.of(768, 32), size.of(10_000, 20)
    rows = clustered(n, d, k, seed=1)
    started = time.perf_counter()
    found = kmeans(rows, k, seed=0, device=size.faiss)
    report(
        rows=n, dimensions=d, k=k, our_seconds=round(time.perf_counter() - started, 2), inertia=round(found.inertia, 1)
    )
    import faiss

    on_gpu = {"gpu": True} if size.device == "cuda" else {}
    peer = faiss.Kmeans(d, k, niter=25, seed=1, max_points_per_centroid=n, **on_gpu)
    started = time.perf_counter()
    peer.train(rows)
    report(faiss_seconds=round(time.perf_counter() - started, 2), faiss_inertia=round(inertia(rows, peer.centroids), 1))


def tasks(size: Size, report: Report) -> None:
    """The clusterings of several tasks, one after another, on both engines."""
    from benchmarks.pools import clustered
    from presel.selection.clustering import kmeans

    n, k = size.of(20_000, 500), size.of(200, 5)
    pools = [clustered(n, size.of(768, 32), k, seed=seed) for seed in range(size.of(10, 3))]
    for name, device in (("device", size.faiss), ("cpu", "cpu")):
        started = time.perf_counter()
        for rows in pools:
            kmeans(rows, k, seed=0, device=device)
        report(tasks=len(pools), rows_each=n, **{f"{name}_seconds": round(time.perf_counter() - started, 2)})


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


PARTS = {
    "vectors": Part("embeddings here against float32 on the CPU", 0.08, same_vectors),
    "losses": Part("both losses here against float32 on the CPU", 0.06, same_losses),
    "fit": Part("the reference model's steps here against the CPU", 0.06, same_fit),
    "clusters": Part("k-means through faiss against the CPU's", 0.08, same_clusters),
    "card": Part("bfloat16 products, and a forward pass's share of them", 0.08, card),
    "embedding": Part("JPEG bytes in memory to vectors on disk", 0.26, embedding),
    "scoring": Part("both losses at a 7B model's shape", 0.2, scoring),
    "clustering": Part("k-means of a million rows", 0.12, clustering),
    "tasks": Part("k-means of several tasks", 0.06, tasks),
}
