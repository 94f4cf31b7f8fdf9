"""Mistyped words, held against the words of the real documentation."""

import pytest

from knowledge.lexicon import Lexicon, read_vocabulary
from knowledge.model_files import find_model, list_words
from knowledge.sources import DOCS_DIR


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon(read_vocabulary(DOCS_DIR), list_words(find_model()))


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("pagniation", "pagination"),
        ("how do I rotatte my kyes", "how do I rotate my keys"),
        ("acess denied, errror 403", "access denied, error 403"),
        ("conections between enitites", "connections between entities"),
        # Still being typed; only the last word can be.
        ("idempo", "idempotency"),
        ("idempo key", "idempo key"),
        # Names, and words that are like none.
        ("SAML", "SAML"),
        ("blorf gnarl", "blorf gnarl"),
        ("API-Schlüssel", "API-Schlüssel"),
        # Right as they are.
        ("Pagination of events", "Pagination of events"),
    ],
)
def test_a_word_that_nobody_knows_is_read_as_its_nearest(lexicon: Lexicon, typed: str, read: str) -> None:
    assert lexicon.correct(typed, lambda word: False) == read


def test_a_word_that_somebody_knows_is_left_alone(lexicon: Lexicon) -> None:
    asked: list[str] = []

    def is_known(word: str) -> bool:
        asked.append(word)
        return word == "kyes"

    assert lexicon.correct("keys for Kyes and evnets", is_known) == "keys for Kyes and events"
    assert asked == ["kyes", "evnets"]


def test_long_queries_are_left_alone(lexicon: Lexicon) -> None:
    text = "pagniation " * 13
    assert lexicon.correct(text, lambda word: False) == text


@pytest.mark.parametrize(
    ("text", "is_rubbish"),
    [("blorf gnarl", True), ("asdf", True), ("replace blorf", False), ("pagination", False), ("404 ???", False)],
)
def test_rubbish_has_no_word_of_the_language(lexicon: Lexicon, text: str, is_rubbish: bool) -> None:
    assert lexicon.is_rubbish(text) is is_rubbish
    assert not Lexicon().is_rubbish(text)
