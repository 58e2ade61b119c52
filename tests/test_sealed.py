from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presel.errors import IntegrityError
from presel.storage.sealed import seal, unseal

ABOUT = {"what": "a note", "where": "store/note.json", "fix": "write it again"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=7), VALUES, max_size=4))
def test_what_was_sealed_is_read_back(document):
    assert unseal(seal(document, 3), 3, **ABOUT) == {**document, "format": 3}


def test_every_byte_counts():
    data = seal({"spent": 1.25, "by": "ü"}, 1)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1
        with suppress(IntegrityError):
            read = unseal(bytes(changed), 1, **ABOUT)
            # White space, or the word `sha256` itself: what the document says is untouched.
            assert {name: read[name] for name in ("spent", "by", "format")} == {"spent": 1.25, "by": "ü", "format": 1}


def test_a_document_without_a_format_is_of_the_first_and_without_a_checksum_is_believed():
    assert unseal(b'{"a": 1}', 2, **ABOUT) == {"a": 1, "format": 1}


def test_a_newer_format_is_refused_before_anything_else_is_looked_at():
    newer = {**json.loads(seal({"a": 1}, 2)), "unknown": "field"}
    with pytest.raises(IntegrityError) as caught:
        unseal(json.dumps(newer).encode(), 1, **ABOUT)
    assert "a newer presel wrote a note" in str(caught.value)
    assert (caught.value.expected, caught.value.got) == ("format 1 or older", "format 2")
    assert "upgrade" in caught.value.fix


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"\xff", b'{"format": "x"}', b'{"format": null}', b"null"])
def test_what_is_no_document_is_said_in_words(data: bytes):
    with pytest.raises(IntegrityError, match="a note cannot be read"):
        unseal(data, 1, **ABOUT)
