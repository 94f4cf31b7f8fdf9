"""Passages in the order in which they answer, where several of one document are wanted.

The same evidence and weights as for documents (`knowledge/ranking.py`), summed for each passage by itself; what whole
documents match by their words counts for each of their passages.
"""

from collections.abc import Sequence
from uuid import UUID

from knowledge.index.interface import Candidate
from knowledge.protocol import RankedDocument
from knowledge.ranking import SCORE_DIGITS, WordMatches, fuse, gather_evidence, scale
from knowledge.weights import (
    CANDIDATE_PASSAGES,
    DENSE_WEIGHT,
    DOCUMENT_WORDS_WEIGHT,
    NORMALISED_DOCUMENTS,
    PASSAGE_WORDS_WEIGHT,
)


def rank_passages(meaning: Sequence[Candidate], words: WordMatches, limit: int) -> list[RankedDocument]:
    """The best passages, each once: those of documents named exactly first, then by fused evidence."""
    documents = {
        candidate.passage_id: candidate.document_id
        for candidate in (*words.passages, *meaning)
        if candidate.passage_id is not None
    }
    by_words = scale(_gather(words.passages), ended=len(words.passages) < CANDIDATE_PASSAGES)
    scores = fuse((DENSE_WEIGHT, scale(_gather(meaning))), (PASSAGE_WORDS_WEIGHT, by_words))
    whole = scale(gather_evidence(words.documents), ended=len(words.documents) < NORMALISED_DOCUMENTS)
    for passage_id in scores:
        scores[passage_id] += DOCUMENT_WORDS_WEIGHT * whole.get(documents[passage_id], 0.0)
    order = sorted(scores, key=lambda found: (documents[found] in words.named, scores[found]), reverse=True)
    found = [RankedDocument(documents[one], one, round(scores[one], SCORE_DIGITS)) for one in order]
    shown = {entry.document_id for entry in found}
    unshown = [RankedDocument(named, None, 1.0) for named in words.named if named not in shown]
    return [*unshown, *found][:limit]


def _gather(candidates: Sequence[Candidate]) -> dict[UUID, float]:
    """The best score of each passage: several points may lead to one."""
    found: dict[UUID, float] = {}
    for candidate in candidates:
        if candidate.passage_id is not None:
            found[candidate.passage_id] = max(candidate.score, found.get(candidate.passage_id, candidate.score))
    return found
