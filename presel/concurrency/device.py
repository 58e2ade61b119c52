"""Where torch computes: what `device: auto` means on this machine, and what a key says about it.

A CPU computes in float32, a GPU in bfloat16 and in another order: the results agree to a tolerance (docs/operations.md), not to
the byte. So the two are two outputs under two keys. A CPU's key is what it was before there was a word for it.
"""

from __future__ import annotations

from importlib.util import find_spec


def resolved(asked: str) -> str:
    """cpu or cuda. `asked`: cpu, cuda, or auto: a GPU where torch sees one. What is asked for need not be there."""
    if asked != "auto":
        return asked
    if find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def in_key(asked: str) -> str | None:
    """What a key says of it: nothing of a CPU."""
    return "cuda" if resolved(asked) == "cuda" else None
