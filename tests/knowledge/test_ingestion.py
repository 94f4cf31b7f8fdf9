"""From rows to hits: documents of groups and of the platform, on a real database and a real index."""

import asyncio
import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, select

from knowledge.errors import IndexBuilding
from knowledge.index.interface import SearchScope
from knowledge.indexing import DocumentSource, Splitter
from knowledge.ingestion import (
    DOCUMENTS_PER_BATCH,
    PASSAGES_PER_TURN,
    index_pending,
    ingest_platform,
    reconcile,
    store_entries,
)
from knowledge.protocol import SearchRequest
from knowledge.search import Hit, search
from ontology.actors import Actor, anonymous_actor
from ontology.database import open_duty, open_lookup, open_transaction
from ontology.documents import (
    DocumentCreate,
    DocumentPut,
    create_document,
    delete_document,
    get_document,
    put_document,
)
from ontology.errors import ExpiredApiKey, SearchUnavailable
from ontology.groups import GroupCreate, create_group, find_ancestor_ids
from ontology.knowledge_items import KnowledgeItem, claim_pending
from ontology.registration import Applicant, register_organisation
from tests.knowledge.conftest import Knowledge, Serve
from worker.indexing import IndexKeeper

ROTATION = "Rotate a key by creating a second one, moving traffic to it, and revoking the first."


async def register(engine: AsyncEngine, name: str) -> Actor:
    async with open_lookup(engine) as session:
        applicant = Applicant(name, "Ada Owner", f"{name.lower()}@example.org")
        return (await register_organisation(session, applicant, pepper="pepper")).actor


async def add_group(engine: AsyncEngine, owner: Actor, name: str, parent: Actor | None = None) -> Actor:
    """An actor in a new group below the parent's."""
    body: dict[str, Any] = {"name": name}
    async with open_transaction(engine, parent or owner) as session:
        group = await create_group(session, parent or owner, GroupCreate.model_validate(body))
    async with open_transaction(engine, owner) as session:
        ancestors = await find_ancestor_ids(session, owner.org_id, group.id)
    return Actor(owner.id, owner.org_id, group.id, owner.scopes, ancestor_ids=ancestors)


async def add_document(engine: AsyncEngine, actor: Actor, title: str, text: str = ROTATION, **more: Any) -> UUID:
    new = DocumentCreate.model_validate({"title": title, "text": text, **more})
    async with open_transaction(engine, actor) as session:
        return (await create_document(session, actor, new)).id


async def index_all(engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter) -> int:
    total = 0
    while done := await index_pending(engine, knowledge.client, splitter):
        total += done
    return total


async def find(engine: AsyncEngine, knowledge: Knowledge, actor: Actor, query: str, **more: Any) -> list[Hit]:
    async with open_transaction(engine, actor) as session:
        return await search(session, actor, knowledge.client, query, **more)


