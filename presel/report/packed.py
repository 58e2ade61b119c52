"""Data for the page's script, as base64 of compressed JSON.

What is in it was written by strangers and by models. In this form not a character of it can be markup, it weighs a quarter, and
the script takes it apart with `DecompressionStream` and puts it into the page as text, never as HTML.
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any


def packed(document: Any) -> str:
    """The same document, the same characters. Lone surrogates, which JSON carries and UTF-8 does not, become question marks."""
    words = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    data = words.encode("utf-8", "replace")
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def unpacked(characters: str) -> Any:
    """What `packed` was given."""
    return json.loads(gzip.decompress(base64.b64decode(characters)))
