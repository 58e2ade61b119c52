"""Image bytes to usable pixels, or one reason why not.

Names are looked up when they are asked for: reasons are part of every table, and Pillow is not part of the light core.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from presel.images.decoding import Picture, decode, open_picture
    from presel.images.formats import not_an_image_by_name
    from presel.images.plainness import is_plain
    from presel.images.reasons import Reason
    from presel.images.rejected import Rejected
    from presel.images.rendering import API_VERSION, for_api, thumbnail

__all__ = [
    "API_VERSION",
    "Picture",
    "Reason",
    "Rejected",
    "decode",
    "for_api",
    "is_plain",
    "not_an_image_by_name",
    "open_picture",
    "thumbnail",
]

_HOME = {
    "Picture": "decoding",
    "decode": "decoding",
    "open_picture": "decoding",
    "not_an_image_by_name": "formats",
    "Reason": "reasons",
    "Rejected": "rejected",
    "API_VERSION": "rendering",
    "for_api": "rendering",
    "is_plain": "plainness",
    "thumbnail": "rendering",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
