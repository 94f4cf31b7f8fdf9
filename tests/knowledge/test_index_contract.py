"""One contract for every index: the embedded engine, the client's memory, and a server where there is one."""

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import pytest

from knowledge.index.edge import EdgeIndex
from knowledge.index.interface import (
    OWN_GROUP,
    PAYLOAD_INDEXES,
    Index,
    IndexUnavailable,
    Point,
    SearchScope,
    document_point_id,
    passage_point_id,
)
from knowledge.index.server import IN_MEMORY, ServerIndex
from ontology.actors import PLATFORM_ORG_ID
from tests.knowledge.documents import CHILD, ORGANISATION, PARENT, SIBLING, STRANGER

MODEL, DIMENSIONS = "test-model", 4
EAST, NORTH = (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0)
ROOT_SCOPE = SearchScope(ORGANISATION, ORGANISATION)
LOCATIONS = ["edge", IN_MEMORY, *([url] if (url := os.environ.get("TEST_QDRANT_URL")) else [])]


@pytest.fixture(params=LOCATIONS)
def index(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Index]:
    if request.param == "edge":
        opened: Index = EdgeIndex(tmp_path / "qdrant", model=MODEL, dimensions=DIMENSIONS)
    else:
        opened = ServerIndex(request.param, model=f"{MODEL}-{uuid4()}", dimensions=DIMENSIONS)
    yield opened
    opened.close()


def passage(
    name: str,
    words: str = "keys and groups",
    vector: Sequence[float] = EAST,
    *,
    org_id: UUID = ORGANISATION,
    group_ids: tuple[UUID, ...] = (ORGANISATION,),
    visibility: str = "group",
    kind: str = "page",
    version: int = 1,
    labels: tuple[str, ...] = (),
) -> Point:
    document_id = uuid5(org_id, name)
    point_id = passage_point_id(document_id, words)
    return Point(
        id=point_id,
        document_id=document_id,
        passage_id=point_id,
        org_id=org_id,
        group_id=group_ids[0],
        group_ids=group_ids,
        visibility=visibility,
        kind=kind,
        version=version,
        words=words,
        vector=vector,
        labels=labels,
    )


def document(of: Point, names: tuple[str, ...] = (), words: str = "") -> Point:
    return Point(
        id=document_point_id(of.document_id),
        document_id=of.document_id,
        passage_id=None,
        org_id=of.org_id,
        group_id=of.group_id,
        group_ids=of.group_ids,
        visibility=of.visibility,
        kind=of.kind,
        version=of.version,
        words=words or of.words,
        names=names,
        labels=of.labels,
    )


def found(index: Index, scope: SearchScope, kinds: Sequence[str] = ()) -> set[UUID]:
    """What a scope finds by any way there is; all ways must agree."""
    ways = [
        index.search_dense(EAST, scope, kinds, 100),
        index.search_words("keys", scope, kinds, 100, whole_documents=False),
        index.search_words("keys", scope, kinds, 100, whole_documents=True),
        index.find_names(["everything"], scope, kinds, 100),
    ]
    answers = [{candidate.document_id for candidate in way} for way in ways]
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


def fill(index: Index, *passages: Point) -> None:
    index.upsert([*passages, *(document(point, ("everything",)) for point in passages)])


def test_an_index_is_whole_once_said_to_be(index: Index) -> None:
    before = index.index_id
    assert not index.is_whole
    index.mark_whole()
    index.look_again()
    assert index.is_whole and index.index_id == before


def test_an_index_begun_anew_is_another_one_and_empty(index: Index) -> None:
    before = index.index_id
    fill(index, passage("near"))
    index.mark_whole()
    index.begin_anew()
    assert index.index_id != before and not index.is_whole and index.count() == 0
    fill(index, passage("near"))
    assert found(index, ROOT_SCOPE)


def test_candidates_come_best_first_with_their_passage(index: Index) -> None:
    near, far = passage("near"), passage("far", "cursors", NORTH)
    index.upsert([near, far])
    first, second = index.search_dense(EAST, ROOT_SCOPE, (), 10)
    assert (first.document_id, first.passage_id) == (near.document_id, near.id)
    assert first.score == pytest.approx(1.0, abs=1e-3) and second.score < first.score
    assert len(index.search_dense(EAST, ROOT_SCOPE, (), 1)) == 1


def test_words_match_across_endings_and_identifiers(index: Index) -> None:
    point = passage("p", "Rotating an invalid_api_key with createEntity")
    index.upsert([point])
    for words in ("rotate", "invalid_api_key", "invalid", "entity", "createEntity"):
        (hit,) = index.search_words(words, ROOT_SCOPE, (), 10, whole_documents=False)
        assert hit.passage_id == point.id
    assert index.search_words("the of and", ROOT_SCOPE, (), 10, whole_documents=False) == []
    assert index.search_words("zebra", ROOT_SCOPE, (), 10, whole_documents=False) == []


