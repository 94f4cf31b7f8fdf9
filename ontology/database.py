"""The one place that opens transactions, and with them wall two.

Row-level security is forced on every table of a tenant and reads the settings a transaction states here: who acts
(`app.org_id`, `app.group_id`), or, before there is an actor, the one secret it holds (`app.key_digest`,
`app.session_digest`, `app.email`, `app.account_id`, `app.invitation_digest`) or the one duty it does (`app.duty`). They
end with the transaction, so a pooled connection carries nothing over. A transaction that states nothing sees nothing.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, Executable, event, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.settings import Settings

STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 3_000
POOL_WAIT_SECONDS = 5
CONNECT_TIMEOUT_SECONDS = 5


def driver_url(url: str) -> str:
    """A libpq URL in the form SQLAlchemy wants."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgres", "postgresql") else url


def create_engine(settings: Settings) -> AsyncEngine:
    """The program's pool; connections are checked before use, so a restarted server costs no failed request."""
    options = f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={LOCK_TIMEOUT_MS}"
    engine = create_async_engine(
        driver_url(settings.database_url),
        pool_size=settings.database_pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "options": options,
            "application_name": "one",
        },
    )
    event.listen(engine.sync_engine, "handle_error", _replace_unusable)
    return engine


def _replace_unusable(context: ExceptionContext) -> None:
    """Whatever a connection answers to the check before use, one that does not pass it is replaced, not handed out.

    One whose statement was abandoned half-way is still busy, which the driver calls a mistake of the program's.
    """
    if context.is_pre_ping:
        context.is_disconnect = True


async def run_sql(
    session: AsyncSession, statement: Executable, values: Mapping[str, Any] | None = None
) -> CursorResult[Any]:
    """Run a statement that is not a query for rows of a model, in the session's transaction."""
    connection = await session.connection()
    result: CursorResult[Any] = await connection.execute(statement, dict(values or {}))
    return result


async def state(session: AsyncSession, values: Mapping[str, str]) -> None:
    """State who acts for the rest of this transaction; earlier statements of the same name are replaced."""
    parts = ", ".join(f"set_config('app.{name}', :{name}, true)" for name in values)
    await run_sql(session, text(f"SELECT {parts}"), values)


async def state_actor(session: AsyncSession, actor: Actor) -> None:
    """From here on the transaction acts as `actor`, and sees no more than that."""
    await state(session, {"org_id": str(actor.org_id), "group_id": str(actor.group_id)})


@asynccontextmanager
async def whole_organisation(session: AsyncSession, actor: Actor) -> AsyncGenerator[None]:
    """Widen wall two to the actor's organisation for one statement, then narrow it again.

    For plan counts, the organisation's own name and the end of a deleted thing's connections only; what is read here
    is never returned as a row.
    """
    await state(session, {"group_id": str(actor.org_id)})
    yield
    await state(session, {"group_id": str(actor.group_id)})


async def lock_for_count(session: AsyncSession, subject: UUID) -> None:
    """Make parallel transactions that count `subject` wait for one another until commit."""
    await run_sql(session, text("SELECT pg_advisory_xact_lock(hashtextextended(:id, 0))"), {"id": str(subject)})


async def lock_tree(session: AsyncSession, org_id: UUID, *, shared: bool = False) -> None:
    """Hold an organisation's tree of groups still until commit.

    Groups are created side by side (`shared`); moving, archiving and restoring wait for all others and make them wait,
    so that nobody reads a place in the tree that is about to change. Take it before reading any group.
    """
    name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    await run_sql(session, text(f"SELECT {name}(hashtextextended(:id, 2))"), {"id": str(org_id)})


@asynccontextmanager
async def open_transaction(engine: AsyncEngine, actor: Actor) -> AsyncGenerator[AsyncSession]:
    """One transaction acting as `actor`: committed at the end, rolled back if anything is raised."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        await state_actor(session, actor)
        yield session


@asynccontextmanager
async def open_lookup(engine: AsyncEngine, **secrets: str) -> AsyncGenerator[AsyncSession]:
    """One transaction that knows one secret (`key_digest`, `session_digest`, `email`) and sees only its row."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        await state(session, secrets)
        yield session


@asynccontextmanager
async def open_duty(engine: AsyncEngine, duty: str) -> AsyncGenerator[AsyncSession]:
    """One transaction of the worker, allowed just what the policies grant to `duty`."""
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        await state(session, {"duty": duty})
        yield session


async def check_database(engine: AsyncEngine) -> None:
    """One round trip; raises what the driver raises when the database is away."""
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
