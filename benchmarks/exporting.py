"""How fast a version is exported, beside who only copies: `python -m benchmarks.exporting --images 2000`.

JPEGs of about 100 KB in a folder, and a published version of all of them. In one run: reading the files, rclone's
copying where it is installed, and the exports `llava` (files) and `hf` (Parquet). Each writes a fresh folder on the
same disk, and the pictures are in the page cache for all of them.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from presel.export import export_version
from tests.export.pool import publish
from tests.image_files import encoded


def picture(number: int) -> bytes:
    """A JPEG of about 100 KB that no other number gives."""
    chance = np.random.default_rng(number)
    noise = chance.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    return encoded(image, "JPEG", quality=92)


def timed(what: str, images: int, size: float, work: Callable[[], object]) -> None:
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    print(f"{what:34} {seconds:7.1f} s {images / seconds:8.0f} pictures/s {size / seconds / 1e6:7.0f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory(prefix="presel-exporting-") as name:
        root = Path(name)
        made = publish(root, {f"a/{number:06d}.jpg": picture(number) for number in range(images)})
        pool = root / "pool"
        size = sum(file.stat().st_size for file in pool.rglob("*.jpg"))
        print(f"{images:,} pictures, {size / images / 1e3:.0f} KB each")
        timed("reading alone", images, size, lambda: [file.read_bytes() for file in pool.rglob("*.jpg")])
        if rclone := shutil.which("rclone"):
            timed(
                "rclone copy", images, size, lambda: subprocess.run([rclone, "copy", pool, root / "rclone"], check=True)
            )
        for trainer in ("llava", "hf"):
            config = made.exporting(root / trainer, trainer)
            timed(f"export --for {trainer}", images, size, lambda config=config: export_version(made.dataset, config))
        timed("export --for hf, again", images, size, lambda: export_version(made.dataset, config))


if __name__ == "__main__":
    main()
