"""Documents: what a group wants to be found. Their input, and the rules by which they are stored, replaced and deleted.

A document with an `externalId` is the group's only one of that name: put again it is replaced in a new version, and put
unchanged it is left alone, so that a whole tree of pages may be sent after every change of one. The entries of an
OpenAPI document (`document_id`) are made by the indexer and follow it: they are never written on their own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field as PydanticField
from sqlalchemy import any_, literal, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from ontology.actors import Actor
from ontology.database import lock_for_count
from ontology.errors import Conflict, Flaw, NotFound, PortalError
from ontology.events import record_event
from ontology.groups import Group, get_active_group, get_group
from ontology.ids import GroupId, encode_id
from ontology.knowledge_items import DocumentFormat, KnowledgeItem
from ontology.pagination import Page, PageRequest, count_rows, describe_list, fetch_page
from ontology.records import Input, next_change, utc_now

TEXT_LENGTH_MAX = 1_000_000
BATCH_MAX = 1_000
Format = Literal["markdown", "html", "text", "openapi"]
Kind = Literal["page", "error", "pattern"]
Change = Literal["created", "replaced", "unchanged"]
ExternalId = Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S", examples=["guides/refunds.md"])]
Label = Annotated[str, PydanticField(min_length=1, max_length=100, pattern=r"\S")]


class DocumentCreate(Input):
    """A page, or an OpenAPI document, to make searchable, in the key's group unless `groupId` names one below it."""

    title: Annotated[str, PydanticField(min_length=1, max_length=500, pattern=r"\S", examples=["Refund policy"])]
    text: Annotated[
        str,
        PydanticField(
            min_length=1, max_length=TEXT_LENGTH_MAX, pattern=r"\S", examples=["# Refunds\n\nWithin 14 days."]
        ),
    ]
    kind: Annotated[Kind, PydanticField(examples=["page"])] = "page"
    format: Annotated[Format, PydanticField(examples=["markdown"])] = "markdown"
    external_id: ExternalId | None = None
    url: Annotated[str, PydanticField(max_length=2000, pattern=r"^(https?://|/)[^\s]*$")] | None = None
    visibility: Annotated[Literal["group", "subtree"], PydanticField(examples=["group"])] = "group"
    labels: Annotated[list[Label], PydanticField(max_length=50)] = PydanticField(default_factory=list)
    group_id: GroupId | None = None


