"""Knowledge: what things mean. Documents and the passages they are cut into; the search index holds only their ids.

An item is visible to its group and the groups above; marked `subtree`, to those below too; marked `public` (the
platform's own), to everyone. `indexed_version` behind `version` is the mark by which the worker finds what to index.
"""

from enum import StrEnum
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import computed_field
from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, Text, Uuid, extract, func
from sqlalchemy import select as select_columns
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from ontology.actors import PLATFORM_ORG_ID, Actor
from ontology.ids import GroupId, KnowledgeId, new_id
from ontology.records import Moment, TenantRow, Timestamp, utc_now


class Visibility(StrEnum):
    GROUP = "group"
    SUBTREE = "subtree"
    PUBLIC = "public"


class DocumentKind(StrEnum):
    PAGE = "page"
    ERROR = "error"
    PATTERN = "pattern"
    ENDPOINT = "endpoint"


class DocumentFormat(StrEnum):
    MARKDOWN = "markdown"
    HTML = "html"
    TEXT = "text"
    OPENAPI = "openapi"


class KnowledgeFields(TenantRow):
    """The public form of a document."""

    shows_more_than_its_row: ClassVar[bool] = True
    id: KnowledgeId = Field(default_factory=new_id, primary_key=True, sa_type=Uuid, serialization_alias="_id")
    group_id: GroupId = Field(sa_type=Uuid)
    kind: str = Field(default=DocumentKind.PAGE, sa_type=Text)
    title: str = Field(default="", sa_type=Text)
    format: str = Field(default="markdown", sa_type=Text)
    external_id: str | None = Field(default=None, sa_type=Text)
    url: str | None = Field(default=None, sa_type=Text)
    visibility: str = Field(default=Visibility.GROUP, sa_type=Text)
    labels: list[str] = Field(default_factory=list, sa_type=ARRAY(Text))  # pyright: ignore
    version: int = 1
    indexed_version: int = Field(default=0, exclude=True)
    created_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    updated_at: Moment = Field(default_factory=utc_now, sa_type=Timestamp)
    deleted_at: Moment | None = Field(default=None, sa_type=Timestamp)
    created_by: str = Field(sa_type=Text)
    # Of a passage the document it is part of, of an entry the OpenAPI document it was read from.
    document_id: KnowledgeId | None = Field(default=None, sa_type=Uuid, serialization_alias="specificationId")

    @computed_field
    @property
    def status(self) -> str:
        return "indexed" if self.indexed_version >= self.version else "pending"


class KnowledgeItem(KnowledgeFields, table=True):
    """A document, or a chunk of one (`document_id`); the few fields of each are null in the other.

    A group's own common calls are of the type `pattern`: indexed and read as documents are, but none that anybody
    wrote, so they are neither listed nor counted with those, and nobody replaces or deletes them.

    Documents of one group have different external ids; so have entries of one kind in one OpenAPI document.
    """

    __tablename__ = "knowledge_items"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        CheckConstraint("visibility IN ('group', 'subtree', 'public')", name="visibility"),
        CheckConstraint(
            "knowledge_type IN ('label', 'document', 'chunk', 'vector_only', 'pattern')", name="knowledge_type"
        ),
        Index("ix_knowledge_items_org_id_id", "org_id", "id"),
        Index("ix_knowledge_items_document_id_position", "document_id", "position"),
        Index(
            "uq_knowledge_items_org_id_group_id_external_id",
            "org_id",
            "group_id",
            "external_id",
            unique=True,
            postgresql_where=sql(
                "knowledge_type = 'document' AND document_id IS NULL AND external_id IS NOT NULL AND deleted_at IS NULL"
            ),
        ),
        Index(
            "uq_knowledge_items_org_id_document_id_kind_external_id",
            "org_id",
            "document_id",
            "kind",
            "external_id",
            unique=True,
            postgresql_where=sql("knowledge_type = 'document' AND document_id IS NOT NULL AND deleted_at IS NULL"),
        ),
        Index(
            "uq_knowledge_items_pattern",
            "org_id",
            "group_id",
            "external_id",
            unique=True,
            postgresql_where=sql("knowledge_type = 'pattern' AND deleted_at IS NULL"),
        ),
        Index(
            "ix_knowledge_items_pending",
            "updated_at",
            postgresql_where=sql("knowledge_type <> 'chunk' AND indexed_version < version"),
        ),
    )
    knowledge_type: str = Field(default="document", sa_type=Text, exclude=True)
    text: str = Field(default="", sa_type=Text, exclude=True)
    metadata_: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, sa_column_kwargs={"name": "metadata"}, exclude=True
    )
    position: int | None = Field(default=None, exclude=True)
    heading_path: list[str] = Field(default_factory=list, sa_type=ARRAY(Text), exclude=True)  # pyright: ignore
    anchor: str | None = Field(default=None, sa_type=Text, exclude=True)
    content_hash: str | None = Field(default=None, sa_type=Text, exclude=True)

    @classmethod
    def visible_to(cls, actor: Actor) -> SelectOfScalar[Self]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """What the actor may read: its reach, what groups above share downwards, and the platform's own."""
        shared = (
            (col(cls.org_id) == actor.org_id)
            & (col(cls.visibility) == Visibility.SUBTREE)
            & col(cls.group_id).in_(actor.ancestor_ids)
        )
        public = (col(cls.org_id) == PLATFORM_ORG_ID) & (col(cls.visibility) == Visibility.PUBLIC)
        return select(cls).where(cls.reach(actor) | shared | public)


# Served by the partial index `ix_knowledge_items_pending`.
_PENDING = (
    col(KnowledgeItem.knowledge_type) != "chunk",
    col(KnowledgeItem.indexed_version) < col(KnowledgeItem.version),
)


async def list_chunks(session: AsyncSession, document_id: UUID) -> list[KnowledgeItem]:
    """The passages of a document, in order; the transaction decides what is visible."""
    query = select(KnowledgeItem).where(
        col(KnowledgeItem.document_id) == document_id, col(KnowledgeItem.knowledge_type) == "chunk"
    )
    return list((await session.exec(query.order_by(col(KnowledgeItem.position)))).all())


async def is_any_pending(session: AsyncSession) -> bool:
    """Whether the index is behind for any of them, of any organisation (duty `indexing`)."""
    query = select(KnowledgeItem.id).where(*_PENDING).limit(1)
    return (await session.exec(query)).first() is not None


async def claim_pending(session: AsyncSession, limit: int) -> list[KnowledgeItem]:
    """What the index is behind for, of all organisations, locked until commit (duty `indexing`).

    Each organisation's oldest come before anybody's next, so that nobody waits for all that another has stored; among
    those, what is short or has waited long. Other workers skip what is locked here.
    """
    row: Any = KnowledgeItem
    turn = func.row_number().over(partition_by=row.org_id, order_by=row.updated_at)
    waited = func.abs(extract("epoch", func.now() - row.updated_at))
    weight = func.pg_column_size(row.text) / (1 + waited)
    queue = select_columns(row.id, turn.label("turn"), weight.label("weight")).where(*_PENDING).subquery().c
    first = select_columns(queue.id).order_by(queue.turn, queue.weight).limit(limit)
    query = select(KnowledgeItem).where(col(KnowledgeItem.id).in_(first)).with_for_update(skip_locked=True)
    return list((await session.exec(query)).all())
