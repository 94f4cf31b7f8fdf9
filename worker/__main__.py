"""`python -m worker`: the duties, until told to stop."""

import asyncio
import os
import signal
from pathlib import Path

from knowledge.client import KnowledgeClient
from knowledge.indexing import Splitter
from knowledge.model_files import find_model
from ontology.database import create_engine
from ontology.log_lines import configure_logging
from ontology.redis_client import create_redis
from ontology.settings import Settings
from ontology.usage_patterns import CALLS_PER_BATCH
from worker.duties import Duty, keep_doing
from worker.housekeeping import forget_expired
from worker.indexing import IndexKeeper
from worker.patterns import learn_patterns, share_learnt, tell_own
from worker.request_log import BATCH, drain_request_log

HOUSEKEEPING_SECONDS = 600.0
LEARNING_SECONDS, SHARING_SECONDS = 15.0, 300.0


async def main() -> None:
    """Run every duty side by side; a signal lets each finish its turn."""
    settings = Settings.from_environment(os.environ)
    configure_logging(settings.log_level)
    engine = create_engine(settings)
    redis = create_redis(settings)
    knowledge = KnowledgeClient(Path(settings.knowledge_socket))
    keeper = IndexKeeper(engine, knowledge, Splitter(find_model(settings.embedding_model)))
    duties = (
        Duty("request log", lambda: drain_request_log(engine, redis), rest_seconds=0.25, full_turn=BATCH),
        Duty("indexing", keeper.index, rest_seconds=0.3),
        Duty("housekeeping", lambda: forget_expired(engine), rest_seconds=HOUSEKEEPING_SECONDS),
        Duty("patterns", lambda: learn_patterns(engine), rest_seconds=LEARNING_SECONDS, full_turn=CALLS_PER_BATCH),
        Duty("own patterns", lambda: tell_own(engine), rest_seconds=SHARING_SECONDS),
        Duty("shared patterns", lambda: share_learnt(engine), rest_seconds=SHARING_SECONDS),
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    await asyncio.gather(*(keep_doing(duty, stopping) for duty in duties))
    await knowledge.close()
    await redis.aclose()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main())
