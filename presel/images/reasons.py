"""Why an image gave no instruction: one reason from this list, and a detail in words.

A pool of a million images always holds some that are not images, and of a million answers some cannot be used. Each of them is
one row in `rejects`, never an exception and never a silent gap. The list is closed, so that reports can group by it, and
nothing else may be written there. docs/rejects.md is this list.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A reason as it stands in `rejects.reason`; `explanation` is the sentence a person reads."""

    explanation: str

    def __new__(cls, value: str, explanation: str = "") -> Reason:
        member = str.__new__(cls, value)
        member._value_ = value
        member.explanation = explanation
        return member

    # The image cannot be used: listed = usable + rejected, of each task.
    NO_TASK = (
        "no_task",
        "No task is known: the object lies at the root of a source whose folders are tasks, or the mapping does not name it.",
    )
    ARCHIVED = "archived", "The object is in cold storage and must be restored before it can be read."
    UNREADABLE = "unreadable", "The object was listed, but could not be read: it is gone, forbidden, or no plain file."
    CHANGED = "changed", "The object was overwritten between listing and reading; the next refresh sees the new one."
    ZERO_BYTE = "zero_byte", "The object is empty."
    NOT_AN_IMAGE = "not_an_image", "The bytes, or the name, are those of something that is not a picture."
    TRUNCATED = "truncated", "The picture ends before its own structure says it should."
    TOO_MANY_PIXELS = "too_many_pixels", "The header announces more pixels than `max_pixels`; nothing was decoded."
    TOO_SMALL = "too_small", "The shorter side is below `min_side`."
    ASPECT_RATIO = "aspect_ratio", "The longer side is more than `max_aspect_ratio` times the shorter one."
    UNDECODABLE = "undecodable", "It is a picture, but corrupt, or of a format that is not supported."
    NOT_FINITE = "not_finite", "The encoder returned a vector of zeros or one that holds NaN or infinity."
    DUPLICATE = "duplicate", "The same bytes are already a sample of this task under another key."
    HELD_OUT = "held_out", "It is an image of a test, or nearly one (`exclude`): training on it would spoil the test."

    # The image is usable, and was passed over.
    NEAR_DUPLICATE = (
        "near_duplicate",
        "It looks like an earlier pick or a reference image of its cluster (`selection.near_duplicate`).",
    )

    # The provider, or the model in its answer, would not speak about the picture.
    CONTENT_FILTER = "content_filter", "The provider's filter stopped the answer."
    DECLINED = "declined", "The provider refused the request with an error about this picture."
    REFUSED = "refused", "The model answered that it will not speak about the picture, or the person skipped it."

    # The prompt shows a text that is not there.
    NO_CAPTION = "no_caption", "The prompt shows the text beside the picture, and there is none (`source.captions`)."

    # The answer, and the one after a second request, could not be used.
    INVALID_JSON = "invalid_json", "The answer holds no JSON with turns."
    SCHEMA = "schema", "The answer does not fit the JSON schema that was asked for."
    EMPTY = "empty", "The answer, or a question or a response in it, is empty."
    TURNS = "turns", "The answer has fewer turns than were asked for."
    ALTERNATION = "alternation", "A question is asked twice, or a response says its question back."
    PLACEHOLDER = "placeholder", "A turn holds an image placeholder such as `<image>`."
    LENGTH = (
        "length",
        "The answer stops in the middle: at the limit of output tokens, or where no server says that it ends.",
    )
    TOO_LONG = (
        "too_long",
        "A turn has more than 20,000 characters; when scoring, the sample has more tokens than `reference_model.max_length`.",
    )
    LANGUAGE = "language", "The answer is not in the language that was asked for."
    JUDGED_UNFIT = "judged_unfit", "The judge pass, if it is on, did not accept the answer."

    # No answer came.
    TIMEOUT = "timeout", "No try brought an answer in time, while other requests got theirs."
    CONNECTION = "connection", "The connection broke at every try, while other requests got their answers."
    SERVER_ERROR = "server_error", "The server failed at every try, while other requests got their answers."
    BROKEN_BODY = "broken_body", "What came could not be read at any try, while other requests got their answers."
    THROTTLED = "throttled", "The server said 429 to every try, while other requests got their answers."
    UNAVAILABLE = "unavailable", "Nobody got an answer meanwhile; the next run asks again."
    CAP_REACHED = (
        "cap_reached",
        "The money cap was reached first (`generator.on_cap: publish`); a run with a higher cap asks again.",
    )
    PENDING = (
        "pending",
        "People are asked (`presel handoff`), and nothing has come back yet; the next run takes what has come.",
    )

    # What people hand in is no answer to what they were asked: only in what `presel handin` says.
    FOREIGN = "foreign", "It names no picture that was handed out, or another one than it was handed out for."
    ANSWERED = "answered", "It says something else than what is in the ledger by the same person; the first counts."

    # The reference model could not score the sample; its task's weight comes from the others.
    LOSS_NOT_FINITE = "loss_not_finite", "A loss is NaN or infinite."
    CONTROL_TOKEN = "control_token", "A turn holds a control token of the reference model's tokenizer."
    EMPTY_RESPONSE = "empty_response", "The reference model's tokenizer leaves nothing of a response."
    TOKENS_DIFFER = "tokens_differ", "The response is tokenised otherwise without its question, or by the server."
    NO_VERDICT = "no_verdict", "The judge (`reference_model.verdict`) said neither yes nor no."
    NOT_IMPORTED = "not_imported", "The imported table has no row for the sample."


PASSING = frozenset({Reason.UNREADABLE, Reason.CHANGED, Reason.ARCHIVED})
"""Reasons that say something about the moment, not about the picture: a refresh reads it again."""

WITHOUT_ANSWER = frozenset(
    {Reason.TIMEOUT, Reason.CONNECTION, Reason.SERVER_ERROR, Reason.BROKEN_BODY, Reason.THROTTLED, Reason.UNAVAILABLE}
)
"""Reasons for which nobody has refused the picture: it is asked about again, by the next run or on another day."""
