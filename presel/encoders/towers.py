"""A neural image tower at work: uint8 pictures in, vectors out, on whatever device there is.

Pictures cross to the device as bytes (a quarter of the traffic of floats) and are normalised there. On a GPU the tower runs in
bfloat16, channels last, compiled; where compiling fails (no C compiler in the image, an operation it does not know) it runs
as it is, with a warning. Out of memory halves the batch and goes on. A batch is filled up to a fixed number of rows, so that
the matrix kernels, and with them the last bit of a vector, do not depend on how many images a part happens to end with
(on a GPU: and nothing is compiled twice), nor on `batch_size`. Parts that run in several threads take turns.
"""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from presel.concurrency.device import resolved
from presel.encoders import open_clip, timm
from presel.encoders.encoder import Pixels
from presel.encoders.recipe import Preprocess, Recipe
from presel.errors import ModelError

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
_ROWS_CPU, _ROWS_GPU = 8, 64
"""Rows of one forward pass. More gain nothing on a CPU; on a GPU, 64 pictures are 16,000 tokens of a ViT-L/14."""


class TowerEncoder:
    """An `Encoder` around a torch module."""

    preparation: str | None = None  # torch in each decoding process would be 850 MB and two seconds

    def __init__(self, recipe: Recipe, device: str) -> None:
        import torch

        self.identity = recipe.identity
        self._preprocess = recipe.preprocess
        self.side: int | None = max(recipe.preprocess.resize)
        self._device = torch.device(device)
        self._gpu = self._device.type == "cuda"
        self._dtype = torch.bfloat16 if self._gpu else torch.float32
        tower = (open_clip if recipe.library == "open_clip" else timm).build(recipe).eval().requires_grad_(False)
        self._eager: Any = tower.to(self._device, self._dtype, memory_format=torch.channels_last)
        self._tower = self._eager
        self._mean = self._constant(recipe.preprocess.mean)
        self._std = self._constant(recipe.preprocess.std)
        height, width = recipe.preprocess.crop
        self.dimensions = int(self._forward(np.zeros((1, height, width, 3), np.uint8)).shape[1])
        self._rows = _ROWS_GPU if self._gpu else _ROWS_CPU
        self._turn = threading.Lock()
        if self._gpu:
            self._tower = torch.compile(self._eager, dynamic=False)

    def prepare(self, image: Pixels, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        return prepared(image, self._preprocess, size)

    def encode(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        with self._turn:
            vectors: list[NDArray[np.float32]] = []
            done = 0
            while done < len(batch):
                piece = self._encode(batch[done : done + self._rows])
                if piece is not None:
                    vectors.append(piece)
                    done += len(piece)
            return np.concatenate(vectors)

    def _encode(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32] | None:
        """One forward pass; None when it did not fit, and from then on batches are half as long."""
        import torch

        filled = np.zeros((self._rows, *batch[0].shape), np.uint8)
        filled[: len(batch)] = batch
        try:
            return self._forward(filled)[: len(batch)]
        except torch.OutOfMemoryError:
            if self._rows == 1:
                raise
        if self._gpu:
            with torch.cuda.device(self._device):
                torch.cuda.empty_cache()
        self._rows = (self._rows + 1) // 2
        log.warning("out of memory: going on with %d images at a time", self._rows)
        return None

    def _forward(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, height, width, 3) uint8 -> (n, d) float32."""
        import torch

        # Kernels start on the thread's current device, which is the first one unless somebody says otherwise.
        current = torch.cuda.device(self._device) if self._gpu else nullcontext()
        with current, torch.inference_mode():
            pixels = torch.from_numpy(pictures)
            if self._gpu:
                pixels = pixels.pin_memory()
            # NHWC bytes seen as NCHW are channels-last already: nothing is copied.
            images = pixels.to(self._device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32)
            vectors = self._through(((images / 255 - self._mean) / self._std).to(self._dtype))
            return cast("NDArray[np.float32]", vectors.float().cpu().numpy())

    def _through(self, images: torch.Tensor) -> torch.Tensor:
        """The compiled tower, or the plain one for good once the compiled one fails where the plain one does not."""
        import torch

        try:
            return cast("torch.Tensor", self._tower(images))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self._tower is self._eager:
                raise
            vectors = cast("torch.Tensor", self._eager(images))  # raises the same if compiling is not at fault
            log.warning("the encoder runs uncompiled, slower: %s", str(error).strip().partition("\n")[0][:200])
            self._tower = self._eager
            return vectors

    def _constant(self, values: tuple[float, ...]) -> torch.Tensor:
        import torch

        return torch.tensor(values, dtype=torch.float32, device=self._device).view(1, 3, 1, 1)


def devices(asked: str) -> list[str]:
    """Where copies of the tower belong: every GPU this process may see, or the CPU. `asked`: auto, cpu or cuda."""
    import torch

    wanted = resolved(asked)
    count = torch.cuda.device_count() if wanted == "cuda" and torch.cuda.is_available() else 0
    if wanted == "cuda" and not count:
        raise ModelError(
            "there is no GPU",
            where="encoder.device",
            expected="a CUDA device that torch can see",
            got="none",
            fix="set encoder.device: auto, or check the driver and CUDA_VISIBLE_DEVICES",
        )
    return [f"cuda:{number}" for number in range(count)] or ["cpu"]


def prepared(image: Pixels, how: Preprocess, original: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: the model's resize and centre crop, computed on bytes.

    Within one level of what torchvision does with a PIL image and three times as fast (FACTS 8): the same antialiased
    filter, vectorised.
    """
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    pixels = torch.from_numpy(np.require(image, np.uint8, "W")).permute(2, 0, 1)
    width, height = original or (pixels.shape[2], pixels.shape[1])
    size = _resized(height, width, how)
    mode = InterpolationMode(how.interpolation)
    scaled = functional.resize(pixels, list(size), interpolation=mode, antialias=True)
    filled = _padded(scaled, how)
    cropped = functional.center_crop(filled, list(how.crop))
    return cast("NDArray[np.uint8]", cropped.permute(1, 2, 0).contiguous().numpy())


def _resized(height: int, width: int, how: Preprocess) -> tuple[int, int]:
    if how.mode == "squash":
        return how.resize
    if how.mode == "longest":
        scale = min(how.resize[0] / height, how.resize[1] / width)
        return max(1, round(height * scale)), max(1, round(width * scale))
    side = how.resize[0]  # the longer side is cut to whole pixels as torchvision does
    return (side, int(side * width / height)) if height <= width else (int(side * height / width), side)


def _padded(pixels: torch.Tensor, how: Preprocess) -> torch.Tensor:
    from torchvision.transforms.v2 import functional

    down, across = max(0, how.crop[0] - pixels.shape[1]), max(0, how.crop[1] - pixels.shape[2])
    if not down and not across:
        return pixels
    edges = [across // 2, down // 2, across - across // 2, down - down // 2]
    return cast("torch.Tensor", functional.pad(pixels, edges, fill=how.fill))
