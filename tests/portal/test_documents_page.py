"""Uploads as a page's form sends them: single files, whole trees, and archives made to hurt."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from knowledge.uploads import TOTAL_BYTES_MAX, UploadInvalid, read_upload
from tests.archives import pack
from tests.parts import Parts
from tests.program import Program, running_program


@pytest.fixture
async def portal(parts: Parts, tmp_path: Path) -> AsyncIterator[Program]:
    with parts.new_database() as database:
        async with running_program(parts.settings(database, tmp_path, PUBLIC_URL="http://one.test")) as program:
            account = {"organisation": "Acme", "name": "Ada", "email": "a@example.com", "password": "a long enough one"}
            answer = await program.client.post("/sign-up", data=account | {"csrf": await _token(program.client)})
            assert answer.status_code == 201, answer.text
            yield program


async def _token(client: httpx.AsyncClient) -> str:
    found = re.search(r'type="hidden" name="csrf" value="([^"]+)"', (await client.get("/sign-up")).text)
    found = found or re.search(r'name="csrf-token" content="([^"]+)"', (await client.get("/")).text)
    assert found
    return found[1]


async def _upload(client: httpx.AsyncClient, name: str, data: bytes, **fields: str) -> httpx.Response:
    form = {"csrf": await _token(client)} | fields
    return await client.post("/documents", data=form, files={"file": (name, data)})


TREE = {
    "docs/refunds.md": b"---\ntitle: Refunds\nlabels: [topic:money]\n---\nWithin 14 days.",
    "docs/parcels.md": b"# Lost parcels\n\nWe send another.",
    "docs/page.html": b"<title>Our &amp; pages</title><p>Text",
    "docs/api.yaml": b'openapi: "3.1.0"\npaths: {}',
    "docs/broken.yaml": b"openapi: [",
    "docs/latin.txt": "Übung".encode("latin-1"),
    "docs/matter.md": b"---\nkind: nonsense\n---\nText",
    "docs/logo.png": b"\x89PNG",
    "__MACOSX/docs/._refunds.md": b"x",
    "docs/.hidden.md": b"x",
}


async def test_a_tree_is_uploaded_and_each_file_answered(portal: Program) -> None:
    answer = await _upload(portal.client, "docs.zip", pack(TREE))
    assert answer.status_code == 200
    told = dict(re.findall(r'upload-name">([^<]+)</code> <span class="badge [\w-]+">(\w+)<', answer.text))
    assert told == dict.fromkeys(
        ("docs/refunds.md", "docs/parcels.md", "docs/page.html", "docs/api.yaml"), "created"
    ) | {
        "docs/broken.yaml": "refused",
        "docs/latin.txt": "refused",
        "docs/matter.md": "refused",
    }
    assert "At line 2, column 1" in answer.text and "It is not UTF-8 text" in answer.text
    for title in ("Refunds", "Lost parcels", "Our &amp; pages", "topic:money"):
        assert title in answer.text
    again = await _upload(portal.client, "docs.zip", pack(TREE | {"docs/parcels.md": b"# Lost parcels\n\nCall us."}))
    changes = re.findall(r'class="badge [\w-]+">(created|replaced|unchanged)<', again.text)
    assert sorted(changes) == ["replaced", "unchanged", "unchanged", "unchanged"]


async def test_a_document_is_deleted_with_one_button(portal: Program) -> None:
    answer = await _upload(portal.client, "page.md", b"# Page\n\nText", visibility="subtree")
    found = re.search(r'data-document="(knowledge_\w+)"', answer.text)
    assert found and "with groups below" in answer.text
    form = {"csrf": await _token(portal.client)}
    deleted = await portal.client.post(f"/documents/{found[1]}/delete", data=form)
    assert deleted.status_code == 303
    after = (await portal.client.get(deleted.headers["location"])).text
    assert "The document is deleted." in after
    assert "data-document" not in after


async def test_a_document_is_read_on_a_page_of_its_own_by_its_organisation_alone(portal: Program) -> None:
    client = portal.client
    files = {
        "a.md": b"# Refunds\n\n## In time\n\nWithin <script>alert(1)</script> [14 days](javascript:alert(2)).",
        "b.html": b"<title>Parcels</title><h2>Lost</h2><p>We send <img src=x onerror=alert(3)> another.",
        "c.txt": b"Plain <b>words</b>.",
        "d.yaml": b"openapi: 3.1.0\ninfo:\n  title: Zoo\n  description: '**Animals** and meals.'\npaths: {}",
    }
    listed = (await _upload(client, "docs.zip", pack(files))).text
    found = dict(re.findall(r'href="(/documents/knowledge_\w+)">([^<]+)</a>', listed))
    addresses = {title: address for address, title in found.items()}
    pages = {title: (await client.get(address)).text for title, address in addresses.items()}
    assert sorted(pages) == ["Parcels", "Refunds", "Zoo", "c"]
    assert '<h2 id="in-time"' in pages["Refunds"] and "&lt;script&gt;" in pages["Refunds"]
    assert "We send" in pages["Parcels"] and "Plain &lt;b&gt;words" in pages["c"]
    assert "<strong>Animals</strong>" in pages["Zoo"]
    assert not re.search(r"<script>alert|href=.javascript|<img src=x", "".join(pages.values()))
    client.cookies.clear()
    assert (await client.get(addresses["Refunds"])).headers["location"].startswith("/sign-in?next=")
    account = {"organisation": "Rival", "name": "Eve", "email": "e@example.com", "password": "a long enough one"}
    assert (await client.post("/sign-up", data=account | {"csrf": await _token(client)})).status_code == 201
    assert (await client.get(addresses["Refunds"])).status_code == 404


async def test_what_cannot_be_read_is_told_on_the_form(portal: Program) -> None:
    for name, data, told in (
        ("page.md", b"", "The file is empty."),
        ("docs.zip", b"PK\x03\x04 nonsense", "not a zip archive"),
        ("logo.png", b"x", "Send Markdown"),
        ("page.md", b"x" * 1_000_001, "larger than 1 MB"),
        ("page.md", b"x" * 11_000_000, "larger than 10 MB"),
    ):
        answer = await _upload(portal.client, name, data)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8"), name
        assert told in answer.text, name
    forged = await portal.client.post("/documents", data={"csrf": "0"}, files={"file": ("page.md", b"# x")})
    assert forged.status_code == 403


async def test_labels_of_the_form_go_to_every_file_that_has_none(portal: Program) -> None:
    answer = await _upload(portal.client, "docs.zip", pack(TREE), labels=" team:support, ,topic:parcels ")
    labels = re.findall(r"<dt>Labels</dt><dd>([^<]+)</dd>", answer.text)
    assert sorted(labels) == ["team:support, topic:parcels"] * 3 + ["topic:money"]
    refused = await _upload(portal.client, "page.md", b"# Page", labels="two words, fine")
    assert refused.status_code == 422
    assert "Separate labels by commas" in refused.text and 'value="two words, fine"' in refused.text


async def test_a_key_that_stands_in_a_file_is_ended(portal: Program) -> None:
    form = {"csrf": await _token(portal.client), "name": "Leaky", "access": "read-only"}
    made = await portal.client.post("/keys", data=form)
    found = re.search(r"org_\w+_key_\w+", made.text)
    assert found, made.text
    bearer = {"Authorization": f"Bearer {found[0]}"}
    assert (await portal.client.get("/v1/whoami", headers=bearer)).status_code == 200
    answer = await _upload(portal.client, "notes.md", f"# Notes\n\nUse {found[0]}".encode())
    assert answer.status_code == 422
    assert "olds an API key" in answer.text and found[0] not in answer.text
    assert (await portal.client.get("/v1/whoami", headers=bearer)).status_code == 401


def test_an_openapi_document_is_called_what_it_calls_itself() -> None:
    for name, text, title in (
        (
            "a.json",
            '{"openapi": "3.1.0", "info": {"contact": {}, "title": " Shop "}, "paths": {}}',
            "Shop",
        ),
        ("a.yaml", "openapi: 3.1.0\ninfo:\n  version: 1\n  title: 'Shop: orders'\npaths: {}", "Shop: orders"),
        ("shop.json", '{"openapi": "3.1.0", "info": [], "paths": {}}', "shop"),
        ("shop.yaml", "openapi: 3.1.0\npaths: {}", "shop"),
    ):
        (file,) = read_upload(name, text.encode(), {})
        assert file.document and file.document.title == title, name


def test_archives_are_read_within_bounds() -> None:
    bomb = pack({f"{n}.md": b"\n" * 999_999 for n in range(TOTAL_BYTES_MAX // 999_999 + 2)})
    assert len(bomb) < 200_000
    with pytest.raises(UploadInvalid, match="50 MB"):
        read_upload("bomb.zip", bomb, {})
    with pytest.raises(UploadInvalid, match="1001 documents"):
        read_upload("many.zip", pack({f"{n}.md": b"x" for n in range(1001)}), {})
    with pytest.raises(UploadInvalid, match="no Markdown"):
        read_upload("nested.zip", pack({"inner.zip": bomb}), {})
    # Files that are too large one by one are unpacked as far as that takes to see, and no more of them than others.
    with pytest.raises(UploadInvalid, match="50 MB"):
        read_upload(
            "bomb.zip", pack({f"{n}.md": b"\n" * 1_500_000 for n in range(TOTAL_BYTES_MAX // 1_000_000 + 2)}), {}
        )
    (large,) = read_upload("large.zip", pack({"large.md": b"\n" * 100_000_000}), {})
    assert large.problem.startswith("It is larger than 1 MB")
    lying = bytearray(pack({"a.md": b"x" * 1000}))
    lying[lying.index(b"PK\x01\x02") + 24 : lying.index(b"PK\x01\x02") + 28] = b"\x01\0\0\0"
    (found,) = read_upload("lying.zip", bytes(lying), {})
    assert found.document is None or len(found.document.text) <= 1000