class DocumentPut(DocumentCreate):
    """A document with a name of your own, `externalId`, under which it is created or replaced."""

    external_id: ExternalId  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """Which documents to list; None means any. Entries of a specification are listed by its id only."""

    kind: str | None = None
    format: str | None = None
    status: Literal["pending", "indexed"] | None = None
    label: str | None = None
    external_id: str | None = None
    group_id: UUID | None = None
    specification_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as it is now, and what was done to make it so."""

    document: KnowledgeItem
    change: Change


async def get_document(session: AsyncSession, actor: Actor, document_id: UUID) -> KnowledgeItem:
    """A live document the actor may read, or a pattern of its own calls.

    Raises:
        NotFound: the same whether it does not exist or lies out of reach.
    """
    query = KnowledgeItem.visible_to(actor).where(
        col(KnowledgeItem.id) == document_id,
        col(KnowledgeItem.knowledge_type) != "chunk",
        col(KnowledgeItem.deleted_at).is_(None),
    )
    if (found := (await session.exec(query)).first()) is None:
        raise NotFound
    return found


async def list_documents(
    session: AsyncSession, actor: Actor, page: PageRequest, wanted: DocumentFilter
) -> Page[KnowledgeItem]:
    """Live documents of the actor's own organisation that it may read, newest first.

    Raises:
        NotFound: the group or the specification is out of reach.
    """
    row = KnowledgeItem
    query = row.visible_to(actor).where(
        col(row.org_id) == actor.org_id,
        col(row.knowledge_type) == "document",
        col(row.deleted_at).is_(None),
    )
    if wanted.specification_id is None:
        query = query.where(col(row.document_id).is_(None))
    else:
        specification = await get_document(session, actor, wanted.specification_id)
        query = query.where(col(row.document_id) == specification.id)
    if wanted.group_id is not None:
        group = await get_group(session, actor, wanted.group_id)
        query = query.where(col(row.group_id) == group.id)
    for column, value in ((row.kind, wanted.kind), (row.format, wanted.format), (row.external_id, wanted.external_id)):
        if value is not None:
            query = query.where(col(column) == value)
    if wanted.label is not None:
        query = query.where(literal(wanted.label) == any_(col(row.labels)))
    if wanted.status is not None:
        is_indexed = col(row.indexed_version) >= col(row.version)
        query = query.where(is_indexed if wanted.status == "indexed" else ~is_indexed)
    return await fetch_page(session, actor, query, row.id, page, describe_list("documents", wanted=wanted))


async def count_documents(session: AsyncSession, actor: Actor) -> tuple[int, int]:
    """How many documents such a list has, and how many of them search does not find yet; both up to `TOTAL_MAX`."""
    row = KnowledgeItem
    query = row.visible_to(actor).where(
        col(row.org_id) == actor.org_id,
        col(row.knowledge_type) == "document",
        col(row.deleted_at).is_(None),
        col(row.document_id).is_(None),
    )
    pending = query.where(col(row.indexed_version) < col(row.version))
    return await count_rows(session, query, row.id), await count_rows(session, pending, row.id)


async def create_document(session: AsyncSession, actor: Actor, new: DocumentCreate) -> KnowledgeItem:
    """Store a document and its event; the worker makes it searchable within two seconds.

    Raises:
        NotFound, GroupArchived: the group. Conflict: `externalId` is in use in that group.
    """
    writing = await _begin(session, actor, [new])
    group = writing.find_group(new)
    if (group.id, new.external_id) in writing.held:
        flaw = Flaw("body.externalId", "is used by another document of the group", "put it to replace that document")
        raise Conflict("A document with this `externalId` exists already.", flaws=[flaw], leads_to=("putDocument",))
    stored = _put(writing, new)
    await _finish(writing)
    return stored.document


async def put_document(session: AsyncSession, actor: Actor, new: DocumentPut) -> Stored:
    """Create the document, or replace the group's one of that `externalId`; what is equal already is left alone.

    Raises:
        NotFound, GroupArchived: the group.
    """
    (outcome,) = await put_documents(session, actor, [new])
    if isinstance(outcome, PortalError):
        raise outcome
    return outcome


async def put_documents(
    session: AsyncSession, actor: Actor, items: Sequence[DocumentCreate | PortalError]
) -> list[Stored | PortalError]:
    """Put many documents, in order; what became of each, by place. A refusal spoils no other.

    Items without `externalId` are created. The whole takes a handful of statements, whatever the number of items.
    """
    writing = await _begin(session, actor, [item for item in items if isinstance(item, DocumentCreate)])
    outcomes: list[Stored | PortalError] = []
    for item in items:
        try:
            outcomes.append(item if isinstance(item, PortalError) else _put(writing, item))
        except PortalError as refusal:
            outcomes.append(refusal)
    await _finish(writing)
    return outcomes


async def delete_document(session: AsyncSession, actor: Actor, document_id: UUID) -> KnowledgeItem:
    """Delete a document and its entries; search stops showing them at once, the index forgets them soon after.

    Raises:
        NotFound: not within reach, or not written (what is shared from above, and patterns, can only be read).
        Conflict: it is an entry of a specification.
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
    if document.document_id is not None:
        told = "It is an entry of a specification; change or delete that (`specificationId`)."
        raise Conflict(told, leads_to=("getDocument", "deleteDocument"))
    document.deleted_at = document.updated_at = next_change(document.updated_at)
    document.version += 1
    await _delete_entries(session, actor, [document.id])
    _record(session, actor, "thing_deleted", document)
    return document


def digest_document(new: DocumentCreate) -> str:
    """Equal exactly when putting the document would change nothing."""
    fields = new.model_dump(mode="json", exclude={"group_id", "external_id"})
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


@dataclass
class _Writing:
    """What the documents of one transaction stand on, looked up once."""

    session: AsyncSession
    actor: Actor
    groups: Mapping[UUID, Group | PortalError]
    held: dict[tuple[UUID, str | None], KnowledgeItem]
    changed: list[tuple[str, KnowledgeItem]] = field(default_factory=list[tuple[str, KnowledgeItem]])
    shown_otherwise: list[KnowledgeItem] = field(default_factory=list[KnowledgeItem])
    no_longer_openapi: list[UUID] = field(default_factory=list[UUID])

    def find_group(self, new: DocumentCreate) -> Group:
        """Raises: NotFound, GroupArchived."""
        group = self.groups[new.group_id or self.actor.group_id]
        if isinstance(group, PortalError):
            raise group
        return group


