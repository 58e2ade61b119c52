"""What the bytes are, told from their first few: a file's name is a claim, its magic bytes are evidence.

A GIF named .jpg is a picture and is used as one; an HTML page named .jpg is not. Only formats with a widely fuzzed decoder
are opened at all. Pillow knows forty more, of which one starts Ghostscript.
"""

from __future__ import annotations

SUPPORTED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftyphei", "HEIF"),
    (4, b"ftyphevc", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"\x00\x00\x01\x00", "icon"),
)
# Two letters are little evidence: the length of the second header must be one that there is.
_BMP_HEADERS = {length.to_bytes(4, "little") for length in (12, 16, 40, 52, 56, 64, 108, 124)}
_OTHER: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF"),
    (b"%!PS", "PostScript"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x7fELF", "a program"),
    (b"PAR1", "a Parquet file"),
    (b"RIFF", "audio or video"),
)
_NEVER_IMAGES = {
    "a document": ".txt .md .pdf .doc .docx .html .htm .xml .log .ini .py .ipynb",
    "a table": ".json .jsonl .csv .tsv .yaml .yml .db .sqlite .parquet .arrow .feather",
    "arrays or weights": ".npy .npz .pkl .pt .pth .safetensors .h5 .tfrecord",
    "an archive": ".zip .tar .gz .tgz .bz2 .xz .zst .7z .rar",
    "audio or video": ".mp4 .mov .avi .mkv .webm .mp3 .wav .flac",
}
_BY_SUFFIX = {suffix: kind for kind, suffixes in _NEVER_IMAGES.items() for suffix in suffixes.split()}
_LITTER = frozenset({"thumbs.db", "desktop.ini", "ehthumbs.db"})


def sniff(data: bytes) -> str | None:
    """The picture format of these bytes, supported or not; None when they are no picture."""
    head = data[:16]
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            if name == "BMP" and len(data) > 18 and data[14:18] not in _BMP_HEADERS:
                continue
            # An ISO container says in its list of compatible brands whether AV1 pictures are in it.
            return "AVIF" if name == "HEIF" and b"avif" in data[8:64] else name
    if len(head) >= 3 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PPM"
    return None


def describe(data: bytes) -> str:
    """What bytes that are no picture seem to be, for the person who reads the reject."""
    for magic, name in _OTHER:
        if data.startswith(magic):
            return f"the bytes are {name}"
    if data[4:8] == b"ftyp":
        return "the bytes are audio or video"
    head = data[:256].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<script")):
        return "the bytes are an HTML page"
    if head.startswith((b"<?xml", b"<svg")):
        return "the bytes are XML or SVG"
    if not any(data[:512]):
        return "the bytes are zeros"
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in data[:512])
    kind = "text" if printable > 0.9 * min(len(data), 512) else "of no known picture format"
    return f"the bytes are {kind}: they begin with {data[:12]!r}"


def not_an_image_by_name(key: str) -> str | None:
    """Why nobody would expect a picture under this key; None when it may be one. Nothing is read for these."""
    parts = key.split("/")  # not pathlib, which interns every name it sees: a million of them here
    name = parts[-1].lower()
    if not name:
        return "a folder marker"
    if any(part.startswith(".") and part.strip(".") for part in parts):
        return "a hidden file, or a file in a hidden folder"
    if name in _LITTER:
        return "a file that an operating system left"
    stem, dot, suffix = name.rpartition(".")
    kind = _BY_SUFFIX.get(dot + suffix) if stem else None
    return f"{kind}, says its name" if kind else None
