"""Clustering on a GPU through torch: the same starts and swaps, with exact passes, which cost little there.

One exact pass at n = 1 M, k = 10,000, d = 768 is 1.5e13 multiplications: a fraction of a second on a current GPU,
minutes on two cores. So there are no candidate lists: Lloyd passes in blocks, each with the nearest and second nearest
centroid, between rounds of the CPU's swaps. TF32 is left off: its 10-bit mantissa would decide near ties. Sums
per cluster are taken over sorted rows (`segment_reduce`), not with atomics, so the same device repeats its bytes.

The path has been run with torch's CPU device ("torch:cpu", the tests); no GPU was at hand to measure it on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from presel.errors import InputError
from presel.selection.clustering.schedule import SETTLED
from presel.selection.clustering.seeding import seeds
from presel.selection.clustering.state import Matrix, State
from presel.selection.clustering.swaps import Swapper

if TYPE_CHECKING:
    from torch import Tensor

SCORES = 1 << 28
"""Scores held at once: 1 GB of float32."""
LLOYD_PASSES = 6
SWAP_ROUNDS = 4


def has_gpu() -> bool:
    """True when torch is installed and sees a CUDA device."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def cluster_on(device: str, rows: Matrix, k: int, seed: int, passes: int) -> tuple[Matrix, NDArray[np.int64], int]:
    """(centroids float32[k, d], labels int64[n], passes) on a torch device; see `presel.selection.clustering.kmeans`."""
    import torch

    try:
        target = torch.device(device.removeprefix("torch:"))
        if target.type not in ("cpu", "cuda"):
            raise RuntimeError(f"no arithmetic was tried on {target.type}")
        held = torch.from_numpy(rows).to(target)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            "this torch device cannot be used",
            where="presel.selection.clustering.kmeans",
            expected="cuda or cpu",
            got=device,
        ) from error
    state = State(rows, seeds(rows, k, seed).rows)
    swapper, done = Swapper(state), 0
    for turn in range(SWAP_ROUNDS + 1):
        done += _lloyd(state, held, LLOYD_PASSES if turn < SWAP_ROUNDS else LLOYD_PASSES + passes, update=turn > 0)
        if turn == SWAP_ROUNDS or not swapper.swap():
            break
    return state.centroids, state.labels, done


def _lloyd(state: State, held: Tensor, limit: int, *, update: bool) -> int:
    """Passes until few rows move; ends with an assignment, so that labels fit the centroids."""
    for done in range(1, limit + 1):
        if update or done > 1:
            _average(state, held)
        if _assign(state, held) <= SETTLED * len(state.rows):
            return done
    return limit


def _assign(state: State, held: Tensor) -> int:
    import torch

    centroids = torch.from_numpy(state.centroids).to(held.device)
    square, moved = (centroids * centroids).sum(dim=1), 0
    step = max(1, SCORES // state.k)
    for start in range(0, len(held), step):
        vectors = held[start : start + step]
        score = torch.addmm(square, vectors, centroids.T, alpha=-2)
        value, label = torch.topk(score, min(2, state.k), dim=1, largest=False)
        value = (value + (vectors * vectors).sum(dim=1, keepdim=True)).clamp_min(0)
        here = slice(start, start + len(vectors))
        state.distance[here] = value[:, 0].cpu().numpy()
        if state.k > 1:
            state.runner_up[here] = value[:, 1].cpu().numpy()
            state.second[here] = label[:, 1].cpu().numpy()
        moved += state.relabel(np.arange(here.start, here.stop), label[:, 0].cpu().numpy())
    return moved


def _average(state: State, held: Tensor) -> None:
    import torch

    labels = torch.from_numpy(state.labels).to(held.device)
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels, minlength=state.k)
    ends = torch.cumsum(counts, dim=0)
    means = torch.from_numpy(state.centroids).to(held.device)
    step = max(1, SCORES // max(1, held.shape[1]) // max(1, len(held) // state.k))
    for first in range(0, state.k, step):
        here = slice(first, first + step)
        low = int(ends[first] - counts[first])
        high = int(ends[min(first + step, state.k) - 1])
        if high == low:
            continue
        summed = torch.segment_reduce(held[order[low:high]], "sum", lengths=counts[here], axis=0)
        means[here] = torch.where(counts[here, None] > 0, summed / counts[here, None].clamp_min(1), means[here])
    state.centroids = means.cpu().numpy()
