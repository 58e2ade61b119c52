"""Two seeded pools of unit vectors for the benchmarks: one with clusters to find, one without.

`clustered`: coarse themes, each with many kinds, kinds of very different size (Zipf) and tightness, and 5 % of rows that
are near-copies (cosine about 0.999) of another row: what an image embedding of a curated pool looks like.
`diffuse`: one Gaussian cloud whose variance falls off as a power law over the dimensions: no cluster is real, which is
the hard case for everything that prunes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


def clustered(n: int, d: int, kinds: int, seed: int) -> Matrix:
    generator = np.random.default_rng(seed)
    themes = max(2, int(kinds**0.5))
    theme = _normal(generator, themes, d)
    centre = theme[generator.integers(0, themes, kinds)] + _normal(generator, kinds, d)
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    size = 1 / (np.arange(kinds) + kinds / 10)
    kind = generator.choice(kinds, n, p=size / size.sum())
    rows = _normal(generator, n, d)
    rows *= generator.uniform(0.5, 1.1, kinds).astype(np.float32)[kind][:, None]
    rows += centre[kind]
    copies = generator.choice(n, n // 20, replace=False)
    rows[copies] = rows[generator.integers(0, n, len(copies))] + 0.03 * _normal(generator, len(copies), d)
    return _unit(rows)


def diffuse(n: int, d: int, seed: int) -> Matrix:
    generator = np.random.default_rng(seed)
    rows = _normal(generator, n, d)
    rows *= (np.arange(1, d + 1, dtype=np.float32) ** -0.5)[None, :]
    return _unit(rows)


def _normal(generator: np.random.Generator, n: int, d: int) -> Matrix:
    """Gaussian rows of mean length 1."""
    return generator.standard_normal((n, d), dtype=np.float32) / np.float32(d**0.5)


def _unit(rows: Matrix) -> Matrix:
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows
