"""Is an answer certainly in another language than the one that was asked for?

A check, not a detector: it says no only when it is sure, because every no costs a second answer. Two things make it sure:
the script (an answer in Latin letters where Japanese was asked for), and, among languages of Latin script, their
commonest words. Short texts pass: nobody can tell the language of "Two.".
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from presel.errors import ConfigError

_LEAST_LETTERS = 25
_LEAST_WORDS = 4

SCRIPTS: dict[str, tuple[str, ...]] = {
    "arabic": ("ARABIC",),
    "persian": ("ARABIC",),
    "urdu": ("ARABIC",),
    "bengali": ("BENGALI",),
    "bulgarian": ("CYRILLIC",),
    "russian": ("CYRILLIC",),
    "serbian": ("CYRILLIC", "LATIN"),
    "ukrainian": ("CYRILLIC",),
    "chinese": ("CJK",),
    "greek": ("GREEK",),
    "hebrew": ("HEBREW",),
    "hindi": ("DEVANAGARI",),
    "japanese": ("HIRAGANA", "KATAKANA", "CJK"),
    "korean": ("HANGUL",),
    "tamil": ("TAMIL",),
    "telugu": ("TELUGU",),
    "thai": ("THAI",),
}
"""Language -> the scripts it is written in, as Unicode names letters."""

_COMMON = {
    "english": "the is are of and to in that it with what which this there does how",
    "german": "der die das ist sind und nicht ein eine mit auf welche wie dem den zu",
    "french": "le la les est sont et dans une un des du que quelle quel avec sur",
    "spanish": "el los las es son y en una un del que qué cuál con por hay",
    "italian": "il lo gli è sono e in una un del che quale con per di nella",
    "portuguese": "o os as é são e em uma um do da que qual com por há na no",
    "dutch": "de het is zijn en niet een met op welke wat hoe van er te",
    "swedish": "är och det en ett som på av vilken vad hur inte med den att",
    "danish": "er og det en et som på af hvilken hvad hvor ikke med den at",
    "norwegian": "er og det en et som på av hvilken hva hvor ikke med den å",
    "finnish": "on ja ovat ei se kuvassa mikä mitä kuinka että joka tai niin ovatko",
    "polish": "jest są i nie w na z że jaki jaka co ile do oraz się",
    "czech": "je jsou a ne v na s že jaký jaká co kolik do se který",
    "turkish": "bir ve bu ne var mi mı için ile kaç nedir olan da de",
    "hungarian": "a az és egy van nem hogy mi melyik hány ez is kép képen",
    "romanian": "este sunt și în o un de la cu care ce câte pe nu din",
    "indonesian": "yang dan di ini itu adalah dengan apa berapa ada pada dari tidak untuk",
    "vietnamese": "là và của có trong một những này gì bao nhiêu với được không",
}
WORDS = {language: frozenset(words.split()) for language, words in _COMMON.items()}
"""Language of Latin script -> some of its commonest words."""


def known(language: str, where: str) -> None:
    """Raises ConfigError for a language that cannot be checked."""
    if language.casefold() not in SCRIPTS.keys() | WORDS.keys():
        raise ConfigError(
            f"the language {language!r} cannot be checked",
            where=where,
            expected=f"one of {', '.join(sorted(name.title() for name in SCRIPTS.keys() | WORDS.keys()))}",
            got=language,
            fix="use the English name, or set `check_language: false`",
        )


def certainly_not(text: str, language: str) -> str | None:
    """Why a text is certainly not written in a language; None: it is, or nobody can tell."""
    wanted = language.casefold()
    letters = Counter(_script(letter) for letter in text if letter.isalpha())
    total = letters.total()
    if total < _LEAST_LETTERS:
        return None
    allowed = SCRIPTS.get(wanted, ("LATIN",))
    foreign = total - sum(letters[script] for script in allowed)
    if 2 * foreign > total:
        return f"it is not written in the letters of {language}"
    return _other_words(text, wanted, language) if wanted in WORDS else None


def _other_words(text: str, wanted: str, language: str) -> str | None:
    said = Counter(re.findall(r"\w+", text.casefold()))
    hits = {name: sum(said[word] for word in words) for name, words in WORDS.items()}
    best = max(sorted(hits), key=lambda name: hits[name])
    if hits[best] >= _LEAST_WORDS and hits[best] >= 3 * hits[wanted]:
        return f"it is written in {best.title()}, not in {language}"
    return None


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
