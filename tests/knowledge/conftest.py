"""The real model, loaded once, and knowledge servers on real Edge directories."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest

from knowledge.client import KnowledgeClient
from knowledge.embedder import Embedder
from knowledge.engine import Engine
from knowledge.index.edge import EdgeIndex
from knowledge.indexing import Splitter
from knowledge.lexicon import Lexicon
from knowledge.model_files import find_model
from knowledge.server import KnowledgeServer


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    return Embedder(find_model())


@pytest.fixture(scope="session")
def splitter() -> Splitter:
    return Splitter(find_model())


@dataclass(frozen=True)
class Knowledge:
    """A served engine and a client of it."""

    engine: Engine
    client: KnowledgeClient


Serve = Callable[..., AbstractAsyncContextManager[Knowledge]]


@pytest.fixture
def serve(embedder: Embedder) -> Serve:
    """Serve the index of a directory for as long as the context lasts; a new one counts as whole unless said."""

    @asynccontextmanager
    async def serving(
        directory: Path, *, whole: bool = True, lexicon: Lexicon | None = None
    ) -> AsyncIterator[Knowledge]:
        index = EdgeIndex(directory, model=embedder.name, dimensions=embedder.dimensions)
        engine = Engine(index, embedder, lexicon)
        if whole:
            engine.mark_whole(index.index_id)
        # A path of its own: a Unix socket's is short.
        socket_path = Path(mkdtemp(prefix="one-")) / "k.sock"
        server = KnowledgeServer(engine, socket_path)
        client = KnowledgeClient(socket_path)
        await server.start()
        try:
            yield Knowledge(engine, client)
        finally:
            await client.close()
            await server.stop()
            socket_path.parent.rmdir()

    return serving


@pytest.fixture
async def knowledge(serve: Serve, tmp_path: Path) -> AsyncIterator[Knowledge]:
    async with serve(tmp_path / "qdrant") as served:
        yield served
