from __future__ import annotations

import pickle

import pytest

from presel import errors
from presel.errors import PreselError


def every_error() -> list[type[PreselError]]:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, PreselError)]
    assert len(found) > 10
    return found


def test_a_message_says_what_where_expected_got_and_what_to_do():
    error = errors.NotFound(
        "no such object", where="s3://b/k", expected="a table", got="nothing", fix="run `presel run`"
    )
    assert str(error) == "s3://b/k: no such object; expected a table, got nothing; run `presel run`"


@pytest.mark.parametrize("kind", every_error())
def test_every_error_survives_a_process_boundary_whole(kind):
    error = kind("what", where="where", expected=1, got=2, fix="fix")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", every_error())
def test_the_tree_drawn_in_the_docstring_is_the_tree_that_is_defined(kind):
    drawing = errors.__doc__ or ""
    lines = [
        line for line in drawing.splitlines() if f" {kind.__name__} " in line.replace("|-", " ").replace("`-", " ")
    ]
    assert lines, f"{kind.__name__} is not drawn"
    depth = len(kind.__mro__) - len(PreselError.__mro__) - (1 if issubclass(kind, ValueError | ImportError) else 0)
    indent = len(lines[0]) - len(lines[0].lstrip(" |`-"))
    assert indent == 4 + 3 * depth


def test_only_what_may_pass_by_itself_is_retryable():
    assert {kind.__name__ for kind in every_error() if kind.retryable} == {"StorageUnavailable", "EndpointUnavailable"}
