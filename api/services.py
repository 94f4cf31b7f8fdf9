"""What handlers stand on, made once per process and kept on the application's state."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from api.authentication import Authenticator
from api.tails import Tails
from knowledge.client import KnowledgeClient
from ontology.redis_client import Redis
from ontology.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """The settings and one connection to each outside system."""

    settings: Settings
    engine: AsyncEngine
    redis: Redis
    authenticator: Authenticator
    knowledge: KnowledgeClient
    tails: Tails
