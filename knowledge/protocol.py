"""What travels between the knowledge process and its clients: frames of JSON with a length in front.

A request is ``{"id", "op", …}``, its answer ``{"id", "result"}`` or ``{"id", "error"}``; answers come in any order.
Both ends are processes of the same program on the same machine, so there is no version to negotiate.
"""

import asyncio
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from knowledge.index.interface import SearchScope, WeightedText

FRAME_BYTES_MAX = 64 * 1024 * 1024
_LENGTH = struct.Struct(">I")


class FrameInvalid(Exception):
    """The other end does not speak this protocol."""


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """What becomes one point, its vector the mean of those of its texts. The point is named by its content, so it
    is embedded once. Several may lead to one ``passage_id``: an alias of a page leads to its first passage."""

    point_id: UUID
    passage_id: UUID
    texts: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document as the index is to hold it. ``names`` find it exactly; ``words`` are those of the whole page, and
    ``fields`` those that count more or less."""

    document_id: UUID
    org_id: UUID
    group_id: UUID
    group_ids: tuple[UUID, ...]
    visibility: str
    kind: str
    version: int
    names: tuple[str, ...]
    words: str
    fields: tuple[WeightedText, ...]
    passages: tuple[IndexedPassage, ...]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A query as typed, with what the caller may see. ``by_passage``: every passage is a result of its own."""

    query: str
    scope: SearchScope
    kinds: tuple[str, ...]
    limit: int
    by_passage: bool = False


@dataclass(frozen=True, slots=True)
class RankedDocument:
    """One result: a document with its best passage, or one of several passages of it, and a score between 0 and 1."""

    document_id: UUID
    passage_id: UUID | None
    score: float


@dataclass(frozen=True, slots=True)
class Stats:
    """What the knowledge process holds and has done since it started."""

    index_id: str
    whole: bool
    model: str
    points: int
    embedded_texts: int
    searches: int


def encode_frame(message: Mapping[str, Any]) -> bytes:
    """One frame; UUIDs become text."""
    body = json.dumps(message, default=str, separators=(",", ":")).encode()
    if len(body) > FRAME_BYTES_MAX:
        raise FrameInvalid("the message is too long")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """The next message; ``None`` when the other end has closed.

    Raises:
        FrameInvalid: too long, or not a JSON object.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > FRAME_BYTES_MAX:
            raise FrameInvalid("the message is too long")
        body = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        message = json.loads(body)
    except ValueError as error:
        raise FrameInvalid("the message is not JSON") from error
    if not isinstance(message, dict):
        raise FrameInvalid("the message is not an object")
    return message  # pyright: ignore[reportUnknownVariableType]


def search_message(request: SearchRequest) -> dict[str, Any]:
    return asdict(request)


def read_search(message: Mapping[str, Any]) -> SearchRequest:
    scope = message["scope"]
    within = scope["within"]
    return SearchRequest(
        query=message["query"],
        scope=SearchScope(
            org_id=UUID(scope["org_id"]),
            group_id=UUID(scope["group_id"]),
            ancestor_ids=_uuids(scope["ancestor_ids"]),
            within=UUID(within) if within else None,
            labels=tuple(scope["labels"]),
        ),
        kinds=tuple(message["kinds"]),
        limit=int(message["limit"]),
        by_passage=bool(message["by_passage"]),
    )


def put_message(documents: Sequence[IndexedDocument], most: int | None) -> dict[str, Any]:
    return {"documents": [asdict(document) for document in documents], "most": most}


def read_put(message: Mapping[str, Any]) -> list[IndexedDocument]:
    return [_read_document(document) for document in message["documents"]]


def read_ranked(result: Sequence[Mapping[str, Any]]) -> list[RankedDocument]:
    return [
        RankedDocument(
            document_id=UUID(entry["document_id"]),
            passage_id=UUID(entry["passage_id"]) if entry["passage_id"] else None,
            score=float(entry["score"]),
        )
        for entry in result
    ]


def _read_document(given: Mapping[str, Any]) -> IndexedDocument:
    return IndexedDocument(
        document_id=UUID(given["document_id"]),
        org_id=UUID(given["org_id"]),
        group_id=UUID(given["group_id"]),
        group_ids=_uuids(given["group_ids"]),
        visibility=given["visibility"],
        kind=given["kind"],
        version=int(given["version"]),
        names=tuple(given["names"]),
        words=given["words"],
        fields=tuple((str(text), float(weight)) for text, weight in given["fields"]),
        passages=tuple(
            IndexedPassage(
                point_id=UUID(passage["point_id"]),
                passage_id=UUID(passage["passage_id"]),
                texts=tuple(passage["texts"]),
                words=passage["words"],
            )
            for passage in given["passages"]
        ),
        labels=tuple(given["labels"]),
    )


def _uuids(values: Sequence[str]) -> tuple[UUID, ...]:
    return tuple(UUID(value) for value in values)
