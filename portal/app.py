"""The one place where the program is assembled: settings, connections, the API, the pages."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from litestar import Litestar, Router
from litestar.datastructures import CacheControlHeader, State
from litestar.static_files import create_static_files_router  # pyright: ignore[reportUnknownVariableType]
from litestar.types import ASGIApp

from api.authentication import Authenticator
from api.dispatch import Dispatch
from api.frame import Frame
from api.inputs import BODY_BYTES_MAX
from api.routes import api_names, api_router, openapi_document
from api.services import Services
from api.tails import Tails
from knowledge.client import KnowledgeClient
from knowledge.search_log import SearchLog
from ontology.database import create_engine
from ontology.fast_database import FastDatabase
from ontology.log_lines import configure_logging
from ontology.redis_client import KnownServer, create_redis, find_plain_address
from ontology.redis_pipe import RedisPipe
from ontology.settings import Settings
from portal.pages import page_handlers
from portal.refusals import answer_refusal, render_refusal
from portal.rendering import STATIC_DIR
from portal.security_headers import SecurityHeaders


def create_services(settings: Settings) -> Services:
    """Connections are opened at first use, so making them costs nothing and cannot fail."""
    engine = create_engine(settings)
    authenticators: list[Authenticator] = []

    def forget_credentials() -> None:
        for authenticator in authenticators:
            authenticator.forget_all()

    server = KnownServer(forget_credentials)
    redis = create_redis(settings, server=server)
    address = find_plain_address(settings.redis_url)
    pipe = RedisPipe(address, server) if address is not None else None
    authenticator = Authenticator(engine, redis, pipe, pepper=settings.key_pepper, processes=settings.web_processes)
    authenticators.append(authenticator)
    knowledge = KnowledgeClient(Path(settings.knowledge_socket))
    hot = FastDatabase(settings)
    return Services(
        settings,
        engine,
        redis,
        pipe,
        hot,
        authenticator,
        knowledge,
        SearchLog(engine, knowledge),
        Tails(redis),
        api_names,
        partial(openapi_document, settings.public_url),
    )


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The ASGI application of one web process."""
    settings = settings or Settings.from_environment(os.environ)
    configure_logging(settings.log_level)
    services = create_services(settings)
    frames: list[Frame] = []

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        yield
        services.tails.close()
        for frame in frames:
            await frame.close()
        await services.searches.close()
        await services.knowledge.close()
        await services.hot.close()
        if services.pipe is not None:
            await services.pipe.close()
        await services.redis.aclose()
        await services.engine.dispose()

    app = Litestar(
        route_handlers=[api_router(), *page_handlers, _static_files()],
        exception_handlers={Exception: answer_refusal},
        lifespan=[lifespan],
        state=State({"services": services}),
        openapi_config=None,
        request_max_body_size=BODY_BYTES_MAX + 1,
        debug=settings.debug,
        logging_config=None,
    )
    frames.append(Frame(Dispatch(app), services, partial(render_refusal, settings)))
    return SecurityHeaders(frames[0], secure=settings.public_url.startswith("https:"))


def _static_files() -> Router:
    """Addressed by the hash of their content, so they may be kept for ever."""
    return create_static_files_router(
        path="/static",
        directories=[STATIC_DIR],
        cache_control=CacheControlHeader(public=True, max_age=31_536_000, immutable=True),
        opt={"public": True},
    )
