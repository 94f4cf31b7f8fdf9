"""Which sentences of which sources make an answer: quoted as they stand, the best source first.

More sources are read than cited: of ten, those five for which the score of the search and that of their best sentence
together are highest. On the development sets of `benchmarks/evaluation/own` the first five hold a right page for .901
of the answerable questions, five so chosen for .920 (weights of .5 to 1.5 for .916 to .920, seven read for .912). Put
into that order as well, the first three would be right less often (.840 instead of .851), so the search's stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from knowledge.quotes import Quote, count_shared_words, score_sentences
from knowledge.search import Hit
from ontology.records import Record

SOURCES_READ, SOURCES_MAX = 10, 5
BEST_SENTENCE_WEIGHT = 1.0
# Of the best source so many sentences and its code, of each other one; compared are so many of each.
SENTENCES_OF_FIRST, SENTENCES_COMPARED = 3, 10
# A sentence further below the best of its source than this says something else; one below the floor says nothing, but
# for those of the best source: what is asked for by name is seldom said again in the page of that name.
SPREAD_MAX, SCORE_MIN = 0.15, 0.05


class AnswerPart(Record):
    """A piece of an answer: a sentence as it stands in its document, a code block with its language, or Markdown.

    One that is `related` says something beside: it is further from the question than what answers it.
    """

    kind: Literal["sentence", "code", "markdown"]
    text: str
    language: str | None = None
    citations: list[int]
    related: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A passage of a document that may answer, with what may be quoted of it; a document may have two of them."""

    number: int
    hit: Hit
    quotes: tuple[Quote, ...]


Scored = tuple[Source, list[tuple[Quote, float]]]


def drop_repeated(sources: Sequence[Source]) -> list[Source]:
    """The first source of each document."""
    return list({source.hit.document_id: source for source in reversed(sources)}.values())[::-1]


def compared_sentences(sources: Sequence[Source]) -> list[str]:
    """The sentences that are compared with the question, source by source."""
    return [quote.text for source in sources for quote in _compared(source)]


def choose_parts(question: str, sources: Sequence[Source], cosines: Sequence[float]) -> list[AnswerPart]:
    """The sentences that come nearest, best source first; `cosines` are those of all compared sentences, in order."""
    scored = _keep_best(list(_score(question, sources, cosines)))
    parts: list[AnswerPart] = []
    given: set[str] = set()
    nearest = max((score for _, sentences in scored for _, score in sentences), default=0.0)
    for place, (source, sentences) in enumerate(scored):
        # Documents repeat each other; a sentence is said once.
        new = [(quote, score) for quote, score in sentences if quote.text not in given]
        chosen = _choose(new, SENTENCES_OF_FIRST, -1.0) if place == 0 else _choose(new, 1, SCORE_MIN)
        given |= {quote.text for quote in chosen}
        related = place > 0 and max((score for _, score in new), default=0.0) < nearest - SPREAD_MAX
        parts += [
            AnswerPart(kind="sentence", text=quote.text, citations=[source.number], related=related) for quote in chosen
        ]
        if place == 0 and chosen and not any(quote.is_row for quote in chosen):
            parts += _code_beside(source, chosen)
    return parts


def _score(question: str, sources: Sequence[Source], cosines: Sequence[float]) -> Iterator[Scored]:
    """Each source that has sentences, with how well each of them answers."""
    place = 0
    for source in sources:
        compared = _compared(source)
        own = cosines[place : place + len(compared)]
        place += len(compared)
        if compared:
            scores = score_sentences(question, [quote.text for quote in compared], own)
            yield source, _keep_best_row(question, list(zip(compared, scores, strict=True)))


def _keep_best_row(question: str, scored: list[tuple[Quote, float]]) -> list[tuple[Quote, float]]:
    """Of rows the one that has most words of the question: names of columns, which all have, tell none apart."""
    rows = [entry for entry in scored if entry[0].is_row]
    if len(rows) < 2:
        return scored
    best = max(rows, key=lambda entry: (count_shared_words(question, entry[0].text), entry[1]))
    return [entry for entry in scored if not entry[0].is_row or entry is best]


def _keep_best(scored: Sequence[Scored]) -> list[Scored]:
    """Those that answer best, by how the search ranks them and by their best sentence, in the order of the search.

    Of each document the passage with the best sentence.
    """
    best = {entry[0].hit.document_id: entry for entry in sorted(scored, key=_weigh)}
    by_evidence = sorted(best.values(), key=_weigh, reverse=True)[:SOURCES_MAX]
    kept = {source.number for source, _ in by_evidence}
    return [entry for entry in scored if entry[0].number in kept]


def _weigh(entry: Scored) -> float:
    source, sentences = entry
    return source.hit.score + BEST_SENTENCE_WEIGHT * max(score for _, score in sentences)


def _choose(scored: Sequence[tuple[Quote, float]], most: int, least: float) -> list[Quote]:
    """The best few, in reading order."""
    if not scored:
        return []
    best = max(score for _, score in scored)
    ranked = sorted(scored, key=lambda entry: entry[1], reverse=True)[:most]
    chosen = [quote for quote, score in ranked if score >= max(best - SPREAD_MAX, least)]
    return sorted(chosen, key=lambda quote: quote.place)


def _code_beside(source: Source, chosen: Sequence[Quote]) -> list[AnswerPart]:
    """The first code of the passage that follows what was chosen."""
    code = next(
        (quote for quote in source.quotes if quote.language is not None and quote.place > chosen[0].place), None
    )
    if code is None:
        return []
    return [AnswerPart(kind="code", text=code.text, language=code.language or "text", citations=[source.number])]


def _compared(source: Source) -> list[Quote]:
    return [quote for quote in source.quotes if quote.language is None][:SENTENCES_COMPARED]
