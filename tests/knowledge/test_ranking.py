"""The arithmetic between lists of candidates and one order of documents."""

from uuid import UUID

import pytest

from knowledge.index.interface import Candidate
from knowledge.ranking import WordMatches, gather_evidence, rank, scale
from knowledge.weights import CANDIDATE_PASSAGES, DOCUMENT_WORDS_WEIGHT

FIRST, SECOND, THIRD = UUID(int=1), UUID(int=2), UUID(int=3)


def whole(document_id: UUID, score: float) -> Candidate:
    return Candidate(document_id, None, score)


def test_the_last_of_an_ended_list_of_words_is_better_than_what_has_none_of_them() -> None:
    evidence = gather_evidence([whole(FIRST, 4.0), whole(SECOND, 3.0)])
    assert scale(evidence) == {FIRST: 1.0, SECOND: 0.0}
    ended = scale(evidence, ended=True)
    assert ended[FIRST] == 1.0 and ended[SECOND] == pytest.approx(3 / 4, abs=0.1)


def test_a_document_that_has_a_word_precedes_one_that_has_none() -> None:
    words = WordMatches([], [whole(FIRST, 4.0), whole(SECOND, 3.9)], frozenset())
    meaning = [Candidate(found, found, score) for found, score in ((FIRST, 0.5), (THIRD, 0.49), (SECOND, 0.48))]
    assert [entry.document_id for entry in rank(meaning, words, 3)] == [FIRST, SECOND, THIRD]
    assert rank([], words, 3)[1].score == pytest.approx(DOCUMENT_WORDS_WEIGHT * 3.9 / 4.0, abs=0.01)


def test_a_list_that_was_cut_off_begins_at_its_last() -> None:
    passages = [Candidate(UUID(int=n), UUID(int=n), 500.0 - n) for n in range(CANDIDATE_PASSAGES)]
    last = rank([], WordMatches(passages, [], frozenset()), 100)[-1]
    assert last.score == 0.0


def test_documents_named_exactly_come_first() -> None:
    words = WordMatches([], [whole(FIRST, 4.0)], frozenset((SECOND,)))
    assert [(entry.document_id, entry.score == 1.0) for entry in rank([], words, 2)] == [(SECOND, True), (FIRST, False)]


def test_the_passage_shown_is_the_one_that_says_most_whatever_alias_led_there() -> None:
    meaning = [Candidate(FIRST, SECOND, 0.9, True), Candidate(FIRST, SECOND, 0.5), Candidate(FIRST, THIRD, 0.45)]
    words = WordMatches([Candidate(FIRST, THIRD, 4.0), Candidate(FIRST, SECOND, 1.0)], [], frozenset())
    assert [entry.passage_id for entry in rank(meaning, words, 1)] == [THIRD]
    assert [entry.passage_id for entry in rank(meaning[:1], WordMatches([], [], frozenset()), 1)] == [None]