def test_labels_narrow_to_documents_that_carry_each_of_them(index: Index) -> None:
    both, one, none = passage("both", labels=("a", "b c")), passage("one", labels=("a",)), passage("none")
    fill(index, both, one, none)

    def labelled(*labels: str) -> set[UUID]:
        return found(index, SearchScope(ORGANISATION, ORGANISATION, labels=labels))

    assert labelled("a") == {both.document_id, one.document_id}
    assert labelled("b c", "a") == labelled("b c") == {both.document_id}
    assert labelled("A") == labelled("b") == set()
    index.refresh_payloads(
        [passage("one", labels=("b c",)), document(passage("one", labels=("b c",)), ("everything",))]
    )
    assert labelled("b c") == {both.document_id, one.document_id}


def test_another_organisation_sees_nothing_even_with_the_same_group_ids(index: Index) -> None:
    fill(index, passage("secret", group_ids=(CHILD, PARENT, ORGANISATION)))
    assert found(index, SearchScope(STRANGER, STRANGER)) == set()
    assert found(index, SearchScope(STRANGER, CHILD, (PARENT, ORGANISATION))) == set()


def test_public_platform_content_is_for_everyone_and_nobody_else_can_publish(index: Index) -> None:
    platform = passage("docs", org_id=PLATFORM_ORG_ID, group_ids=(PLATFORM_ORG_ID,), visibility="public")
    unpublished = passage("draft", org_id=PLATFORM_ORG_ID, group_ids=(PLATFORM_ORG_ID,))
    claimed = passage("claims to be public", visibility="public")
    fill(index, platform, unpublished, claimed)
    assert found(index, SearchScope(STRANGER, STRANGER)) == {platform.document_id}


def test_a_group_sees_itself_and_what_lies_below_but_not_above_or_beside(index: Index) -> None:
    parents = passage("parent's", group_ids=(PARENT, ORGANISATION))
    childs = passage("child's", group_ids=(CHILD, PARENT, ORGANISATION))
    siblings = passage("sibling's", group_ids=(SIBLING, PARENT, ORGANISATION))
    fill(index, parents, childs, siblings)
    assert found(index, SearchScope(ORGANISATION, CHILD, (PARENT, ORGANISATION))) == {childs.document_id}
    everything = {parents.document_id, childs.document_id, siblings.document_id}
    assert found(index, SearchScope(ORGANISATION, PARENT, (ORGANISATION,))) == everything


def test_a_subtree_document_is_seen_below_and_not_beside(index: Index) -> None:
    shared = passage("shared", group_ids=(PARENT, ORGANISATION), visibility="subtree")
    fill(index, shared)
    assert found(index, SearchScope(ORGANISATION, CHILD, (PARENT, ORGANISATION))) == {shared.document_id}
    assert found(index, SearchScope(ORGANISATION, SIBLING, (ORGANISATION,))) == set()
    assert found(index, SearchScope(STRANGER, CHILD, (PARENT,))) == set()


def test_what_a_group_does_is_found_by_it_and_by_those_above_that_name_it(index: Index) -> None:
    habit = passage("habit", group_ids=(CHILD, PARENT, ORGANISATION), visibility=OWN_GROUP)
    claimed = passage("claimed", org_id=STRANGER, group_ids=(CHILD, PARENT, ORGANISATION), visibility=OWN_GROUP)
    fill(index, habit, claimed)
    assert found(index, SearchScope(ORGANISATION, CHILD, (PARENT, ORGANISATION))) == {habit.document_id}
    for above in (SearchScope(ORGANISATION, PARENT, (ORGANISATION,)), ROOT_SCOPE):
        assert found(index, above) == found(index, replace(above, within=PARENT)) == set()
        assert found(index, replace(above, within=CHILD)) == {habit.document_id}
    for within in (None, CHILD, PARENT):
        assert found(index, SearchScope(ORGANISATION, SIBLING, (PARENT, ORGANISATION), within=within)) == set()


def test_within_and_kinds_narrow_and_never_widen(index: Index) -> None:
    page, error = passage("page", group_ids=(CHILD, ORGANISATION)), passage("error", kind="error")
    fill(index, page, error)
    assert found(index, ROOT_SCOPE, ["error"]) == {error.document_id}
    assert found(index, SearchScope(ORGANISATION, ORGANISATION, within=CHILD)) == {page.document_id}
    assert found(index, SearchScope(STRANGER, STRANGER, within=CHILD)) == set()


def test_word_scores_do_not_depend_on_what_others_store(index: Index) -> None:
    index.upsert([passage("mine", "rare keys"), passage("mine too", "common groups")])
    before = index.search_words("rare", ROOT_SCOPE, (), 10, whole_documents=False)
    index.upsert([passage(f"theirs {n}", "rare rare rare", org_id=STRANGER, group_ids=(STRANGER,)) for n in range(50)])
    after = index.search_words("rare", ROOT_SCOPE, (), 10, whole_documents=False)
    assert [hit.score for hit in after] == pytest.approx([hit.score for hit in before])


