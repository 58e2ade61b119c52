"""`presel.irs`: the two losses of samples under a model that the caller has loaded, and their ratio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from presel.api.pictures import picture
from presel.errors import InputError
from presel.images import Reason, Rejected
from presel.reference_model import Prepared, Preparer, ReferenceModel, Turn, Unusable
from presel.reference_model.backbone import checked_processor
from presel.reference_model.score import Losses
from presel.reference_model.scoring import scored
from presel.selection.checks import real_number, whole_number
from presel.selection.relevance import not_finite, relevance, rounded

if TYPE_CHECKING:
    import pandas as pd

WHERE = "presel.irs"
_COLUMNS = ("id", "task", "response_tokens", "loss_with_question", "loss_without_question", "irs", "reason", "detail")


class _Asked(NamedTuple):
    """One sample as it was passed."""

    at: int
    id: Any
    task: Any
    image: Any
    turns: list[Turn]


def irs(
    model: Any,
    processor: Any,
    samples: Iterable[Any],
    *,
    batch_size: int = 8,
    max_length: int = 2048,
    turns: Literal["masked", "joined"] = "masked",
    loss_floor: float = 0.0,
) -> pd.DataFrame:
    """The instruction relevance score of samples: how much of a response the question explains (METHOD, step 3).

    model, processor: any `AutoModelForImageTextToText` and its `AutoProcessor` (with a chat template and a fast tokenizer), on
    any device, in float32 or bfloat16. The model is left as it was.
    samples: an iterable, read as it is scored, or a data frame. A sample is (image, question, response), or a mapping with
    `image`, `question` and `response`, or `image` and `turns` (pairs, or mappings with `question` and `response`), and, if
    wanted, `id` and `task`; the records of `presel.open_dataset` are such. An image is a PIL picture, a path, the bytes of
    a file, or uint8[h, w, 3]; it is turned upright and made RGB as the pipeline does.
    batch_size: samples at once; it changes no loss beyond float rounding. max_length: tokens; a longer sample is not cut but
    not scored. turns: "masked" or "joined", what the question-free loss of a conversation is taken over. loss_floor: nats
    below which both losses count as equal (0: the paper).

    Returns a data frame, one row a sample in the order given: id (or its number), task, response_tokens,
    loss_with_question and loss_without_question (nats per response token, rounded to 1e-6), irs (their ratio), and, where a
    sample could not be scored, NaN in their place and why: reason, detail.
    Raises ModelError for a processor that lacks what is needed, InputError for samples of another shape.
    """
    size = whole_number(batch_size, WHERE, name="batch_size", least=1)
    floor = real_number(loss_floor, WHERE, name="loss_floor", expected=">= 0")
    if turns not in ("masked", "joined") or floor < 0:
        expected = '"masked" or "joined", and loss_floor >= 0'
        raise InputError("unknown turns or loss_floor", where=WHERE, expected=expected, got=(turns, loss_floor))
    prepare = Preparer(checked_processor(processor, WHERE), max_length, turns)
    rows: dict[int, dict[str, Any]] = {}
    with _evaluating(model) as loaded:
        scorer = ReferenceModel(loaded, processor, loaded.device, loaded.dtype)
        stream = ((asked, _prepared(asked, prepare)) for asked in _asked(samples))
        for asked, losses in scored(scorer, stream, size):
            rows[asked.at] = {"id": asked.id, "task": asked.task, **_row(losses, floor)}

    import pandas as pd

    frame = pd.DataFrame([rows[at] for at in sorted(rows)], columns=list(_COLUMNS))
    numbers = dict.fromkeys(("loss_with_question", "loss_without_question", "irs"), "float64")
    return frame.astype({"response_tokens": "Int64", **numbers})


@contextmanager
def _evaluating(model: Any) -> Iterator[Any]:
    """The model without dropout, and as it was afterwards."""
    if not callable(getattr(model, "get_output_embeddings", None)):
        expected, got = "an AutoModelForImageTextToText", type(model).__name__
        raise InputError("not a model that can be scored", where=WHERE, expected=expected, got=got)
    training = model.training
    model.eval()
    try:
        yield model
    finally:
        model.train(training)


def _asked(samples: Iterable[Any]) -> Iterator[_Asked]:
    rows = samples.to_dict("records") if hasattr(samples, "columns") and hasattr(samples, "to_dict") else samples
    if isinstance(rows, Mapping | str | bytes) or not isinstance(rows, Iterable):
        raise InputError("samples must be several", where=WHERE, expected="a list", got=type(samples).__name__)
    for at, row in enumerate(rows):
        yield _one(at, row)


def _one(at: int, row: Any) -> _Asked:
    if isinstance(row, tuple | list) and len(row) == 3:
        image, question, response = row
        return _Asked(at, at, None, image, [_turn(at, (question, response))])
    if not isinstance(row, Mapping):
        raise _unreadable(at, type(row).__name__)
    image = row.get("image", getattr(row, "image", None))
    given = row.get("turns", [row])
    if image is None or isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise _unreadable(at, sorted(map(str, row)))
    name = next((row[key] for key in ("id", "sample_id") if row.get(key) is not None), at)
    return _Asked(at, name, row.get("task"), image, [_turn(at, turn) for turn in given])


def _turn(at: int, turn: Any) -> Turn:
    try:
        question, response = (turn["question"], turn["response"]) if isinstance(turn, Mapping) else turn
    except (KeyError, TypeError, ValueError):
        raise _unreadable(at, turn) from None
    if not isinstance(question, str) or not isinstance(response, str):
        raise _unreadable(at, (question, response))
    return Turn(question, response)


def _unreadable(at: int, got: object) -> InputError:
    expected = "(image, question, response), or a mapping with image and question, response or turns"
    return InputError(f"sample {at} cannot be read", where=WHERE, expected=expected, got=str(got)[:120])


def _prepared(asked: _Asked, prepare: Preparer) -> Prepared | Unusable:
    image = picture(asked.image, f"{WHERE}: sample {asked.at}")
    if isinstance(image, Rejected):
        return Unusable(image.reason, image.detail)
    return prepare(str(asked.at), image, asked.turns)


def _row(losses: Losses | Unusable, floor: float) -> dict[str, Any]:
    if isinstance(losses, Unusable):
        return {"reason": str(losses.reason), "detail": losses.detail}
    first, second = rounded(losses.with_question, losses.without_question)
    if (detail := not_finite(first, second)) is not None:
        return {"response_tokens": losses.tokens, "reason": str(Reason.LOSS_NOT_FINITE), "detail": detail}
    both = {"loss_with_question": first, "loss_without_question": second}
    return {"response_tokens": losses.tokens, **both, "irs": relevance(first, second, floor)}
