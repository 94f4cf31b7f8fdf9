"""A zip by API: each file is answered on its own, and archives that are made to hurt are refused."""

import io
import zipfile
from typing import Any

import httpx
import pytest

from knowledge.uploads import ARCHIVE_BYTES_MAX, TOTAL_BYTES_MAX
from ontology.ids import encode_id, new_id
from ontology.scopes import Scope
from tests.archives import TYPE, pack
from tests.program import Caller, Program

UPLOADS, DOCUMENTS = "/v1/knowledge/uploads", "/v1/knowledge/documents"
TREE = {
    "docs/refunds.md": b"---\ntitle: Refunds\nlabels: [topic:money]\n---\nWithin 14 days.",
    "docs/parcels.md": b"# Lost parcels\n\nWe send another.",
    "docs/api.yaml": b'openapi: "3.1.0"\npaths: {}',
    "docs/broken.yaml": b"openapi: [",
    "docs/latin.txt": "Übung".encode("latin-1"),
    "docs/matter.md": b"---\nkind: nonsense\n---\nText",
    "../../etc/passwd.md": b"# Out",
    "/etc/cron.md": b"# Out",
    "docs/logo.png": b"\x89PNG",
}
BAD = {"docs/broken.yaml", "docs/latin.txt", "docs/matter.md", "../../etc/passwd.md", "/etc/cron.md"}


async def _upload(
    caller: Caller, data: bytes, headers: dict[str, str] | None = None, /, **query: str
) -> httpx.Response:
    return await caller.call("POST", UPLOADS, content=data, headers=TYPE | (headers or {}), params=query)


async def _changes(caller: Caller, files: dict[str, bytes], **query: str) -> dict[str, Any]:
    answer = await _upload(caller, pack(files), **query)
    assert answer.status_code == 200, answer.text
    return {entry["name"]: entry.get("change") for entry in answer.json()["data"]}


def _encrypt(data: bytes) -> bytes:
    """Mark the only file of a zip as encrypted, in both of its headers."""
    marked = bytearray(data)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        marked[marked.index(mark) + flags] |= 1
    return bytes(marked)


async def test_each_file_of_a_tree_is_answered_and_a_bad_one_spoils_no_other(owner: Caller) -> None:
    answer = await _upload(owner, pack(TREE))
    assert answer.status_code == 200, answer.text
    told = {entry["name"]: entry for entry in answer.json()["data"]}
    assert {name for name, entry in told.items() if "problem" in entry} == BAD
    assert {(entry["status"], entry["problem"]["code"]) for entry in told.values() if "problem" in entry} == {
        (422, "invalid_document")
    }
    assert all(told[name]["problem"]["detail"] for name in BAD)
    assert answer.json()["summary"] == {"total": 8, "success": 3, "failed": 5}
    stored = {row["externalId"]: row for row in await owner.all_rows(DOCUMENTS)}
    assert set(stored) == set(told) - BAD
    assert stored["docs/refunds.md"] == told["docs/refunds.md"]["document"]
    assert (stored["docs/refunds.md"]["title"], stored["docs/refunds.md"]["labels"]) == ("Refunds", ["topic:money"])
    changed = TREE | {"docs/parcels.md": b"# Lost parcels\n\nCall us."}
    assert [change for change in (await _changes(owner, changed)).values() if change] == [
        "unchanged",
        "replaced",
        "unchanged",
    ]


async def test_front_matter_is_read_as_people_write_it(owner: Caller) -> None:
    files = {
        "terms.mdx": b"---\ntitle: Terms & *conditions*\nlabels: legal\nauthor: kim\n---\nText",
        "year.md": b"---\ntitle: 2024\nlabels:\n---\nText",
        "alias.md": b"---\ntitle: &a X\nlabels: [*a]\n---\n# Heading\n\nText",
    }
    assert set((await _changes(owner, files)).values()) == {"created"}
    rows = {row["externalId"]: (row["title"], row["labels"]) for row in await owner.all_rows(DOCUMENTS)}
    assert rows == {
        "terms.mdx": ("Terms & *conditions*", ["legal"]),
        "year.md": ("2024", []),
        "alias.md": ("Heading", []),
    }


