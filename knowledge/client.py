"""The way to the knowledge process: one connection per process, shared by all requests.

Calls are told apart by number, so none waits for another. The connection is made when first needed and again
after it is lost. Whatever happens, a search is answered or refused within five seconds.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from knowledge.answerability import Likeness
from knowledge.errors import IndexBuilding, KnowledgeFailed, SearchUnavailable
from knowledge.protocol import (
    FrameInvalid,
    IndexedDocument,
    RankedDocument,
    SearchRequest,
    Stats,
    encode_frame,
    put_message,
    read_frame,
    read_ranked,
    search_message,
)

CONNECT_TIMEOUT_SECONDS = 1.0
SEARCH_TIMEOUT_SECONDS = 4.0
# Embedding a batch of documents takes as long as it takes; this bounds a process that hangs.
WRITE_TIMEOUT_SECONDS = 120.0
RETRY_AFTER_SECONDS = 2


class KnowledgeClient:
    """Belongs to one event loop. Every method raises ``SearchUnavailable`` when there is no answer in time."""

    def __init__(self, socket_path: Path) -> None:
        self._socket_path = socket_path
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def search(self, request: SearchRequest) -> list[RankedDocument]:
        """The best documents within the scope, best first.

        Raises:
            IndexBuilding: the index is not whole yet.
        """
        return read_ranked(await self._call("search", search_message(request), SEARCH_TIMEOUT_SECONDS))

    async def weigh(self, request: SearchRequest) -> Likeness:
        """How near a question is to what its caller may read, and to the examples of every kind of question.

        Raises:
            IndexBuilding: the index is not whole yet.
        """
        found = await self._call("weigh", search_message(request), SEARCH_TIMEOUT_SECONDS)
        examples: dict[str, list[float]] = found["examples"]
        nearest = {name: tuple(cosines) for name, cosines in examples.items()}
        return Likeness(tuple(found["passages"]), nearest, found["unknown_words"], found["own_passage"])

    async def compare(self, question: str, texts: Sequence[str], owner: UUID) -> list[float]:
        """The cosine of each text to a question, in order; what is kept of the question is the owner's alone."""
        message = {"question": question, "texts": list(texts), "owner": owner}
        return await self._call("compare", message, SEARCH_TIMEOUT_SECONDS)

    async def put(self, documents: Sequence[IndexedDocument], most: int | None = None) -> list[UUID]:
        """Bring documents up to date; they are found as soon as this returns. Repeating is harmless.

        At most so many new passages of each: those that have more are returned, and are to be put again.
        """
        unfinished = await self._call("put", put_message(documents, most), WRITE_TIMEOUT_SECONDS)
        return [UUID(document_id) for document_id in unfinished]

    async def delete(self, document_ids: Sequence[UUID]) -> None:
        await self._call("delete", {"document_ids": list(document_ids)}, WRITE_TIMEOUT_SECONDS)

    async def versions(self) -> dict[UUID, int]:
        """Which documents the index holds, in which version."""
        held: dict[str, int] = await self._call("versions", {}, WRITE_TIMEOUT_SECONDS)
        return {UUID(document_id): version for document_id, version in held.items()}

    async def mark_whole(self, index_id: str) -> None:
        """Let searches be answered from now on, unless the index has begun anew since it had this id."""
        await self._call("mark_whole", {"index_id": index_id}, WRITE_TIMEOUT_SECONDS)

    async def begin_anew(self) -> None:
        """Throw the index away; the worker fills it again from the database."""
        await self._call("begin_anew", {}, WRITE_TIMEOUT_SECONDS)

    async def stats(self) -> Stats:
        """What is held now; waits for what is being written."""
        return Stats(**await self._call("stats", {}, WRITE_TIMEOUT_SECONDS))

    async def ping(self) -> bool:
        """Return when the process is there: whether the index is whole, so that searches are answered."""
        return bool(await self._call("ping", {}, SEARCH_TIMEOUT_SECONDS))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _call(self, operation: str, message: Mapping[str, Any], timeout_seconds: float) -> Any:
        try:
            connection = await self._connect()
            async with asyncio.timeout(timeout_seconds):
                return await connection.call(operation, message)
        except (OSError, TimeoutError) as error:
            raise SearchUnavailable(retry_after_seconds=RETRY_AFTER_SECONDS) from error

    async def _connect(self) -> "_Connection":
        async with self._connecting:
            if self._connection is None or self._connection.is_lost:
                async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                    streams = await asyncio.open_unix_connection(str(self._socket_path))
                self._connection = _Connection(*streams)
            return self._connection


class _Connection:
    """One open connection and the calls that wait for an answer on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self.is_lost = False
        self._receiving = asyncio.create_task(self._receive())

    async def call(self, operation: str, message: Mapping[str, Any]) -> Any:
        """Send one request and wait for its answer.

        Raises:
            ConnectionError: the connection is or was lost; the request may have been carried out.
        """
        if self.is_lost:
            raise ConnectionResetError("the knowledge process has closed the connection")
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(encode_frame({**message, "id": number, "op": operation}))
            await self._writer.drain()
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        self._receiving.cancel()
        with suppress(asyncio.CancelledError):
            await self._receiving
        self._lose()

    async def _receive(self) -> None:
        with suppress(FrameInvalid, OSError):
            while (message := await read_frame(self._reader)) is not None:
                self._deliver(message)
        self._lose()

    def _deliver(self, message: Mapping[str, Any]) -> None:
        """Hand an answer to its call; one that came too late has nobody waiting."""
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        match message.get("error"):
            case None:
                answer.set_result(message["result"])
            case "incomplete":
                answer.set_exception(IndexBuilding())
            case "unavailable":
                answer.set_exception(ConnectionError("the index is not available"))
            case reason:
                answer.set_exception(KnowledgeFailed(str(reason)))

    def _lose(self) -> None:
        self.is_lost = True
        self._writer.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the knowledge process has closed the connection"))
