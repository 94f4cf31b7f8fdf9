"""The knowledge process's door: a Unix socket on an event loop that never does model work itself.

Searches run on a few threads, everything that writes on one of its own, so a long ingestion delays no search; and
what questions need beyond a search on a third, for the same reason.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import UUID

from knowledge.engine import Engine, lower_priority
from knowledge.index.interface import IndexIncomplete, IndexUnavailable
from knowledge.protocol import FrameInvalid, encode_frame, read_frame, read_put, read_search

logger = logging.getLogger(__name__)

# One: two forward passes at once take longer than one after the other.
SEARCH_THREADS = 1


class KnowledgeServer:
    """Serves one engine on one socket until stopped."""

    def __init__(self, engine: Engine, socket_path: Path) -> None:
        self._engine = engine
        self._socket_path = socket_path
        self._reading = ThreadPoolExecutor(SEARCH_THREADS, "search")
        self._writing = ThreadPoolExecutor(1, "write", initializer=lower_priority)
        self._asking = ThreadPoolExecutor(1, "ask")
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def start(self) -> None:
        """Listen. A socket left over by a killed process is removed: the index's lock says there is no other."""
        self._socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket_path.unlink(missing_ok=True)
        earlier_mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._socket_path))
        finally:
            os.umask(earlier_mask)

    async def prepare(self) -> None:
        """Make the first question as quick as later ones; searches are answered meanwhile."""
        await self._run(self._asking, self._engine.prepare)

    async def stop(self) -> None:
        """Answer what is being worked on, then close."""
        if self._server is not None:
            self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for writer in self._connections:
            writer.close()
        if open_connections := [task for task in self._connections.values() if task is not None]:
            await asyncio.wait(open_connections)
        self._reading.shutdown()
        self._writing.shutdown()
        self._asking.shutdown()
        self._engine.close()
        self._socket_path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: each request becomes a task, answers go out as they come."""
        self._connections[writer] = asyncio.current_task()
        try:
            while (message := await read_frame(reader)) is not None:
                task = asyncio.create_task(self._answer(message, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except FrameInvalid:
            logger.warning("a client does not speak the protocol; its connection is closed")
        finally:
            self._connections.pop(writer, None)
            writer.close()

    async def _answer(self, message: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        answer: dict[str, Any] = {"id": message.get("id")}
        try:
            answer["result"] = await self._perform(message)
        except IndexIncomplete:
            answer["error"] = "incomplete"
        except IndexUnavailable:
            logger.warning("the index does not answer")
            answer["error"] = "unavailable"
        except Exception:
            logger.exception("the operation %s failed", message.get("op"))
            answer["error"] = "failed"
        with suppress(ConnectionError):
            writer.write(encode_frame(answer))
            await writer.drain()

    async def _perform(self, message: Mapping[str, Any]) -> Any:
        engine = self._engine
        match message["op"]:
            case "search":
                request = read_search(message)
                ranked = await self._run(self._reading, lambda: engine.search(request))
                return [asdict(entry) for entry in ranked]
            case "weigh":
                asked = read_search(message)
                return asdict(await self._run(self._asking, lambda: engine.weigh(asked)))
            case "compare":
                question, texts, owner = message["question"], message["texts"], UUID(message["owner"])
                return await self._run(self._asking, lambda: engine.compare(question, texts, owner))
            case "put":
                unfinished = await self._run(self._writing, lambda: engine.put(read_put(message), message["most"]))
                return [str(document_id) for document_id in unfinished]
            case "delete":
                unwanted = [UUID(document_id) for document_id in message["document_ids"]]
                return await self._run(self._writing, lambda: engine.delete(unwanted))
            case "versions":
                held = await self._run(self._writing, engine.versions)
                return {str(document_id): version for document_id, version in held.items()}
            case "mark_whole":
                return await self._run(self._writing, lambda: engine.mark_whole(message["index_id"]))
            case "begin_anew":
                return await self._run(self._writing, engine.begin_anew)
            case "stats":
                return asdict(await self._run(self._writing, engine.stats))
            case "ping":
                return engine.is_whole
            case _:
                raise FrameInvalid("no such operation")

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(executor, work)
