"""ICC profiles as somebody else might have made them, and what colours they give, computed from their definition."""

from __future__ import annotations

import struct

import numpy as np

WHITE = np.array([0.9642, 1.0, 0.8249])
"""D50, in XYZ."""
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
SWAPPED = SRGB[:, [1, 2, 0]]


def profile(name: str, gamma: float, primaries: np.ndarray | None = None, padding: int = 0) -> bytes:
    """Of RGB with these primaries (columns, XYZ), or of grey."""
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)),
        (b"cprt", b"text\0\0\0\0x\0"),
        (b"wtpt", _xyz(WHITE)),
    ]
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))
    if primaries is None:
        tags.append((b"kTRC", curve))
    else:
        for letter, column in zip((b"r", b"g", b"b"), primaries.T, strict=True):
            tags += [(letter + b"XYZ", _xyz(column)), (letter + b"TRC", curve)]
    if padding:
        tags.append((b"pad ", b"text\0\0\0\0" + np.random.default_rng(0).bytes(padding)))
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for kind, content in tags:
        table += kind + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    space = b"RGB " if primaries is not None else b"GRAY"
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4xI4s4s4s", size, 0x02400000, b"mntr", space, b"XYZ ") + struct.pack(
        ">6H", 2024, 1, 1, 0, 0, 0
    )
    head += b"acsp" + bytes(28) + _xyz(WHITE)[8:]
    return head.ljust(128, b"\0") + table + body


def shown(values: np.ndarray, gamma: float, primaries: np.ndarray | None = None) -> np.ndarray:
    """(..., 3) sRGB levels, as floats, of (..., 1 or 3) values between 0 and 1."""
    light = values**gamma
    if primaries is not None:
        light = np.clip(light @ primaries.T @ np.linalg.inv(SRGB).T, 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.broadcast_to(255 * curve, (*values.shape[:-1], 3))


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65_536)) for value in values)
