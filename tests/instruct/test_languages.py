from __future__ import annotations

import pytest

from presel.config import PromptConfig
from presel.errors import ConfigError
from presel.instruct.questions.dialogue import follow
from presel.instruct.questions.languages import SCRIPTS, WORDS, certainly_not
from presel.instruct.questions.parsing import Problem
from presel.instruct.questions.prompts import render
from presel.instruct.questions.request import Request
from tests.instruct.test_parsing import OPENING, answer, text

SAID = {
    "english": "What is the colour of the car in the picture? The car that stands in front of the house is red.",
    "german": "Welche Farbe hat das Auto auf dem Bild? Das Auto, das vor dem Haus steht, ist rot und nicht blau.",
    "french": "Quelle est la couleur de la voiture dans l'image ? La voiture est rouge et se trouve devant une maison.",
    "spanish": "¿Cuál es el color del coche en la imagen? El coche que hay con las puertas abiertas es rojo.",
    "japanese": "この写真の車は何色ですか。家の前に止まっている車は赤い色をしています。",
    "russian": "Какого цвета машина на картинке? Машина, которая стоит перед домом, красного цвета.",
}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("wanted", SAID)
def test_a_sentence_is_of_its_own_language_and_of_no_other(said: str, wanted: str) -> None:
    assert (certainly_not(SAID[said], wanted.title()) is None) == (said == wanted)


@pytest.mark.parametrize("language", sorted(SCRIPTS.keys() | WORDS.keys()))
@pytest.mark.parametrize("short", ["Two.", "red", "42 %", "BMW 320i", "", "Coca-Cola"])
def test_of_what_is_too_short_to_tell_nothing_is_said(language: str, short: str) -> None:
    assert certainly_not(short, language) is None


def test_names_and_numbers_in_other_letters_do_not_make_another_language() -> None:
    assert (
        certainly_not("What does the sign say? The sign above the door says 東京駅 in large letters.", "English")
        is None
    )


def test_a_language_nobody_can_check_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="Klingon"):
        render(PromptConfig(language="Klingon", check_language=True), "t")
    assert render(PromptConfig(language="Klingon"), "t")


def test_an_answer_in_another_language_is_asked_again_once_and_then_given_up() -> None:
    question, response = SAID["german"].split("? ")
    german = answer(text({"question": f"{question}?", "response": response}))
    again = follow(OPENING, [german], 1, "English")
    assert isinstance(again, Request)
    assert "written in German" in str(again.messages[-1])
    given_up = follow(OPENING, [german, german], 1, "English")
    assert isinstance(given_up, Problem)
    assert given_up.reason == "language"
    assert not isinstance(follow(OPENING, [german], 1), Problem | Request)
