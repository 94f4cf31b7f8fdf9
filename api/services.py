"""What handlers stand on, made once per process and kept on the application's state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from api.authentication import Authenticator
from api.tails import Tails
from knowledge.claims import ApiNames
from knowledge.client import KnowledgeClient
from knowledge.search_log import SearchLog
from ontology.fast_database import FastDatabase
from ontology.redis_client import Redis
from ontology.redis_pipe import RedisPipe
from ontology.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The settings and one connection to each outside system."""

    settings: Settings
    engine: AsyncEngine
    redis: Redis
    pipe: RedisPipe | None
    """None where Redis is reached by TLS: then `redis` does what is done here."""

    hot: FastDatabase
    authenticator: Authenticator
    knowledge: KnowledgeClient
    searches: SearchLog
    tails: Tails
    api_names: Callable[[], ApiNames]
    """What the live OpenAPI document names; read when first needed."""
    openapi: Callable[[], dict[str, Any]]
    """The OpenAPI document of this program, made at first use."""
