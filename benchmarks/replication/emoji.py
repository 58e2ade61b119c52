"""A pool of pictures by other people: three vendors' emoji, as npm packages ship them, in thirteen tasks of unequal size.

    python -m benchmarks.replication.emoji --to FOLDER

Noto (Google, Apache-2.0) and Twemoji (CC BY 4.0) as PNG files of 64 pixels, Fluent (Microsoft, MIT) as WebP of 256, all with
transparency: about 10,900 pictures. Names, kinds and skin tones are Unicode's, as `emoji-datasource` (MIT) lists them. Five
skin tones of one emoji are near-copies that nobody made for a test. All tones of a vendor's drawing are in one split, so a
test picture's like may be in the pool by another vendor's hand, never in another tone by the same.

Packages are fetched by `npm pack` and never committed.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from benchmarks.replication.pools import Row, write

NOTO, TWEMOJI = "emoji-datasource-google@16.0.0", "emoji-datasource-twitter@16.0.0"
FLUENT = "@lobehub/fluent-emoji-3d@1.1.0"
PACKAGES = {
    "noto": (NOTO, "package/img/google/64/"),
    "twemoji": (TWEMOJI, "package/img/twitter/64/"),
    "fluent": (FLUENT, "package/assets/"),
}  # fmt: skip
SPLITS = (("base", 0.4), ("pool", 0.85), ("test", 1.0))
"""Split, and the share of drawings up to its end."""
TONES = {
    "1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark",
}  # fmt: skip
_PEOPLE = {"person-role": "role", "person-fantasy": "role", "person-activity": "activity", "person-resting": "activity",
           "person-sport": "activity", "family": "family"}  # fmt: skip
_OTHERS = {"Smileys & Emotion": "smiley", "Animals & Nature": "animal", "Food & Drink": "food", "Activities": "event",
           "Travel & Places": "travel", "Objects": "object", "Symbols": "symbol", "Flags": "flag"}  # fmt: skip
_NAME = {"flag": "Which flag is this?", "smiley": "What does it express?", "role": "What does this person do?",
         "activity": "What is this person doing?", "symbol": "What does this sign mean?"}  # fmt: skip


class Emoji(NamedTuple):
    """One emoji in one tone; `of` is its code without a tone."""

    code: str
    of: str
    name: str
    task: str
    kind: str
    tone: str


def make(folder: Path, seed: int = 0) -> Path:
    """A folder as `pools.Pool` reads it, unless it is there."""
    if (folder / "truth.jsonl").exists():
        return folder
    with tempfile.TemporaryDirectory() as kept:
        files = {vendor: _fetched(package, Path(kept)) for vendor, (package, _) in PACKAGES.items()}
        known = list(_listed(files["noto"]))
        rows = [row for vendor in PACKAGES for row in _rows(vendor, files[vendor], known, folder, seed)]
    write(folder, rows)
    return folder


def _fetched(package: str, folder: Path) -> Path:
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), package]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    return folder / done.stdout.split()[-1]


def _listed(package: Path) -> Iterator[Emoji]:
    """Every emoji in every tone that is one for all its people."""
    with tarfile.open(package) as tar:
        for found in json.loads(_read(tar, tar.getmember("package/emoji.json"))):
            task = _task(found["category"], found["subcategory"])
            if task is None:
                continue
            named = (found["name"].lower(), task, found["subcategory"].replace("-", " "))
            code = found["unified"].lower()
            yield Emoji(code, code, *named, "")
            for tones, variant in found.get("skin_variations", {}).items():
                if tones in TONES:
                    yield Emoji(variant["unified"].lower(), code, *named, TONES[tones])


def _task(category: str, kind: str) -> str | None:
    if category != "People & Body":
        return _OTHERS.get(category)
    return _PEOPLE.get(kind, "person" if kind.startswith("person") else "hand")


def _rows(vendor: str, package: Path, known: list[Emoji], folder: Path, seed: int) -> Iterator[Row]:
    """The vendor's pictures, written below `folder/images` as they are in the package."""
    prefix, by_code = PACKAGES[vendor][1], {_plain(emoji.code): emoji for emoji in known}
    with tarfile.open(package) as tar:
        for member in tar:  # in the file's order: a step back would unpack it all again
            path = Path(member.name)
            emoji = by_code.get(_plain(path.stem.lower())) if member.name.startswith(prefix) else None
            if emoji is None:
                continue
            key = f"{emoji.task}/{vendor}-{emoji.code}{path.suffix}"
            data = _read(tar, member)
            (folder / "images" / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / "images" / key).write_bytes(data)
            place = Random(f"{seed}/{vendor}/{emoji.of}").random()
            split = next(name for name, end in SPLITS if place < end)
            yield Row(key, emoji.task, split, tuple(_questions(emoji, vendor, data)), _caption(emoji))


def _plain(code: str) -> str:
    """Vendors differ in where they write the variation selector."""
    return code.replace("-fe0f", "")


def _questions(emoji: Emoji, vendor: str, data: bytes) -> Iterator[tuple[str, str]]:
    yield _NAME.get(emoji.task, "What is it?"), emoji.name
    if emoji.task == "flag":
        return
    yield "What kind of thing is it?", emoji.kind
    if emoji.tone:
        yield "Which skin tone is it?", emoji.tone
    else:
        yield "Which colour is most of it?", colour_of(data)
    if emoji.task in ("object", "travel", "food"):
        yield "Who drew it?", vendor


def _caption(emoji: Emoji) -> str:
    tone = f", {emoji.tone} skin" if emoji.tone else ""
    return f"{emoji.name}{tone}: {emoji.kind}"


def colour_of(data: bytes) -> str:
    """The commonest of ten colour names among the pixels that are not transparent."""
    import numpy as np
    from PIL import Image

    rgba = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    hue, saturation, value = np.moveaxis(np.asarray(Image.fromarray(rgba[..., :3]).convert("HSV")), -1, 0)
    names = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "grey", "white"]
    shade = np.digitize(hue, [10, 28, 48, 118, 186, 212, 242]) % 7
    plain = np.digitize(value, [80, 200]) + 7
    coloured = (saturation >= 50) & (value >= 50)
    found = np.where(coloured, shade, plain)[rgba[..., 3] > 127]
    return names[int(np.bincount(found, minlength=len(names)).argmax())] if len(found) else "none"


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, member.name
    return file.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    given = parser.parse_args()
    make(given.to, given.seed)


if __name__ == "__main__":
    main()
