"""Names that are asked for where one is not known: the likeliest first, at a bounded cost."""

import time

import pytest

from ontology.nearest_names import NAME_LENGTH_MAX, NEAREST_MAX, ask_back, find_nearest_names
from ontology.scopes import Scope
from ontology.vocabulary import CONNECTION_TYPES, EVENT_TYPES, THING_TYPES

FIELDS = ("type", "name", "status", "properties", "groupId", "labels", "validFrom", "validTo")


@pytest.mark.parametrize(
    ("sent", "known", "meant"),
    [
        ("corse", tuple(THING_TYPES), "course"),
        ("courses", tuple(THING_TYPES), "course"),
        ("blogPost", tuple(THING_TYPES), "blog_post"),
        ("Blog Post", tuple(THING_TYPES), "blog_post"),
        ("enroled_in", tuple(CONNECTION_TYPES), "enrolled_in"),
        ("thing_craeted", tuple(EVENT_TYPES), "thing_created"),
        ("tpye", FIELDS, "type"),
        ("naem", FIELDS, "name"),
        ("group_id", FIELDS, "groupId"),
        ("VALIDTO", FIELDS, "validTo"),
        ("entity:read", tuple(Scope), "entities:read"),
    ],
)
def test_the_name_that_was_meant_comes_first(sent: str, known: tuple[str, ...], meant: str) -> None:
    assert find_nearest_names(sent, known)[0] == meant


@pytest.mark.parametrize("sent", ["", "___", "zqxj", "\x00", "日本語", "workshop", "a" * (NAME_LENGTH_MAX + 1)])
def test_nothing_is_offered_where_nothing_is_near(sent: str) -> None:
    assert find_nearest_names(sent, FIELDS) == ()


def test_every_known_name_is_nearest_to_itself() -> None:
    for known in (THING_TYPES, CONNECTION_TYPES, EVENT_TYPES):
        names = tuple(known)
        for name in names:
            found = find_nearest_names(name.upper(), names)
            assert found[0] == name
            assert len(found) <= NEAREST_MAX


def test_a_hostile_name_costs_no_more_than_a_few_milliseconds() -> None:
    """The longest that is compared, of letters that every known name has, so that nothing is ruled out early."""
    letters = "eretasiotnecomsret_iontedcrea" * 3
    sent = [letters[start : start + NAME_LENGTH_MAX] for start in range(27)] + [letters * 3000] * 100
    started = time.process_time()
    for name in sent:
        find_nearest_names(name, tuple(EVENT_TYPES))
    assert (time.process_time() - started) / len(sent) < 0.005


def test_names_are_asked_for_in_words() -> None:
    assert ask_back(["a"]) == "did you mean `a`?"
    assert ask_back(["a", "b"]) == "did you mean `a` or `b`?"
    assert ask_back(["a", "b", "c"]) == "did you mean `a`, `b` or `c`?"
