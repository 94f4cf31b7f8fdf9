"""The ask panel of the search page: an answer with its citations, streamed as it is made or with the page."""

import json
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from litestar import Request, Response, get
from markupsafe import Markup

from api.asking import begin_answer, find_answer, finish_answer, note_question
from api.operations import STREAM_HEADERS
from api.streams import StreamedAnswer
from knowledge.asking import QUESTION_CHARACTERS_MAX, Answer, Citation, NearPage, Restart
from knowledge.extraction import AnswerPart
from knowledge.generator import find_generator
from knowledge.markdown_html import render_strict
from ontology.actors import anonymous_actor
from ontology.database import open_transaction
from ontology.errors import PortalError, SearchUnavailable
from ontology.scopes import Scope
from ontology.search_log import Source
from portal.pages.document import document_address
from portal.rendering import environment
from portal.search_limits import TOO_MANY, Asking, ask_to_wait, may_ask
from portal.sessions import Visitor, read_visitor

AWAY = "Answers cannot be given just now. Try again in a moment; the results below are not affected."


@dataclass(frozen=True, slots=True)
class PartView:
    """One piece of an answer: a paragraph of sentences, a code block, or checked Markdown as HTML."""

    kind: str
    text: str
    language: str | None
    html: Markup | None
    citations: tuple[int, ...]
    related: bool = False


@dataclass(frozen=True, slots=True)
class SourceView:
    number: int
    title: str
    trail: str
    url: str
    text: str


@dataclass(frozen=True, slots=True)
class AnswerView:
    """An answer as the panel shows it; `problem` stands instead of one."""

    answered: bool
    method: str
    parts: tuple[PartView, ...] = ()
    statement: str = ""
    sources: tuple[SourceView, ...] = ()
    nearest: tuple[SourceView, ...] = ()
    request: str | None = None
    note: str | None = None
    problem: str | None = None


async def answer_visitor(visitor: Visitor, question: str) -> AnswerView:
    """The whole answer, for a page without scripts."""
    try:
        return view_answer(await finish_answer(await _begin(visitor, question)))
    except SearchUnavailable:
        return AnswerView(False, "extracted", problem=AWAY)


@get("/search/ask", opt={"public": True})
async def ask(request: Request[Any, Any, Any]) -> Response[Any]:
    """For the panel's own script: every part as it is made, and last the whole panel."""
    visitor = await read_visitor(request)
    question = read_question(request)
    if question and not await may_ask(request, visitor, Asking.ANSWER):
        html = _render("_answer.html", answer=AnswerView(False, "extracted", problem=TOO_MANY))
        return ask_to_wait(Response(html, media_type="text/html"))
    return StreamedAnswer(_stream(visitor, question), media_type="text/event-stream", headers=STREAM_HEADERS)


def read_question(request: Request[Any, Any, Any]) -> str:
    given: str = request.query_params.get("q", "")
    return given.replace("\x00", "").encode(errors="ignore").decode().strip()[:QUESTION_CHARACTERS_MAX]


async def _begin(visitor: Visitor, question: str) -> AsyncGenerator[AnswerPart | Restart | Answer]:
    """Who is not signed in, or may read no documents, gets quotations: a generator costs its operator money."""
    services, member = visitor.services, visitor.find_member_who_may(Scope.KNOWLEDGE_READ)
    actor = member.actor if member else anonymous_actor()
    async with open_transaction(services.engine, actor) as session:
        found, own = await find_answer(services, session, actor, question)
    pieces = begin_answer(services, found, own, find_generator(services.settings) if member else None)
    return note_question(services.searches, actor, Source.PORTAL, question, pieces) if member else pieces


async def _stream(visitor: Visitor, question: str) -> AsyncGenerator[bytes]:
    try:
        if not question:
            return
        async for piece in await _begin(visitor, question):
            match piece:
                case AnswerPart():
                    yield _frame("part", _render("_answer_part.html", part=_view_part(piece)))
                case Restart():
                    yield _frame("restart", piece.note)
                case Answer():
                    yield _frame("answer", _render("_answer.html", answer=view_answer(piece)))
    except PortalError:
        yield _frame("answer", _render("_answer.html", answer=AnswerView(False, "extracted", problem=AWAY)))


def view_answer(answer: Answer) -> AnswerView:
    """The answer as the panel shows it."""
    return AnswerView(
        answered=answer.answered,
        method=answer.method,
        parts=_join_sentences(answer.parts),
        statement=answer.text if not answer.answered else "",
        sources=tuple(_view_source(citation) for citation in answer.citations),
        nearest=tuple(_view_near(page, number) for number, page in enumerate(answer.nearest, 1)),
        request=answer.request,
        note=answer.note,
    )


def _join_sentences(parts: Sequence[AnswerPart]) -> tuple[PartView, ...]:
    """Neighbouring sentences of one source are one paragraph."""
    views: list[PartView] = []
    for part in parts:
        view = _view_part(part)
        last = views[-1] if views else None
        if last is not None and last.kind == view.kind == "sentence" and last.citations == view.citations:
            view = replace(view, text=f"{last.text} {view.text}")
            views.pop()
        views.append(view)
    return tuple(views)


def _view_part(part: AnswerPart) -> PartView:
    html = Markup(render_strict(part.text)) if part.kind == "markdown" else None  # noqa: S704 - the renderer escapes
    return PartView(part.kind, part.text, part.language, html, tuple(part.citations), part.related)


def _view_source(citation: Citation) -> SourceView:
    trail = " › ".join(citation.heading_path)
    return SourceView(citation.number, citation.title, trail, _address(citation), citation.text)


def _view_near(page: NearPage, number: int) -> SourceView:
    return SourceView(number, page.title, "", _address(page), "")


def _address(document: Citation | NearPage) -> str:
    """Of this site only: a document that lies elsewhere, or nowhere, has a page here."""
    if document.url and re.match(r"/(?![/\\])", document.url):
        return document.url
    return document_address(document.document_id, document.heading_path if isinstance(document, Citation) else ())


def _render(template: str, **values: Any) -> str:
    return environment().get_template(template).render(**values)


def _frame(event: str, html: str) -> bytes:
    return f"event: {event}\ndata: {json.dumps({'html': html}, ensure_ascii=False)}\n\n".encode()


handlers = [ask]
