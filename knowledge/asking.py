"""From a question to an answer with its citations, or to the plain statement that it is not answered here.

1. ``find_sources``   search, and the decision whether what was found answers (``answerability``); text comes from the
                      database under row-level security, so an answer can only hold what its asker may read
2. ``answer``         sentences quoted as they stand (``quotes``, ``extraction``); or, with a generator, what it writes
                      from the best passages, as far as its claims hold (``claims``); when it fails, the quotations

The second step needs no transaction, so nothing is held while a model writes.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

from sqlalchemy.orm import load_only
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from knowledge.answerability import Decision, decide
from knowledge.claims import ApiNames, check_claims
from knowledge.client import KnowledgeClient
from knowledge.extraction import (
    SOURCES_MAX,
    SOURCES_READ,
    AnswerPart,
    Source,
    choose_parts,
    compared_sentences,
    drop_repeated,
)
from knowledge.generator import Generator, GeneratorFailed
from knowledge.index.interface import SearchScope
from knowledge.prompts import NOT_ANSWERED, write_messages
from knowledge.protocol import SearchRequest
from knowledge.quotes import Quote, list_quotes
from knowledge.search import LIMIT_MAX, Hit, load_beginnings, search
from ontology.actors import PLATFORM_ORG_ID, Actor
from ontology.ids import KnowledgeId
from ontology.knowledge_items import KnowledgeItem
from ontology.records import Record

logger = logging.getLogger(__name__)

QUESTION_CHARACTERS_MAX = 2_000
NEAREST_MAX = 5
_NOTHING_FOUND = "Nothing here answers that. The pages that come nearest are below."
_EMPTY = "Nothing here answers that, and nothing comes near it."
_FELL_BACK = "The generator gave no usable answer; these are quotations instead."


class Citation(Record):
    """A passage that the answer rests on."""

    number: int
    kind: str
    document_id: KnowledgeId
    external_id: str | None = None
    title: str
    heading_path: list[str]
    url: str | None = None
    text: str


class NearPage(Record):
    """A document that comes near an unanswered question."""

    kind: str
    document_id: KnowledgeId
    external_id: str | None = None
    title: str
    url: str | None = None


class Answer(Record):
    """An answer, or the statement that there is none. `text` holds all parts, with `[1]` for the first citation.

    `method` is how it was made: `extracted` from documents, `generated` from them by a model, or `figures` of the
    caller's own; `request` is then the call that gives the same.
    """

    answered: bool
    method: Literal["extracted", "generated", "figures"]
    text: str
    parts: list[AnswerPart]
    citations: list[Citation]
    nearest: list[NearPage]
    request: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A question with what was found and what was decided; all that is needed to answer it."""

    question: str
    owner: UUID
    decision: Decision
    sources: tuple[Source, ...]
    nearest: tuple[NearPage, ...]


@dataclass(frozen=True, slots=True)
class Restart:
    """What was sent so far is void: the answer begins anew."""

    note: str


async def find_sources(
    session: AsyncSession, actor: Actor, client: KnowledgeClient, question: str, *, group_id: UUID | None = None
) -> Found:
    """What the actor may read of what comes near, with the decision whether that answers.

    Raises:
        SearchUnavailable: the knowledge process does not answer in time.
    """
    scope = SearchScope(actor.org_id, actor.group_id, actor.ancestor_ids, within=group_id)
    decision = decide(question, await client.weigh(SearchRequest(question, scope, (), 1)))
    if decision.about is not None:
        return Found(question, actor.org_id, decision, (), ())
    hits = await search(session, actor, client, question, limit=SOURCES_READ, group_id=group_id)
    nearest = tuple(_to_page(hit) for hit in hits[:NEAREST_MAX])
    if not (hits and decision.answerable):
        return Found(question, actor.org_id, Decision(False, decision.margin), (), nearest)
    sources = await _read_sources(session, actor, hits)
    if len(drop_repeated(sources)) < SOURCES_MAX and len(hits) == SOURCES_READ:
        # Documents that only give orders take nobody's place, however many there are.
        further = await search(session, actor, client, question, limit=LIMIT_MAX, group_id=group_id)
        sources = await _read_sources(session, actor, further)
    return Found(question, actor.org_id, decision, tuple(sources), nearest)