async def test_a_groups_document_is_found_by_its_group_and_by_nobody_else(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    owner, stranger = await register(engine, "Acme"), await register(engine, "Rival")
    parent = await add_group(engine, owner, "Parent")
    child, sibling = await add_group(engine, owner, "Child", parent), await add_group(engine, owner, "Sibling")
    own = await add_document(engine, child, "Rotation", url="/handbook", externalId="rot")
    shared = await add_document(engine, parent, "Rotation for all", visibility="subtree")
    assert await index_all(engine, knowledge, splitter) == 2

    async def seen_by(actor: Actor) -> set[UUID]:
        return {hit.document_id for hit in await find(engine, knowledge, actor, "replace my key")}

    assert await seen_by(child) == {own, shared}
    assert await seen_by(parent) == {own, shared}
    assert await seen_by(owner) == {own, shared}
    assert await seen_by(sibling) == set()
    assert await seen_by(stranger) == set()
    assert await seen_by(anonymous_actor()) == set()

    (hit,) = await find(engine, knowledge, owner, "replace my key", group_id=child.group_id)
    assert hit.as_json() == {
        "kind": "page",
        "documentId": hit.as_json()["documentId"],
        "externalId": "rot",
        "title": "Rotation",
        "headingPath": [],
        "url": "/handbook",
        "text": ROTATION,
        "highlights": [ROTATION],
        "score": hit.score,
        "method": None,
        "path": None,
        "operationId": None,
    }
    assert hit.as_json()["documentId"].startswith("knowledge_")
    async with open_transaction(engine, child) as session:
        assert (await get_document(session, child, own)).status == "indexed"


async def test_a_stale_point_shows_nothing(engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter) -> None:
    """The second wall: what the index still holds, or holds wrongly, does not pass the database."""
    owner, stranger = await register(engine, "Acme"), await register(engine, "Rival")
    document_id = await add_document(engine, owner, "Rotation")
    await index_all(engine, knowledge, splitter)
    (ranked,) = await knowledge.client.search(SearchRequest(ROTATION, SearchScope(owner.org_id, owner.org_id), (), 10))

    class Careless:
        """An index that forgot its filter."""

        async def search(self, request: SearchRequest) -> list[Any]:
            return [ranked]

    async with open_transaction(engine, stranger) as session:
        assert await search(session, stranger, Careless(), ROTATION) == []  # pyright: ignore[reportArgumentType]
    async with open_transaction(engine, owner) as session:
        assert len(await search(session, owner, Careless(), ROTATION)) == 1  # pyright: ignore[reportArgumentType]
        await delete_document(session, owner, document_id)
    assert await find(engine, knowledge, owner, ROTATION) == []
    assert (await knowledge.client.stats()).points > 0
    await index_all(engine, knowledge, splitter)
    assert (await knowledge.client.stats()).points == 0


async def test_a_changed_document_keeps_the_passages_that_did_not_change(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    owner = await register(engine, "Acme")
    sections = [f"## Rule {n}\n\n{ROTATION} This is rule {n} of the handbook, and it holds for all." for n in range(4)]
    document_id = await add_document(engine, owner, "Rules", "\n\n".join(sections))
    await index_all(engine, knowledge, splitter)
    before = {row.id for row in await chunks(engine, document_id)}
    embedded = (await knowledge.client.stats()).embedded_texts
    sections.insert(0, sections.pop().replace("holds for all", "holds for some"))
    async with open_duty(engine, "indexing") as session:
        changed = update(KnowledgeItem).where(col(KnowledgeItem.id) == document_id)
        await session.exec(changed.values(text="\n\n".join(sections), version=KnowledgeItem.version + 1))
    await index_all(engine, knowledge, splitter)
    after = await chunks(engine, document_id)
    assert len(before & {row.id for row in after}) == 3
    assert [row.heading_path[0] for row in after] == ["Rule 3", "Rule 0", "Rule 1", "Rule 2"]
    assert (await knowledge.client.stats()).embedded_texts == embedded + 1


async def chunks(engine: AsyncEngine, document_id: UUID) -> list[KnowledgeItem]:
    async with open_duty(engine, "indexing") as session:
        query = select(KnowledgeItem).where(col(KnowledgeItem.document_id) == document_id)
        return list((await session.exec(query.order_by(col(KnowledgeItem.position)))).all())


async def test_hostile_and_empty_documents_hold_up_nobody(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    owner = await register(engine, "Acme")
    await add_document(engine, owner, "Brackets", "[" * 50_000)
    await add_document(engine, owner, "Matter", "---\nkind: [\n---\n<script>alert(1)</script>")
    await add_document(engine, owner, "Nothing", "---\ntitle: only matter\n---\n")
    last = await add_document(engine, owner, "Rotation")
    await index_all(engine, knowledge, splitter)
    assert (await find(engine, knowledge, owner, "rotate a key"))[0].document_id == last
    assert (await find(engine, knowledge, owner, "Nothing"))[0].text == "Nothing"


async def test_an_outage_leaves_documents_pending(
    engine: AsyncEngine, serve: Serve, splitter: Splitter, tmp_path: Path
) -> None:
    owner = await register(engine, "Acme")
    document_id = await add_document(engine, owner, "Rotation")
    async with serve(tmp_path / "first") as served:
        pass
    with pytest.raises(SearchUnavailable):
        await index_pending(engine, served.client, splitter)
    async with open_transaction(engine, owner) as session:
        assert (await get_document(session, owner, document_id)).status == "pending"
    async with serve(tmp_path / "first") as served:
        assert await index_all(engine, served, splitter) == 1


async def test_a_lost_index_is_filled_again_and_strays_are_dropped(
    engine: AsyncEngine, serve: Serve, splitter: Splitter, tmp_path: Path
) -> None:
    owner = await register(engine, "Acme")
    await add_document(engine, owner, "Rotation")
    async with serve(tmp_path / "first") as served:
        await index_all(engine, served, splitter)
        assert await reconcile(engine, served.client) == 0
        first = await served.client.stats()
    shutil.rmtree(tmp_path / "first")
    async with serve(tmp_path / "first") as served:
        assert (await served.client.stats()).index_id != first.index_id
        assert await find(engine, served, owner, "rotate") == []
        assert await reconcile(engine, served.client) == 1
        assert await index_all(engine, served, splitter) == 1
        assert len(await find(engine, served, owner, "rotate")) == 1
        async with open_duty(engine, "indexing") as session:
            for row in (await session.exec(select(KnowledgeItem))).all():
                await session.delete(row)
        await reconcile(engine, served.client)
        assert (await served.client.stats()).points == 0


async def test_two_indexers_do_not_work_at_once(engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter) -> None:
    owner = await register(engine, "Acme")
    for n in range(4):
        await add_document(engine, owner, f"Rule {n}")
    done = await asyncio.gather(*(index_pending(engine, knowledge.client, splitter) for _ in range(4)))
    assert sum(done) == 4 and (await knowledge.client.stats()).embedded_texts == 8


async def test_a_lost_index_is_whole_again_when_all_that_was_there_is_back(
    engine: AsyncEngine, serve: Serve, splitter: Splitter, pages: Path, tmp_path: Path
) -> None:
    """Half-way it answers nothing; what is written meanwhile does not hold it up."""
    owner = await register(engine, "Acme")
    async with serve(tmp_path / "qdrant", whole=False) as served:
        keeper = IndexKeeper(engine, served.client, splitter)
        await add_document(engine, owner, "Rotation")
        while await keeper.index():
            assert not await served.client.ping()
        assert not await served.client.ping(), "the platform's own documents are not there yet"
        await ingest_platform(engine, pages, [ExpiredApiKey], OPENAPI)
        while not await served.client.ping():
            with pytest.raises(IndexBuilding):
                await find(engine, served, owner, "rotate")
            assert await keeper.index()
        assert (await find(engine, served, owner, "rotate"))[0].title == "Rotation"

        for number in range(DOCUMENTS_PER_BATCH * 2):
            await add_document(engine, owner, f"Rule {number}")
        assert await served.client.ping(), "new documents leave a whole index whole"
        while await keeper.index():
            pass

        shutil.rmtree(tmp_path / "qdrant")
        written = 0
        while await keeper.index():
            if not await served.client.ping():
                written += 1
                await add_document(engine, owner, f"Written meanwhile {written}")
                with pytest.raises(IndexBuilding):
                    await find(engine, served, owner, "rotate")
        assert written >= 2
        assert await served.client.ping()
        everything = await find(engine, served, owner, "rotate", limit=50)
        assert len(everything) == 1 + len(PAGES) + len(OPENAPI["paths"]) + DOCUMENTS_PER_BATCH * 2 + written


SHOP: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "description": "Sells telescopes and binoculars to amateurs."},
    "paths": {
        "/orders": {"get": {"operationId": "listOrders", "summary": "List the orders of a customer"}},
        "/orders/{orderId}/parcel": {"get": {"operationId": "trackParcel", "summary": "Where a parcel is"}},
    },
    "components": {
        "schemas": {"ErrorCode": {"type": "string", "enum": ["card_declined"], "description": "Why paying failed."}}
    },
}


async def put(engine: AsyncEngine, actor: Actor, name: str, text: str, **more: Any) -> UUID:
    new = DocumentPut.model_validate({"title": name, "text": text, "externalId": name, **more})
    async with open_transaction(engine, actor) as session:
        return (await put_document(session, actor, new)).document.id


async def test_operations_and_errors_of_an_openapi_document_are_found_and_follow_it(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    owner, stranger = await register(engine, "Acme"), await register(engine, "Rival")
    child = await add_group(engine, owner, "Child")

    async def names(actor: Actor, query: str = "orders parcels and failed payments") -> set[str | None]:
        return {hit.external_id for hit in await find(engine, knowledge, actor, query)}

    everything = {"shop", "listOrders", "trackParcel", "card_declined"}
    more = {"format": "openapi", "visibility": "subtree"}
    document_id = await put(engine, owner, "shop", json.dumps(SHOP), **more)
    await index_all(engine, knowledge, splitter)
    first, *_ = await find(engine, knowledge, owner, "where is my parcel", kinds=["endpoint"])
    assert (first.method, first.path, first.operation_id) == ("GET", "/orders/{orderId}/parcel", "trackParcel")
    assert (await find(engine, knowledge, owner, "telescopes for amateurs"))[0].document_id == document_id
    assert await names(owner) == await names(child) == everything
    assert await names(stranger) == set()

    embedded = (await knowledge.client.stats()).embedded_texts
    changed = deepcopy(SHOP)
    changed["paths"]["/orders"]["get"]["summary"] = "List the purchases of a customer"
    await put(engine, owner, "shop", json.dumps(changed), **more)
    await index_all(engine, knowledge, splitter)
    # Of the endpoint three different texts; of nothing else any.
    assert (await knowledge.client.stats()).embedded_texts - embedded <= 4
    assert (await find(engine, knowledge, owner, "purchases"))[0].operation_id == "listOrders"

    del changed["paths"]["/orders/{orderId}/parcel"]
    await put(engine, owner, "shop", json.dumps(changed), format="openapi", visibility="group")
    assert await names(child) == set()  # at once: before the index has heard of it
    await index_all(engine, knowledge, splitter)
    assert await names(owner) == everything - {"trackParcel"}

    async with open_transaction(engine, owner) as session:
        await delete_document(session, owner, document_id)
    assert await names(owner) == set()
    await index_all(engine, knowledge, splitter)
    assert (await knowledge.client.stats()).points == 0


async def test_putting_what_is_there_already_costs_nothing(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    owner = await register(engine, "Acme")
    for name in ("one", "two", "three"):
        await put(engine, owner, name, f"# {name}\n\n{ROTATION} This page is number {name}.")
    await index_all(engine, knowledge, splitter)
    embedded = (await knowledge.client.stats()).embedded_texts
    for name in ("one", "two", "three"):
        await put(engine, owner, name, f"# {name}\n\n{ROTATION} This page is number {name}.")
    assert await index_all(engine, knowledge, splitter) == 0
    await put(engine, owner, "two", f"# two\n\n{ROTATION} This page is the second.")
    assert await index_all(engine, knowledge, splitter) == 1
    assert (await knowledge.client.stats()).embedded_texts == embedded + 1


async def test_an_entry_is_not_written_for_a_document_that_was_deleted_meanwhile(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    owner = await register(engine, "Acme")
    document_id = await put(engine, owner, "shop", json.dumps(SHOP), format="openapi")
    async with open_duty(engine, "indexing") as session:
        (row,) = await claim_pending(session, 10)
    source = DocumentSource(
        *(
            row.id,
            row.org_id,
            row.group_id,
            (row.group_id,),
            row.visibility,
            row.kind,
            row.version,
            row.title,
            row.text,
        ),
        external_id=row.external_id,
        details={},
        format=row.format,
    )
    async with open_transaction(engine, owner) as session:
        await delete_document(session, owner, document_id)
    assert await store_entries(engine, source) == 0
    await index_all(engine, knowledge, splitter)
    assert (await knowledge.client.stats()).points == 0


async def test_html_is_read_to_its_headings_and_paragraphs(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    owner = await register(engine, "Acme")
    page = """<html><head><title>x</title><script>alert("telescope")</script></head><body><nav>telescope</nav>
    <h1>Handbook</h1><h2 id="parcels">Lost parcels</h2><p>Send a <b>new</b> one &amp; apologise.<p>Ask for the weight.
    """
    await put(engine, owner, "Handbook", page, format="html", url="/handbook")
    await index_all(engine, knowledge, splitter)
    (hit,) = await find(engine, knowledge, owner, "a parcel got lost")
    assert (hit.heading_path, hit.url) == (["Lost parcels"], "/handbook#parcels")
    assert hit.text == "Send a new one & apologise.\nAsk for the weight."


PAGES = {
    "index.md": "---\ntitle: Start\n---\nBegin here.",
    "guides/revoked.md": "---\ntitle: Revoked keys\naliases: [my key stopped working]\n---\nA revoked key is refused.",
    "errors/expired_api_key.md": "---\ntitle: Expired key\nkind: error\n---\n## Cause\n\nIts time is over.",
}
OPENAPI: dict[str, Any] = {
    "paths": {"/v1/entities/{entityId}": {"get": {"operationId": "getEntity", "summary": "Get an entity"}}}
}


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for name, text in PAGES.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "docs"


async def test_platform_content_is_public_and_unchanged_content_untouched(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter, pages: Path
) -> None:
    assert await ingest_platform(engine, pages, [ExpiredApiKey], OPENAPI) == 4
    await index_all(engine, knowledge, splitter)
    visitor = anonymous_actor()

    async def first(query: str, **more: Any) -> Hit:
        return (await find(engine, knowledge, visitor, query, **more))[0]

    assert (await first("my key stopped working")).url == "/docs/guides/revoked"
    assert (await first("expired_api_key")).kind == "error"
    entity = await first("GET /v1/entities/thing_01jd8kq3v5e9ra7t2m4xw6yz0c")
    assert (entity.method, entity.path, entity.operation_id) == ("GET", "/v1/entities/{entityId}", "getEntity")
    assert {hit.kind for hit in await find(engine, knowledge, visitor, "key", kinds=["error"])} == {"error"}

    stats = await knowledge.client.stats()
    assert await ingest_platform(engine, pages, [ExpiredApiKey], OPENAPI) == 0
    assert await index_all(engine, knowledge, splitter) == 0
    assert (await knowledge.client.stats()).embedded_texts == stats.embedded_texts

    (pages / "guides/revoked.md").unlink()
    (pages / "index.md").write_text("---\ntitle: Start\n---\nBegin with a telescope.")
    assert await ingest_platform(engine, pages, [ExpiredApiKey], OPENAPI) == 2
    await index_all(engine, knowledge, splitter)
    assert (await first("telescope")).url == "/docs"
    assert all(hit.title != "Revoked keys" for hit in await find(engine, knowledge, visitor, "revoked key"))


async def test_nobody_waits_for_all_that_another_has_stored(
    engine: AsyncEngine, knowledge: Knowledge, splitter: Splitter
) -> None:
    """One batch is enough for a short document, whatever is before it; a long one is done by parts, each kept."""
    loud, quiet = await register(engine, "Acme"), await register(engine, "Rival")
    sections = PASSAGES_PER_TURN + 6
    text = "\n\n".join(
        f"## Rule {n}\n\n" + f"Animal {n} has its meals at {n} in its stable. " * 6 for n in range(sections)
    )
    long = await add_document(engine, loud, "Rules", text)
    for n in range(DOCUMENTS_PER_BATCH):
        await add_document(engine, loud, f"Rule {n}")
    short = await add_document(engine, quiet, "Rotation")

    async def status(actor: Actor, document_id: UUID) -> str:
        async with open_transaction(engine, actor) as session:
            return (await get_document(session, actor, document_id)).status

    await index_pending(engine, knowledge.client, splitter)
    assert (await status(quiet, short), await status(loud, long)) == ("indexed", "pending")
    assert (await find(engine, knowledge, loud, "meals at 3 in its stable"))[0].document_id == long
    await index_all(engine, knowledge, splitter)
    assert await status(loud, long) == "indexed"
    # The points of whole documents have no vector; no passage was embedded twice.
    stats = await knowledge.client.stats()
    assert stats.embedded_texts == stats.points - (DOCUMENTS_PER_BATCH + 2)
