"""`/v1/knowledge/ask`: an answer with its citations, from documents or from the caller's own figures."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from api import examples
from api.negotiation import EVENT_STREAM, prefers
from api.operations import Call, NoQuery, Unfinished, operation
from api.services import Services
from knowledge.answerability import Subject
from knowledge.asking import (
    QUESTION_CHARACTERS_MAX,
    Answer,
    Found,
    Restart,
    answer,
    find_sources,
    write_text,
)
from knowledge.extraction import AnswerPart
from knowledge.generator import Generator, find_generator
from knowledge.search_log import SearchLog
from ontology import own_figures
from ontology.actors import Actor
from ontology.errors import InsufficientScope, NotFound, PortalError, SearchUnavailable
from ontology.groups import get_group
from ontology.ids import GroupId
from ontology.own_figures import OwnFigures
from ontology.records import Input, utc_now
from ontology.scopes import Scope
from ontology.search_log import Source

CountRequests = Callable[[], Awaitable[tuple[int, int]]]
Pieces = AsyncGenerator[AnswerPart | Restart | Answer]


class AskRequest(Input):
    """A question in one's own words."""

    question: Annotated[
        str,
        Field(min_length=1, max_length=QUESTION_CHARACTERS_MAX, pattern=r"\S", examples=["how do I rotate a key"]),
    ]
    group_id: GroupId | None = None


@operation(
    "POST",
    "/v1/knowledge/ask",
    id="askKnowledge",
    tag="Knowledge",
    scope=Scope.KNOWLEDGE_READ,
    body=AskRequest,
    answer=Answer,
    streams=True,
    has_tag=False,
    errors=(NotFound, SearchUnavailable),
    body_example=examples.ASK,
    answer_example=examples.ANSWER,
)
async def ask_knowledge(call: Call[AskRequest, NoQuery]) -> Unfinished | AsyncGenerator[bytes]:
    """Ask a question.

    Answered from the documents the key may read, with numbered citations; or not at all, with the pages that come
    nearest. Questions about your own errors, usage, limits and keys are answered from your group's figures. With
    `Accept: text/event-stream` each part of the answer is sent as it is made.
    """
    body, services = call.body, call.services
    if body.group_id is not None:
        await get_group(call.session, call.actor, body.group_id)

    async def count() -> tuple[int, int]:
        return await services.authenticator.limiter.count_recent(call.credential)

    found, own = await find_answer(
        services, call.session, call.actor, body.question, group_id=body.group_id, count=count
    )
    pieces = begin_answer(services, found, own, find_generator(services.settings))
    noted = note_question(services.searches, call.actor, Source.API, body.question, pieces)
    if prefers(call.header("accept"), EVENT_STREAM, "application/json"):
        return _stream(noted)

    async def finish() -> Answer:
        return await finish_answer(noted)

    return Unfinished(finish)


async def find_answer(
    services: Services,
    session: AsyncSession,
    actor: Actor,
    question: str,
    *,
    group_id: UUID | None = None,
    count: CountRequests | None = None,
) -> tuple[Found, Answer | None]:
    """What is needed to answer, all of it read as the actor; for a question about the actor's own, the answer.

    Raises:
        SearchUnavailable.
    """
    found = await find_sources(session, actor, services.knowledge, question, group_id=group_id)
    about = found.decision.about
    if about is None:
        return found, None
    return found, await _describe_own(session, actor, about, utc_now(), group_id, count)


async def begin_answer(services: Services, found: Found, own: Answer | None, generator: Generator | None) -> Pieces:
    """The parts as they are made, and last the whole answer; holds no transaction."""
    if own is None:
        async for piece in answer(services.knowledge, found, services.api_names(), generator):
            yield piece
        return
    for part in own.parts:
        yield part
    yield own


async def note_question(log: SearchLog, actor: Actor, source: Source, question: str, pieces: Pieces) -> Pieces:
    """The same pieces; with the last of them the question is noted, and whether it was answered."""
    async for piece in pieces:
        if isinstance(piece, Answer):
            log.note_question(actor, source, question, len(piece.citations), answered=piece.answered)
        yield piece


async def finish_answer(pieces: Pieces) -> Answer:
    """The whole answer alone."""
    async for piece in pieces:
        if isinstance(piece, Answer):
            return piece
    raise AssertionError("an answer ends with the whole of it")


async def _stream(pieces: Pieces) -> AsyncGenerator[bytes]:
    """What fails once the answer has begun is told in the stream, as the refusal it would have been."""
    try:
        async for piece in pieces:
            yield encode_piece(piece)
    except PortalError as refusal:
        yield frame("error", {"code": refusal.code, "detail": refusal.detail})


def encode_piece(piece: AnswerPart | Restart | Answer) -> bytes:
    """One server-sent event: `part`, `restart` (what came before is void) or, last, `answer`."""
    match piece:
        case AnswerPart():
            return frame("part", piece.as_json())
        case Restart():
            return frame("restart", {"note": piece.note})
        case Answer():
            return frame("answer", piece.as_json())


def frame(event: str, data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


async def _describe_own(
    session: AsyncSession,
    actor: Actor,
    about: Subject,
    now: datetime,
    group_id: UUID | None,
    count: CountRequests | None,
) -> Answer:
    try:
        figures = await _read_figures(session, actor, about, now, group_id, count)
    except InsufficientScope as refusal:
        return Answer(
            answered=False,
            method="figures",
            text=f"That is about your own {about}, which this key may not read.",
            parts=[],
            citations=[],
            nearest=[],
            note=refusal.detail,
        )
    parts = [AnswerPart(kind="sentence", text=sentence, citations=[]) for sentence in figures.sentences]
    return Answer(
        answered=True,
        method="figures",
        text=write_text(parts),
        parts=parts,
        citations=[],
        nearest=[],
        request=figures.request,
    )


async def _read_figures(
    session: AsyncSession,
    actor: Actor,
    about: Subject,
    now: datetime,
    group_id: UUID | None,
    count: CountRequests | None,
) -> OwnFigures:
    match about:
        case "errors":
            return await own_figures.describe_errors(session, actor, now, group_id)
        case "usage":
            return await own_figures.describe_usage(session, actor, now, group_id)
        case "keys":
            return await own_figures.describe_keys(session, actor, now, group_id)
        case "limits":
            actor.require(Scope.QUOTA_VIEW)
            spent = await count() if count is not None else None
            return await own_figures.describe_limits(session, actor, now, group_id, spent)


handlers = [ask_knowledge]
