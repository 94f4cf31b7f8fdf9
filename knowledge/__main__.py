"""``python -m knowledge``: the process that owns the model and the embedded index.

It listens once it can answer, so a client that connects is served. It ends on SIGTERM or SIGINT.
"""

import asyncio
import logging
import signal
import sys

from transformers.utils.logging import disable_progress_bar

from knowledge.embedder import Embedder, ModelDamaged
from knowledge.engine import Engine
from knowledge.index.edge import EdgeIndex
from knowledge.index.interface import Index, IndexUnavailable
from knowledge.index.server import ServerIndex
from knowledge.lexicon import Lexicon, read_vocabulary
from knowledge.model_files import find_model, list_words
from knowledge.server import KnowledgeServer
from knowledge.sources import DOCS_DIR
from ontology.log_lines import configure_logging
from ontology.settings import Settings


def main() -> int:
    """Run until told to end; the exit code is 1 when the model or the index cannot be used."""
    settings = Settings.from_environment()
    configure_logging(settings.log_level)
    # The library would tell of every start, and draw a bar for it.
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
    disable_progress_bar()
    try:
        model = find_model(settings.embedding_model)
        embedder = Embedder(model)
        index = open_index(settings, embedder)
    except (ModelDamaged, IndexUnavailable) as error:
        sys.stderr.write(f"knowledge: {error}\n")
        return 1
    engine = Engine(index, embedder, Lexicon(read_vocabulary(DOCS_DIR), list_words(model)))
    asyncio.run(serve(KnowledgeServer(engine, settings.knowledge_socket)))
    return 0


def open_index(settings: Settings, embedder: Embedder) -> Index:
    """The index the settings name: a server's, or the one in the data directory."""
    if settings.qdrant_url:
        return ServerIndex(
            settings.qdrant_url,
            model=embedder.name,
            dimensions=embedder.dimensions,
            api_key=settings.qdrant_api_key,
        )
    return EdgeIndex(settings.data_dir / "qdrant", model=embedder.name, dimensions=embedder.dimensions)


async def serve(server: KnowledgeServer) -> None:
    """Serve until the first signal to end."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await server.start()
    logging.getLogger("knowledge").info("the knowledge process is ready")
    await server.prepare()
    await ended.wait()
    await server.stop()


if __name__ == "__main__":
    sys.exit(main())
