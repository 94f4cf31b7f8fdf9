"""By which texts a document is found."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from knowledge.indexing import DocumentSource, Splitter
from knowledge.model_files import find_model

TEXT = "Field %r is missing in %r. Raised when a field was left out.\n\nMore about it here."


def error(**details: Any) -> DocumentSource:
    return DocumentSource(
        document_id=UUID(int=1),
        org_id=UUID(int=2),
        group_id=UUID(int=2),
        group_ids=(UUID(int=2),),
        visibility="group",
        kind="error",
        version=1,
        title="missing-field",
        text=TEXT,
        external_id="missing-field",
        details=details,
    )


@pytest.fixture(scope="module")
def splitter() -> Splitter:
    return Splitter(find_model())


def texts(splitter: Splitter, source: DocumentSource) -> list[str]:
    return [text for passage in splitter.prepare(source).indexed.passages for text in passage.texts]


def test_an_error_is_found_by_each_of_its_sentences(splitter: Splitter) -> None:
    found = texts(splitter, error())
    assert {"Field %r is missing in %r.", "Raised when a field was left out.", "More about it here."} <= set(found)


def test_an_error_whose_message_is_known_is_found_by_that(splitter: Splitter) -> None:
    found = texts(splitter, error(message="A field is missing"))
    assert "A field is missing" in found and "More about it here." not in found


def test_the_sentences_of_a_page_are_not_embedded_one_by_one(splitter: Splitter) -> None:
    assert "More about it here." not in texts(splitter, replace(error(), kind="page"))
