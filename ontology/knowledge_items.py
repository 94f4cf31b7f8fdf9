"""Knowledge: what things mean. Documents and the passages they are cut into; the search index holds only their ids.

An item is visible to its group and the groups above; marked `subtree`, to those below too; marked `public` (the
platform's own), to everyone. `indexed_version` behind `version` is the mark by which the worker finds what to index.
"""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field as PydanticField
from pydantic import computed_field
from sqlalchemy import ARRAY, CheckConstraint, ForeignKeyConstraint, Index, Text, Uuid
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from ontology.actors import PLATFORM_ORG_ID, Actor
from ontology.database import lock_for_count
from ontology.errors import Conflict, Flaw, NotFound
from ontology.events import record_event
from ontology.groups import get_active_group, get_group
from ontology.ids import GroupId, KnowledgeId, encode_id, new_id
from ontology.pagination import Page, PageRequest, describe_list, fetch_page
from ontology.records import Input, Moment, TenantRow, Timestamp, utc_now

TEXT_LENGTH_MAX = 400_000


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
    TEXT = "text"


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

    @computed_field
    @property
    def status(self) -> str:
        return "indexed" if self.indexed_version >= self.version else "pending"


class KnowledgeItem(KnowledgeFields, table=True):
    """A document, or a chunk of one (`document_id`); the few fields of each are null in the other."""

    __tablename__ = "knowledge_items"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        CheckConstraint("visibility IN ('group', 'subtree', 'public')", name="visibility"),
        CheckConstraint("knowledge_type IN ('label', 'document', 'chunk', 'vector_only')", name="knowledge_type"),
        Index("ix_knowledge_items_org_id_id", "org_id", "id"),
        Index("ix_knowledge_items_document_id_position", "document_id", "position"),
        Index(
            "uq_knowledge_items_org_id_group_id_external_id",
            "org_id",
            "group_id",
            "external_id",
            unique=True,
            postgresql_where=sql("knowledge_type = 'document' AND external_id IS NOT NULL AND deleted_at IS NULL"),
        ),
        Index(
            "ix_knowledge_items_pending",
            "updated_at",
            postgresql_where=sql("knowledge_type = 'document' AND indexed_version < version"),
        ),
    )
    knowledge_type: str = Field(default="document", sa_type=Text, exclude=True)
    text: str = Field(default="", sa_type=Text, exclude=True)
    metadata_: dict[str, Any] = Field(
        default_factory=dict, sa_type=JSONB, sa_column_kwargs={"name": "metadata"}, exclude=True
    )
    document_id: UUID | None = Field(default=None, sa_type=Uuid, exclude=True)
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


class DocumentCreate(Input):
    """Markdown or plain text to make searchable, in the key's group unless `groupId` names one below it."""

    title: Annotated[str, PydanticField(min_length=1, max_length=500, pattern=r"\S", examples=["Refund policy"])]
    text: Annotated[
        str,
        PydanticField(
            min_length=1, max_length=TEXT_LENGTH_MAX, pattern=r"\S", examples=["# Refunds\n\nWithin 14 days."]
        ),
    ]
    kind: Annotated[Literal["page", "error", "pattern"], PydanticField(examples=["page"])] = "page"
    format: Annotated[Literal["markdown", "text"], PydanticField(examples=["markdown"])] = "markdown"
    external_id: Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S")] | None = None
    url: Annotated[str, PydanticField(max_length=2000, pattern=r"^(https?://|/)[^\s]*$")] | None = None
    visibility: Annotated[Literal["group", "subtree"], PydanticField(examples=["group"])] = "group"
    labels: Annotated[
        list[Annotated[str, PydanticField(min_length=1, max_length=100, pattern=r"\S")]], PydanticField(max_length=50)
    ] = PydanticField(default_factory=list)
    group_id: GroupId | None = None


async def get_document(session: AsyncSession, actor: Actor, document_id: UUID) -> KnowledgeItem:
    """A live document the actor may read.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach.
    """
    query = KnowledgeItem.visible_to(actor).where(
        col(KnowledgeItem.id) == document_id,
        col(KnowledgeItem.knowledge_type) == "document",
        col(KnowledgeItem.deleted_at).is_(None),
    )
    if (found := (await session.exec(query)).first()) is None:
        raise NotFound
    return found


