"""What the bytes are, told from their first few: a file's name is a claim, its magic bytes are evidence.

A GIF named .jpg is a picture and is used as one; an HTML page named .jpg is not. Only formats with a widely fuzzed decoder
are opened at all. Pillow knows forty more, of which one starts Ghostscript.
"""

from __future__ import annotations

from presel.images.markers import frame

SUPPORTED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\x00\x10\x00\x00\x00CR", "camera raw"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (0, b"BM", "BMP"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"II\xbc", "JPEG XR"),
    (128, b"DICM", "DICOM"),
    (0, b"IIRO", "camera raw"),
    (0, b"IIRS", "camera raw"),
    (0, b"MMOR", "camera raw"),
    (0, b"IIU\x00", "camera raw"),
    (0, b"FUJIFILMCCD-RAW", "camera raw"),
    (0, b"8BPS", "Photoshop"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"\x00\x00\x01\x00", "icon"),
)
# Two letters are little evidence: the length of the second header must be one that there is.
_BMP_HEADERS = {length.to_bytes(4, "little") for length in (12, 16, 40, 52, 56, 64, 108, 124)}
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "camera raw", b"jxl ": "JPEG XL"} | dict.fromkeys(
    (b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF"
)
"""What an ISO container is, by the first of its brands that is here; AVIF goes before HEIF, whose brands it also bears."""
_TGA_KINDS = {0: (2, 3, 10, 11), 1: (1, 9)}
_ADVICE = {
    "HEIF": "install presel[formats] to read it, or convert it",
    "JPEG XL": "install presel[formats] to read it, or convert it",
    "DICOM": "install presel[formats] to read it, or convert it",
    "camera raw": "develop it first",
}
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
    if data[4:8] == b"ftyp":
        return _iso(data)
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, offset):
            if name == "BMP" and len(data) > 18 and data[14:18] not in _BMP_HEADERS:
                continue
            return _jpeg(data) if name == "JPEG" else name
    if len(data) >= 3 and data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return "PPM"
    return _without_magic(data)


def _iso(data: bytes) -> str | None:
    """A container lists the brands of what is in it, and the first is not always the telling one."""
    length = min(int.from_bytes(data[:4], "big"), 512)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, length - 3, 4))]
    found = {_BRANDS[brand] for brand in brands if brand in _BRANDS}
    return next((kind for kind in ("AVIF", "camera raw", "JPEG XL", "HEIF") if kind in found), None)


def _jpeg(data: bytes) -> str:
    """JPEG, or what else begins so: other methods of the same committee, or colours of more than eight bits."""
    found = frame(data)
    if found is None:
        return "JPEG"
    if found.coding == 0xF7:
        return "JPEG-LS"
    if found.coding in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF):
        return "hierarchical JPEG"
    return f"{found.precision}-bit JPEG" if found.precision in (12, 16) else "JPEG"


def _without_magic(data: bytes) -> str | None:
    """Formats of the eighties, known by a header of which every field makes sense."""
    head = data[:18]
    if len(head) < 18:
        return None
    if head[0] == 10 and head[1] in (0, 2, 3, 4, 5) and head[2] == 1 and head[3] in (1, 2, 4, 8):
        return "PCX"
    signed = data[-18:-2] == b"TRUEVISION-XFILE"
    size = int.from_bytes(head[12:14], "little"), int.from_bytes(head[14:16], "little")
    mapped = head[1] in _TGA_KINDS and head[2] in _TGA_KINDS[head[1]] and (head[1] or not any(head[3:8]))
    if signed or (mapped and all(size) and head[16] in (8, 15, 16, 24, 32) and not head[17] & 0xC0):
        return "TGA"
    return None


def unsupported(kind: str) -> str:
    """What to tell somebody whose picture is of a kind that is known and not read."""
    return f"{kind} is not read here: {_ADVICE.get(kind, 'convert it to PNG or JPEG first')}"


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
