"""Fixtures on real parts; see `tests/parts.py`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as generated
from sqlalchemy.ext.asyncio import AsyncEngine

from ontology.database import create_engine
from ontology.settings import Settings
from tests.parts import Parts, RunningPortal, portal_environment, portal_program, running_parts, temporary_data_dir

# The same cases every time, and as long as a busy machine needs for each.
generated.register_profile("repeatable", deadline=None, derandomize=True, max_examples=60)
generated.load_profile("repeatable")


@pytest.fixture(scope="session")
def parts() -> Iterator[Parts]:
    """PostgreSQL and Redis, started once; a crash may lose their data."""
    with running_parts() as parts:
        yield parts


@pytest.fixture
def database(parts: Parts) -> Iterator[str]:
    """The name of a freshly migrated, empty database for one test."""
    with parts.new_database() as name:
        yield name


@pytest.fixture
def settings(parts: Parts, database: str, tmp_path: Path) -> Settings:
    """Settings of a program on that database and an empty Redis."""
    parts.empty_redis()
    return parts.settings(database, tmp_path)


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """The program's pool on that database."""
    engine = create_engine(settings)
    yield engine
    await engine.dispose()


@pytest.fixture(scope="session")
def running_portal() -> Iterator[RunningPortal]:
    """The whole program on embedded parts, knowledge process and worker included, started once."""
    with temporary_data_dir() as data_dir, portal_program(portal_environment(data_dir)) as portal:
        yield portal