async def answer(
    client: KnowledgeClient, found: Found, names: ApiNames, generator: Generator | None = None
) -> AsyncGenerator[AnswerPart | Restart | Answer]:
    """The parts of the answer as they are made, and last the whole of it.

    Raises:
        SearchUnavailable.
    """
    if not found.sources:
        yield refuse(found)
        return
    note = None
    if generator is not None:
        try:
            given = enumerate(drop_repeated(found.sources)[:SOURCES_MAX], 1)
            sources = tuple(replace(source, number=number) for number, source in given)
            async for piece in _generate(replace(found, sources=sources), names, generator):
                yield piece
            return
        except GeneratorFailed as failure:
            logger.warning("the generator failed: %s", failure.reason)
            note = _FELL_BACK
            yield Restart(note)
    sentences = compared_sentences(found.sources)
    cosines = await client.compare(found.question, sentences, found.owner) if sentences else []
    parts = choose_parts(found.question, found.sources, cosines)
    if not parts:
        yield refuse(found)
        return
    found, parts = _number_cited(found, parts)
    for part in parts:
        yield part
    yield _compose(found, "extracted", parts, note)


def refuse(found: Found) -> Answer:
    """The answer that says there is none."""
    text = _NOTHING_FOUND if found.nearest else _EMPTY
    return Answer(answered=False, method="extracted", text=text, parts=[], citations=[], nearest=list(found.nearest))


def _number_cited(found: Found, parts: Sequence[AnswerPart]) -> tuple[Found, list[AnswerPart]]:
    """Only the sources that are cited, numbered without a gap."""
    cited = sorted({number for part in parts for number in part.citations})
    numbers = {old: new for new, old in enumerate(cited, 1)}
    sources = [replace(source, number=numbers[source.number]) for source in found.sources if source.number in numbers]
    return replace(found, sources=tuple(sources)), [
        part.model_copy(update={"citations": [numbers[number] for number in part.citations]}) for part in parts
    ]


async def _generate(found: Found, names: ApiNames, generator: Generator) -> AsyncGenerator[AnswerPart | Answer]:
    """What the generator writes, block by block, each checked before anybody sees it.

    Raises:
        GeneratorFailed: it does, or it cites nothing.
    """
    parts: list[AnswerPart] = []
    struck: list[str] = []
    passages = [(source.number, source.hit.title, source.hit.text) for source in found.sources]
    async for block in _blocks(generator.write(write_messages(found.question, passages))):
        if not parts and block.strip().strip('.`*"').startswith(NOT_ANSWERED):
            yield refuse(found)
            return
        checked = check_claims(block, names, len(found.sources))
        struck += checked.struck
        if checked.text:
            parts.append(AnswerPart(kind="markdown", text=checked.text, citations=checked.citations))
            yield parts[-1]
    if not any(part.citations for part in parts):
        raise GeneratorFailed("it cites nothing")
    yield _compose(found, "generated", parts, _describe_struck(struck))


async def _blocks(pieces: AsyncGenerator[str]) -> AsyncGenerator[str]:
    """Whole paragraphs and code blocks, so that what is checked is never half a name."""
    pending = ""
    try:
        async for piece in pieces:
            pending += piece
            while (end := _find_block_end(pending)) > 0:
                yield pending[:end]
                pending = pending[end:]
        if pending.strip():
            yield pending
    finally:
        await pieces.aclose()


def _find_block_end(text: str) -> int:
    """Where the first block is over: at an empty line that is not inside a code block."""
    place = text.find("\n\n", len(text) - len(text.lstrip("\n")))
    while place >= 0:
        if text[:place].count("```") % 2 == 0:
            return place + 2
        place = text.find("\n\n", place + 2)
    return -1


def _compose(
    found: Found, method: Literal["extracted", "generated"], parts: Sequence[AnswerPart], note: str | None
) -> Answer:
    cited = {number for part in parts for number in part.citations}
    return Answer(
        answered=True,
        method=method,
        text=write_text(parts),
        parts=list(parts),
        citations=[_to_citation(source) for source in found.sources if source.number in cited],
        nearest=[],
        note=note,
    )