async def _begin(session: AsyncSession, actor: Actor, items: Sequence[DocumentCreate]) -> _Writing:
    """The groups, and the documents held under the names of the items, locked against a second writer."""
    groups: dict[UUID, Group | PortalError] = {}
    for group_id in {item.group_id or actor.group_id for item in items}:
        try:
            groups[group_id] = await get_active_group(session, actor, group_id)
        except PortalError as refusal:
            groups[group_id] = refusal
    names = {item.external_id for item in items if item.external_id is not None}
    writable = sorted(group.id for group in groups.values() if isinstance(group, Group))
    if not names or not writable:
        return _Writing(session, actor, groups, {})
    for group_id in writable:
        await lock_for_count(session, group_id)
    query = select(KnowledgeItem).where(
        KnowledgeItem.reach(actor),
        col(KnowledgeItem.group_id).in_(writable),
        col(KnowledgeItem.external_id).in_(names),
        col(KnowledgeItem.knowledge_type) == "document",
        col(KnowledgeItem.document_id).is_(None),
        col(KnowledgeItem.deleted_at).is_(None),
    )
    rows = (await session.exec(query.order_by(col(KnowledgeItem.id)).with_for_update())).all()
    return _Writing(session, actor, groups, {(row.group_id, row.external_id): row for row in rows})


def _put(writing: _Writing, new: DocumentCreate) -> Stored:
    """Raises: NotFound, GroupArchived. InsufficientScope: the actor replaces only what it created."""
    group, digest = writing.find_group(new), digest_document(new)
    held = writing.held.get((group.id, new.external_id)) if new.external_id is not None else None
    if held is not None and held.content_hash == digest:
        return Stored(held, "unchanged")
    if held is not None:
        writing.actor.require_own(held.created_by)
        _replace(writing, held, new, digest)
        return Stored(held, "replaced")
    document = KnowledgeItem(org_id=writing.actor.org_id, group_id=group.id, created_by=writing.actor.id)
    _fill(document, new, digest)
    if new.external_id is not None:
        writing.held[group.id, new.external_id] = document
    writing.session.add(document)
    writing.changed.append(("thing_created", document))
    return Stored(document, "created")


def _replace(writing: _Writing, document: KnowledgeItem, new: DocumentCreate, digest: str) -> None:
    if document.visibility != new.visibility:
        writing.shown_otherwise.append(document)
    if document.format == DocumentFormat.OPENAPI != new.format:
        writing.no_longer_openapi.append(document.id)
    _fill(document, new, digest)
    document.version += 1
    document.updated_at = next_change(document.updated_at)
    writing.changed.append(("thing_updated", document))


def _fill(document: KnowledgeItem, new: DocumentCreate, digest: str) -> None:
    document.kind, document.format, document.visibility = new.kind, new.format, new.visibility
    document.title, document.text, document.url = new.title, new.text, new.url
    document.external_id, document.labels, document.content_hash = new.external_id, new.labels, digest


async def _finish(writing: _Writing) -> None:
    """What stands below a document follows it at once where somebody could read it who no longer may."""
    await writing.session.flush()
    for document in writing.shown_otherwise:
        below = (KnowledgeItem.reach(writing.actor)) & (col(KnowledgeItem.document_id) == document.id)
        values = {"visibility": document.visibility, "version": KnowledgeItem.version + 1}
        await writing.session.exec(update(KnowledgeItem).where(below).values(**values))
    await _delete_entries(writing.session, writing.actor, writing.no_longer_openapi)
    for type, document in writing.changed:
        _record(writing.session, writing.actor, type, document)


async def _delete_entries(session: AsyncSession, actor: Actor, document_ids: Sequence[UUID]) -> None:
    if not document_ids:
        return
    entries = (
        KnowledgeItem.reach(actor)
        & col(KnowledgeItem.document_id).in_(document_ids)
        & (col(KnowledgeItem.knowledge_type) == "document")
        & col(KnowledgeItem.deleted_at).is_(None)
    )
    now = utc_now()
    values: dict[str, Any] = {"deleted_at": now, "updated_at": now, "version": KnowledgeItem.version + 1}
    await session.exec(update(KnowledgeItem).where(entries).values(**values))


def _record(session: AsyncSession, actor: Actor, type: str, document: KnowledgeItem) -> None:
    record_event(
        session,
        actor,
        type,
        group_id=document.group_id,
        target_id=encode_id("knowledge", document.id),
        metadata={"thingType": "knowledge", "entityName": document.title, "kind": document.kind},
    )