async def create_document(session: AsyncSession, actor: Actor, new: DocumentCreate) -> KnowledgeItem:
    """Store a document and its event; the worker makes it searchable within two seconds.

    Raises:
        NotFound, GroupArchived: the group. Conflict: `externalId` is in use in that group.
    """
    group = await get_active_group(session, actor, new.group_id)
    document = KnowledgeItem(
        org_id=actor.org_id,
        group_id=group.id,
        kind=new.kind,
        title=new.title,
        text=new.text,
        format=new.format,
        external_id=new.external_id,
        url=new.url,
        visibility=new.visibility,
        labels=new.labels,
        created_by=actor.id,
    )
    if new.external_id is not None:
        await lock_for_count(session, group.id)
        await _refuse_twin(session, actor, document)
    session.add(document)
    await session.flush()
    _record(session, actor, "thing_created", document)
    return document


async def list_documents(
    session: AsyncSession,
    actor: Actor,
    page: PageRequest,
    *,
    kind: str | None = None,
    group_id: UUID | None = None,
) -> Page[KnowledgeItem]:
    """Live documents of the actor's own organisation that it may read, newest first.

    Raises:
        NotFound: the group is out of reach.
    """
    query = KnowledgeItem.visible_to(actor).where(
        col(KnowledgeItem.org_id) == actor.org_id,
        col(KnowledgeItem.knowledge_type) == "document",
        col(KnowledgeItem.deleted_at).is_(None),
    )
    if kind:
        query = query.where(col(KnowledgeItem.kind) == kind)
    if group_id:
        group = await get_group(session, actor, group_id)
        query = query.where(col(KnowledgeItem.group_id) == group.id)
    purpose = describe_list("documents", kind=kind, group=group_id)
    return await fetch_page(session, actor, query, KnowledgeItem.id, page, purpose)


async def delete_document(session: AsyncSession, actor: Actor, document_id: UUID) -> KnowledgeItem:
    """Delete a document; search stops showing it at once, the index forgets it soon after.

    Raises:
        NotFound: not within reach (a document shared from above can be read but not deleted).
    """
    query = select(KnowledgeItem).where(
        KnowledgeItem.reach(actor),
        col(KnowledgeItem.id) == document_id,
        col(KnowledgeItem.knowledge_type) == "document",
        col(KnowledgeItem.deleted_at).is_(None),
    )
    document = (await session.exec(query.with_for_update())).first()
    if document is None:
        raise NotFound
    await get_active_group(session, actor, document.group_id)
    document.deleted_at = document.updated_at = utc_now()
    document.version += 1
    _record(session, actor, "thing_deleted", document)
    return document


async def list_chunks(session: AsyncSession, document_id: UUID) -> list[KnowledgeItem]:
    """The passages of a document, in order; the transaction decides what is visible."""
    query = select(KnowledgeItem).where(col(KnowledgeItem.document_id) == document_id)
    return list((await session.exec(query.order_by(col(KnowledgeItem.position)))).all())


async def claim_pending(session: AsyncSession, limit: int) -> list[KnowledgeItem]:
    """Documents of all organisations whose index is behind, oldest first, locked until commit (duty `indexing`).

    Other workers skip what is locked here. Uses the partial index `ix_knowledge_items_pending`.
    """
    query = (
        select(KnowledgeItem)
        .where(
            col(KnowledgeItem.knowledge_type) == "document",
            col(KnowledgeItem.indexed_version) < col(KnowledgeItem.version),
        )
        .order_by(col(KnowledgeItem.updated_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list((await session.exec(query)).all())


async def _refuse_twin(session: AsyncSession, actor: Actor, new: KnowledgeItem) -> None:
    query = select(KnowledgeItem.id).where(
        KnowledgeItem.reach(actor),
        col(KnowledgeItem.group_id) == new.group_id,
        col(KnowledgeItem.external_id) == new.external_id,
        col(KnowledgeItem.knowledge_type) == "document",
        col(KnowledgeItem.deleted_at).is_(None),
    )
    if (await session.exec(query)).first() is not None:
        flaw = Flaw("body.externalId", "is used by another document of the group", "delete that document first")
        raise Conflict("A document with this `externalId` exists already.", flaws=[flaw])


def _record(session: AsyncSession, actor: Actor, type: str, document: KnowledgeItem) -> None:
    record_event(
        session,
        actor,
        type,
        group_id=document.group_id,
        target_id=encode_id("knowledge", document.id),
        metadata={"thingType": "knowledge", "entityName": document.title, "kind": document.kind},
    )
