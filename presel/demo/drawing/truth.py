"""What is known about a drawn picture, and the few words it is said in.

The vocabulary is closed and small (a few hundred words over all tasks) so that a captioning model of five million parameters
can learn it from some ten thousand pictures; that is why counts are spelled out, why answers
follow a handful of sentence forms. Answers still differ in length, because the instruction relevance score is a mean per token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL import Image

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class QA:
    """One question about a picture and its true answer, both short natural sentences."""

    question: str
    answer: str


@dataclass(frozen=True)
class Facts:
    """The ground truth of one picture: every question that may be asked of it (at least one), and a caption."""

    questions: tuple[QA, ...]
    caption: str


class Picture(NamedTuple):
    """A finished picture (mode RGB) with its ground truth, not yet encoded."""

    image: Image.Image
    facts: Facts


def ask(*pairs: tuple[str, str], caption: str) -> Facts:
    """Facts from (question, answer) pairs."""
    return Facts(tuple(QA(question, answer) for question, answer in pairs), caption)


def an(noun: str) -> str:
    """The noun with its indefinite article: "an orange star"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def plural(noun: str) -> str:
    """Plurals of the few nouns in the vocabulary."""
    if noun.endswith(("fish", "dice")):
        return noun
    if noun == "cactus":
        return "cacti"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def several(count: int, noun: str) -> str:
    """A counted noun in words: "no stars", "one star", "two stars"."""
    return f"{NUMBERS[count]} {noun if count == 1 else plural(noun)}"


def are(count: int) -> str:
    return "is" if count == 1 else "are"


def listed(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def sentence(text: str) -> str:
    """First letter upper case, one full stop."""
    return text[0].upper() + text[1:].rstrip(".") + "."
