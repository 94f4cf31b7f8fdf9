"""What an operation says of itself, and what its handler is given of a call."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from litestar.types import Method
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession

from api.answers import FastAnswer
from api.parameters import DryRunQuery
from api.preconditions import CONDITIONAL_KINDS
from api.services import Services
from api.versions import Deprecation
from ontology.actors import Actor
from ontology.addresses import Source
from ontology.credentials import Credential
from ontology.errors import PortalError
from ontology.pagination import PageRequest
from ontology.records import Input
from ontology.scopes import Scope

# A row, a page of rows with its cursor, a short list without one, or rows sent one by one as they are made.
Shape = Literal["row", "page", "list", "stream"]

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")


class NoBody(Input):
    """An operation without a body."""


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body that is no JSON: its media type, its bounds, and what the handler is given for its bytes.

    `read` is given the query too, and runs before there is a transaction, since it may take seconds.
    """

    media_type: str
    bytes_max: int
    seconds_max: int
    read: Callable[[Services, bytes, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class FastCall(Generic[BodyT, QueryT]):
    """One call, all of it checked, for a handler that needs no session and answers in bytes."""

    services: Services
    actor: Actor
    credential: Credential
    body: BodyT
    query: QueryT
    ids: Mapping[str, UUID]

    def page(self, query: Any) -> PageRequest:
        """The page asked for by a query with `limit` and `cursor`."""
        return PageRequest(self.services.settings.secret_key, query.limit, query.cursor)


@dataclass(frozen=True, slots=True)
class Call(FastCall[BodyT, QueryT]):
    """One call of an operation, all of it checked."""

    session: AsyncSession
    source: Source
    header: Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A result that is finished after its transaction, because it waits for somebody else.

    Such an answer is kept for no idempotency key: asking for it again is harmless.
    """

    finish: Callable[[], Awaitable[Any]]


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]
FastHandler = Callable[[FastCall[Any, Any]], Awaitable[FastAnswer]]
AfterCommit = Callable[[Services, Actor], Awaitable[None]]


@dataclass(frozen=True)
class Operation:
    """What an operation says of itself; the OpenAPI document is made of these.

    `scope=None` means any valid key, and has to be written. With a `DryRunQuery` the operation can be tried: all of it
    happens and is rolled back. A handler of the shape `stream` returns an asynchronous generator of bytes, which runs
    after its transaction and opens its own.
    """

    method: Method
    path: str
    _: KW_ONLY
    id: str
    tag: str
    scope: Scope | None
    body: type[BaseModel] | None = None
    raw_body: RawBody | None = None
    query: type[BaseModel] | None = None
    path_ids: Mapping[str, str] = field(default_factory=dict[str, str])
    answer: type[BaseModel] | None = None
    shape: Shape = "row"
    status: int = 200
    errors: tuple[type[PortalError], ...] = ()
    media_type: str = "application/json"
    deprecated: Deprecation | None = None
    body_example: Any = None
    answer_example: Any = None

    has_tag: bool | None = None
    """Whether its answers have an `ETag`; None: those that are one row which may change."""

    takes_keys: bool = False
    """Elsewhere a body that holds an API key is refused and the key treated as leaked."""

    streams: bool = False
    """Whether it can answer in server-sent events too, by such a generator, to who would rather have those."""

    after_commit: AfterCommit | None = None
    """Runs when the transaction has committed and before the answer is sent."""

    fast: FastHandler | None = None
    """Gives the same answer, to the byte, by a shorter way, or raises Unserved; never asked where a call has an
    idempotency key, conditions, or is on trial."""

    summary: str = ""
    description: str = ""

    @cached_property
    def tagged(self) -> bool:
        return self.shape == "row" and _has_states(self.answer) if self.has_tag is None else self.has_tag

    @cached_property
    def conditional(self) -> bool:
        """Whether it is about one present state: reads that have a tag, and writes on the one row their path names."""
        if self.method == "GET":
            return self.tagged
        if len(self.path_ids) != 1 or not CONDITIONAL_KINDS.issuperset(self.path_ids.values()):
            return False
        return self.path.endswith("/restore") or self.method in ("PATCH", "PUT", "DELETE")

    @cached_property
    def can_run_dry(self) -> bool:
        return self.query is not None and issubclass(self.query, DryRunQuery)


def _has_states(answer: type[BaseModel] | None) -> bool:
    """Whether it is a row that changes; an event or a count does not."""
    return answer is not None and "updated_at" in answer.model_fields