def write_text(parts: Sequence[AnswerPart]) -> str:
    """All parts as one Markdown text; sentences of one source make a paragraph, what is related a list below."""
    blocks: list[str] = []
    last: list[int] | None = None
    related = [part for part in parts if part.related]
    for part in parts:
        if part.related:
            continue
        if part.kind == "sentence":
            said = f"{part.text} {_mark(part)}".rstrip()
            joined = bool(blocks) and part.citations == last
            blocks[-1:] = [f"{blocks[-1]} {said}"] if joined else [*blocks[-1:], said]
            last = part.citations
        else:
            blocks.append(part.text if part.kind == "markdown" else f"```{part.language or ''}\n{part.text}\n```")
            last = None
    if related:
        blocks.append("\n".join(("See also:", *(f"- {part.text} {_mark(part)}" for part in related))))
    return "\n\n".join(blocks)


def _mark(part: AnswerPart) -> str:
    return " ".join(f"[{number}]" for number in part.citations)


def _describe_struck(struck: Sequence[str]) -> str | None:
    if not struck:
        return None
    return f"Struck out, since this API has no such thing: {', '.join(dict.fromkeys(struck))}."[:500]


async def _read_sources(session: AsyncSession, actor: Actor, hits: Sequence[Hit]) -> list[Source]:
    """The best documents of which something may be quoted, read some at a time until there are enough of them.

    Each by the passage that was found, and by its first, which says what the document is about.
    """
    sources: list[Source] = []
    for start in range(0, len(hits), SOURCES_READ):
        some = hits[start : start + SOURCES_READ]
        documents, beginnings = await _load_texts(session, actor, some), await load_beginnings(session, actor, some)
        for hit in some:
            first = beginnings.get(hit.document_id, hit)
            for one in (hit, *([first] if first.text != hit.text else [])):
                if hit.document_id in documents and (quotes := _list_quotes(documents[hit.document_id], one)):
                    sources.append(Source(len(sources) + 1, one, tuple(quotes)))
            # Reading a document takes milliseconds: others have their turn in between.
            await asyncio.sleep(0)
        if len(drop_repeated(sources)) >= SOURCES_MAX:
            break
    return sources


async def _load_texts(session: AsyncSession, actor: Actor, hits: Sequence[Hit]) -> dict[UUID, KnowledgeItem]:
    """The documents with their whole text, those the actor may read."""
    columns: list[Any] = [KnowledgeItem.id, KnowledgeItem.org_id, KnowledgeItem.title, KnowledgeItem.kind]
    columns += [KnowledgeItem.format, KnowledgeItem.text]
    query = (
        KnowledgeItem.visible_to(actor)
        .where(col(KnowledgeItem.id).in_([hit.document_id for hit in hits]), col(KnowledgeItem.deleted_at).is_(None))
        .options(load_only(*columns))
    )
    return {document.id: document for document in (await session.exec(query)).all()}


def _list_quotes(document: KnowledgeItem, hit: Hit) -> list[Quote]:
    of_platform = document.org_id == PLATFORM_ORG_ID
    if document.kind != "endpoint":
        return list_quotes(document.text, document.format, document.title, hit.text, of_platform=of_platform)
    # Of an endpoint only its description is written in sentences; the lines around it are for the search. What it is
    # called, and where it is, is an answer by itself.
    route = f"{hit.method} {hit.path}"
    lines = [hit.title if route in hit.title else f"{hit.title}: {route}"]
    lines += [line for line in hit.text.split("\n") if not line.startswith((f"{hit.method} ", "Parameters: "))]
    return list_quotes("", document.format, document.title, "\n".join(lines), of_platform=of_platform)


def _to_citation(source: Source) -> Citation:
    hit = source.hit
    return Citation(
        number=source.number,
        kind=hit.kind,
        document_id=hit.document_id,
        external_id=hit.external_id,
        title=hit.title,
        heading_path=hit.heading_path,
        url=hit.url,
        text=hit.text,
    )


def _to_page(hit: Hit) -> NearPage:
    return NearPage(
        kind=hit.kind, document_id=hit.document_id, external_id=hit.external_id, title=hit.title, url=hit.url
    )
