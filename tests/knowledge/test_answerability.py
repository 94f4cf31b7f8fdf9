"""The decision what to do with a question, from how near it is to what."""

from typing import Any

import pytest

from knowledge.answerability import (
    ANSWERABLE_FROM,
    SINGLE_PASSAGE_COSTS,
    Likeness,
    decide,
    list_examples,
    measure_error,
)

FAR = dict.fromkeys(list_examples(), (0.2, 0.2, 0.2))


def near(passage: float = 0.6, unknown_words: float = 0.0, **examples: float) -> Likeness:
    lists = FAR | {name: (nearness,) * 3 for name, nearness in examples.items()}
    return Likeness((passage,) * 3, lists, unknown_words)


def test_examples_are_questions_of_every_subject_and_none_stands_in_two_lists() -> None:
    lists = list_examples()
    assert set(lists) == {"elsewhere", "absent", "foreign_errors", "docs", "errors", "usage", "limits", "keys"}
    texts = [text for examples in lists.values() for text in examples]
    assert len(texts) == len(set(texts)) and all(len(examples) >= 10 for examples in lists.values())


def test_a_question_nearer_to_other_subjects_is_refused() -> None:
    assert decide("what is a group", near(0.6, elsewhere=0.4)).answerable
    refused = decide("what is a pod", near(0.6, elsewhere=0.6 - ANSWERABLE_FROM + 0.01))
    assert not refused.answerable and refused.margin < 0


def test_a_message_is_held_against_other_subjects_and_against_errors_of_other_programs() -> None:
    likeness = near(0.6, elsewhere=0.4, foreign_errors=0.7)
    assert measure_error(likeness) == pytest.approx((0.2, -0.1))
    assert measure_error(Likeness((), likeness.examples)) == (-1.0, -1.0)


def test_a_question_nearer_to_what_is_missing_here_is_refused() -> None:
    assert decide("what is a group", near(0.6, elsewhere=0.4, absent=0.4)).answerable
    assert not decide("two-factor sign-in", near(0.6, elsewhere=0.4, absent=0.7)).answerable


def test_a_caller_whose_texts_are_nearer_is_answered_about_what_is_missing_here() -> None:
    assert decide("two-factor sign-in", near(0.8, elsewhere=0.4, absent=0.7)).answerable


def test_one_passage_of_ones_own_answers_by_itself_where_it_is_nearer_by_enough() -> None:
    others = near(elsewhere=0.5).examples
    enough = 0.5 + SINGLE_PASSAGE_COSTS + ANSWERABLE_FROM + 0.01
    assert decide("what is a group", Likeness((enough, 0.2, 0.1), others, own_passage=enough)).answerable
    assert not decide("what is a group", Likeness((enough, 0.2, 0.1), others, own_passage=enough - 0.02)).answerable
    assert not decide("what is a group", Likeness((enough, 0.2, 0.1), others)).answerable


def test_a_question_in_words_that_nobody_here_uses_is_refused() -> None:
    assert decide("what is a group", near(0.6, elsewhere=0.5)).answerable
    assert not decide("what is a groupoid", near(0.6, 0.6, elsewhere=0.5)).answerable


def test_where_nothing_can_be_read_nothing_is_answered() -> None:
    assert not decide("what is a group", Likeness((), FAR)).answerable


@pytest.mark.parametrize(
    ("question", "likeness", "about"),
    [
        ("when do my keys expire", {"keys": 0.7}, "keys"),
        ("Please show our limits", {"limits": 0.7, "usage": 0.5}, "limits"),
        ("when do keys expire", {"keys": 0.7}, None),  # nobody's own
        ("show me how keys expire", {"keys": 0.7}, None),
        ("a new key had more rights than mine", {"keys": 0.7}, None),  # says, and does not ask
        ("how do I rotate my key", {"keys": 0.6, "docs": 0.7}, None),  # asked of the documentation
        ("when do my keys expire", {"keys": 0.7, "passage": 0.9}, None),  # a page says that better
        ("when do my keys expire", {"keys": 0.7, "passage": 0.8}, "keys"),  # pages have questions as aliases
        ("what do my cats eat", {"keys": 0.3}, None),
    ],
)
def test_who_asks_about_their_own_is_known(question: str, likeness: dict[str, Any], about: str | None) -> None:
    assert decide(question, near(**likeness)).about == about