async def test_what_the_query_says_holds_for_every_file_that_does_not_say_otherwise(owner: Caller) -> None:
    group = await owner.make("/v1/groups", name="Below")
    query = {"visibility": "subtree", "labels": "team:docs,v2", "groupId": group["_id"]}
    files = {"a.md": b"# A\n\nText", "b.md": b"---\nlabels: [own]\n---\nText"}
    assert await _changes(owner, files, **query, dryRun="true") == dict.fromkeys(files, "created")
    assert await owner.all_rows(DOCUMENTS) == []
    await _changes(owner, files, **query)
    rows = {row["externalId"]: row for row in await owner.all_rows(DOCUMENTS, groupId=group["_id"])}
    assert {name: row["labels"] for name, row in rows.items()} == {"a.md": ["team:docs", "v2"], "b.md": ["own"]}
    assert {row["visibility"] for row in rows.values()} == {"subtree"}
    foreign = await _upload(owner, pack(files), groupId=encode_id("group", new_id()))
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")
    for wrong in ({"labels": "a,,b"}, {"labels": "a b"}, {"visibility": "all"}, {"label": "x"}):
        refused = await _upload(owner, pack(files), **wrong)
        assert refused.json()["errors"][0]["location"] == f"query.{next(iter(wrong))}"


@pytest.mark.parametrize(
    ("data", "status", "told"),
    [
        (b"", 422, "empty"),
        (b"# No archive", 422, "not a zip archive"),
        (b"PK\x03\x04 nonsense", 422, "not a zip archive"),
        (pack({"logo.png": b"x"}), 422, "no Markdown"),
        (pack({"inner.zip": pack({"a.md": b"x"})}), 422, "no Markdown"),
        (pack({f"{n}.md": b"x" for n in range(1001)}), 413, "1001 documents"),
        (pack({f"{n}.md": b"\n" * 999_999 for n in range(TOTAL_BYTES_MAX // 999_999 + 2)}), 413, "50 MB"),
        (b"x" * (ARCHIVE_BYTES_MAX + 1), 413, "10 MB"),
    ],
    ids=["empty", "text", "damaged", "no documents", "nested", "many", "bomb", "large"],
)
async def test_an_archive_that_cannot_be_used_is_refused(owner: Caller, data: bytes, status: int, told: str) -> None:
    answer = await _upload(owner, data)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == ("payload_too_large" if status == 413 else "invalid_document")
    assert told in answer.json()["detail"]
    assert await owner.all_rows(DOCUMENTS) == []


async def test_files_made_to_hurt_are_refused_one_by_one(owner: Caller) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("lzma.md", b"x")
    for data, told in (
        (_encrypt(pack({"secret.md": b"# Secret"})), "encrypted"),
        (made.getvalue(), "packed in a way"),
        (pack({"large.md": b"\n" * 100_000_000}), "larger than 1 MB"),
        (pack({"nul.md": b"a\x00b"}), "NUL"),
        (pack({"x" * 300 + ".md": b"x"}), "externalId"),
    ):
        (entry,) = (await _upload(owner, data)).json()["data"]
        assert told in entry["problem"]["detail"], told
    many = pack({f"{n}.json": b"[" * 999_999 for n in range(4)} | {"good.md": b"# Good"})
    *described, good = (await _upload(owner, many)).json()["data"]
    assert ["send this one by itself" in entry["problem"]["detail"] for entry in described] == [False] * 3 + [True]
    assert good["change"] == "created"


async def test_another_media_type_is_refused_with_the_right_one(owner: Caller) -> None:
    for headers, place in (
        ({"Content-Type": "application/json"}, "header.Content-Type"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, "header.Content-Type"),
        ({"Content-Encoding": "gzip"}, "header.Content-Encoding"),
    ):
        answer = await _upload(owner, pack({"a.md": b"x"}), headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
        assert "`Content-Type: application/zip`" in answer.json()["detail"]
        assert answer.json()["errors"][0]["location"] == place
    json = await owner.call("POST", DOCUMENTS, content=pack({"a.md": b"x"}), headers=TYPE)
    assert json.json()["errors"][0]["fix"] == "send uncompressed `application/json`"


async def test_an_upload_repeated_with_its_key_happens_once(owner: Caller) -> None:
    once = {"Idempotency-Key": encode_id("event", new_id())}
    first = await _upload(owner, pack({"a.md": b"# A"}), once)
    again = await _upload(owner, pack({"a.md": b"# A"}), once)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    other = await _upload(owner, pack({"a.md": b"# B"}), once)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert [row["version"] for row in await owner.all_rows(DOCUMENTS)] == [1]


async def test_uploading_takes_the_scope_and_ends_a_key_that_stands_in_a_file(api: Program, owner: Caller) -> None:
    reader = await api.issue(owner, Scope.KNOWLEDGE_READ)
    assert (await _upload(reader, pack({"a.md": b"x"}))).json()["code"] == "insufficient_scope"
    files = {"a.md": b"# A", "key.md": f"curl -H 'Authorization: Bearer {reader.key}'".encode()}
    told = {entry["name"]: entry for entry in (await _upload(owner, pack(files))).json()["data"]}
    assert (told["a.md"]["change"], told["key.md"]["status"]) == ("created", 400)
    assert told["key.md"]["problem"]["errors"][0]["message"] == "holds an API key"
    assert (await reader.get(DOCUMENTS)).status_code == 401