def test_repeating_an_upsert_changes_nothing(index: Index) -> None:
    point = passage("p")
    fill(index, point)
    fill(index, point)
    assert index.count() == 2
    assert index.find_points([point.id, uuid4()]) == {point.id}


def test_deleting_documents_spares_others_and_what_is_kept(index: Index) -> None:
    kept, stale, other = passage("p", "kept keys"), passage("p", "stale keys"), passage("other")
    fill(index, kept, other)
    index.upsert([stale])
    index.delete_documents([kept.document_id], [kept.id, document_point_id(kept.document_id)])
    assert index.find_points([kept.id, stale.id, other.id]) == {kept.id, other.id}
    index.delete_documents([kept.document_id])
    assert found(index, ROOT_SCOPE) == {other.document_id}


def test_refreshing_payloads_moves_a_document_without_its_vectors(index: Index) -> None:
    before = passage("p", group_ids=(CHILD, ORGANISATION))
    fill(index, before)
    after = passage("p", group_ids=(SIBLING, ORGANISATION), version=2)
    index.refresh_payloads([after, document(after, ("everything",))])
    assert found(index, SearchScope(ORGANISATION, CHILD)) == set()
    assert found(index, SearchScope(ORGANISATION, SIBLING)) == {after.document_id}


def test_versions_tell_what_is_held(index: Index) -> None:
    points = [passage(f"p{n}", version=n) for n in range(1, 4)]
    fill(index, *points)
    assert index.versions() == {point.document_id: point.version for point in points}
    assert index.versions([points[1].document_id, uuid4()]) == {points[1].document_id: 2}


def test_a_point_without_any_words_is_held(index: Index) -> None:
    fill(index, passage("p", "the of"))
    assert index.count() == 2


# The client's memory is for tests, which use it from one thread.
@pytest.mark.parametrize("index", [location for location in LOCATIONS if location != IN_MEMORY], indirect=True)
def test_searches_go_on_while_an_index_is_filled_and_tidied(index: Index) -> None:
    fill(index, passage("first"))
    failures: list[Exception] = []
    finished = threading.Event()

    def search() -> None:
        try:
            while not finished.is_set():
                assert passage("first").document_id in found(index, ROOT_SCOPE)
        except Exception as error:
            failures.append(error)

    searching = threading.Thread(target=search)
    searching.start()
    for n in range(20):
        fill(index, *(passage(f"p{n}.{m}", vector=NORTH, org_id=STRANGER) for m in range(20)))
        index.delete_documents([passage(f"p{n}.0", org_id=STRANGER).document_id])
        index.tidy()
    finished.set()
    searching.join()
    assert failures == []
    assert index.count() == 2 + 20 * 19 * 2


def test_every_filtered_key_has_a_declared_index(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path / "qdrant", model=MODEL, dimensions=DIMENSIONS)
    assert index.declared_indexes() == set(PAYLOAD_INDEXES)
    index.close()


def test_an_edge_index_survives_closing_and_belongs_to_one_owner(tmp_path: Path) -> None:
    first = EdgeIndex(tmp_path / "qdrant", model=MODEL, dimensions=DIMENSIONS)
    fill(first, passage("p"))
    with pytest.raises(IndexUnavailable):
        EdgeIndex(tmp_path / "qdrant", model=MODEL, dimensions=DIMENSIONS)
    first.close()
    second = EdgeIndex(tmp_path / "qdrant", model=MODEL, dimensions=DIMENSIONS)
    assert (second.index_id, second.count()) == (first.index_id, 2)
    second.close()


def test_an_edge_index_of_another_model_begins_anew(tmp_path: Path) -> None:
    first = EdgeIndex(tmp_path / "qdrant", model=MODEL, dimensions=DIMENSIONS)
    fill(first, passage("p"))
    first.close()
    second = EdgeIndex(tmp_path / "qdrant", model="another", dimensions=8)
    assert second.count() == 0 and second.index_id != first.index_id
    second.close()


@pytest.mark.parametrize("damage", ["manifest", "segments", "config"])
def test_a_damaged_edge_index_begins_anew(tmp_path: Path, damage: str) -> None:
    directory = tmp_path / "qdrant"
    first = EdgeIndex(directory, model=MODEL, dimensions=DIMENSIONS)
    fill(first, passage("p"))
    first.close()
    if damage == "manifest":
        (directory / "manifest.json").write_text("{")
    else:
        for path in (directory / "shard").rglob("*"):
            if path.is_file() and (damage == "segments") == ("segments" in path.parts):
                path.write_bytes(b"\xff" * 64)
    second = EdgeIndex(directory, model=MODEL, dimensions=DIMENSIONS)
    assert second.count() == 0 and second.index_id != first.index_id
    fill(second, passage("p"))
    assert second.count() == 2
    second.close()


def test_an_absent_server_is_reported_as_such() -> None:
    with pytest.raises(IndexUnavailable):
        ServerIndex("http://127.0.0.1:9", model=MODEL, dimensions=DIMENSIONS)
