"""Judged sets: documents, questions, and which documents answer them.

The shared development sets lie beside the repository and are only read; nothing of them enters the product.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from knowledge.indexing import DocumentSource
from knowledge.openapi_documents import read_operations
from knowledge.source_document import SourceDocument
from ontology.actors import PLATFORM_ORG_ID

ORGANISATION = UUID(int=0x0E)
NDCG, MRR = "nDCG@10", "MRR@10"


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query as given. ``collection`` narrows it to a part of the set, as a caller narrows it to a specification."""

    name: str
    text: str
    collection: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """What to index, what to ask, and the grade of each document for each query."""

    name: str
    measure: str
    documents: Sequence[DocumentSource]
    queries: Sequence[JudgedQuery]
    judged: dict[str, dict[str, int]]
    reach: float | None = None
    identities: dict[UUID, str] = field(default_factory=dict[UUID, str])


@dataclass(frozen=True, slots=True)
class SharedSet:
    """Where a shared set lies, and how its texts are written."""

    name: str
    measure: str
    reach: float
    kind: str
    format: str = "markdown"
    narrowed: bool = False


SHARED_SETS = (
    SharedSet("dbt-faq", NDCG, 0.53, "page"),
    SharedSet("aks-faq", NDCG, 0.55, "page"),
    SharedSet("toolalpaca-real", NDCG, 0.94, "endpoint", narrowed=True),
    SharedSet("toolalpaca-sim", NDCG, 0.95, "endpoint", narrowed=True),
    SharedSet("stabletoolbench", NDCG, 0.69, "endpoint"),
    SharedSet("nextjs-errors", MRR, 0.955, "error"),
    SharedSet("pydantic-errors", MRR, 0.71, "error"),
    SharedSet("pylint-errors", MRR, 0.935, "error", format="text"),
)


def read_shared_set(directory: Path, shared: SharedSet) -> JudgedSet:
    """One of the shared sets; endpoints come from the OpenAPI documents where the set has them."""
    folder = directory / shared.name
    rows = list(_read_lines(folder / "corpus.jsonl"))
    queries = [
        JudgedQuery(row["_id"], row["text"], row["meta"]["api"] if shared.narrowed else "")
        for row in _read_lines(folder / "queries.jsonl")
    ]
    read = _read_specifications if (folder / "openapi").is_dir() else _read_rows
    documents = {
        name: replace(to_document(source, collection), format=shared.format)
        for name, collection, source in read(folder, shared, rows)
    }
    return JudgedSet(
        name=shared.name,
        measure=shared.measure,
        documents=list(documents.values()),
        queries=queries,
        judged=read_judgements(folder / "qrels.tsv"),
        reach=shared.reach,
        identities={document.document_id: name for name, document in documents.items()},
    )


def read_judgements(path: Path) -> dict[str, dict[str, int]]:
    """Grades per query and document, from lines of query, document and grade."""
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in path.read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged[query][document] = int(grade)
    return dict(judged)


def to_document(source: SourceDocument, collection: str = "", *, of_platform: bool = False) -> DocumentSource:
    """The document as ingestion would hand it to the splitter, in a group of its collection."""
    owner = PLATFORM_ORG_ID if of_platform else ORGANISATION
    group_id = uuid5(owner, collection) if collection else owner
    return DocumentSource(
        document_id=uuid5(group_id, f"{source.kind}:{source.external_id}"),
        org_id=owner,
        group_id=group_id,
        group_ids=tuple(dict.fromkeys((group_id, owner))),
        visibility="public" if of_platform else "group",
        kind=source.kind,
        version=1,
        title=source.title,
        text=source.text,
        external_id=source.external_id,
        details=source.details,
    )


def _read_specifications(
    folder: Path, shared: SharedSet, rows: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, str, SourceDocument]]:
    for path in sorted((folder / "openapi").glob("*.json")):
        for source in read_operations(json.loads(path.read_text())):
            yield f"{path.stem}:{source.details['method']} {source.details['path']}", path.stem, source


def _read_rows(
    folder: Path, shared: SharedSet, rows: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, str, SourceDocument]]:
    for row in rows:
        source = SourceDocument(shared.kind, row["_id"], row["title"], row["text"], "", {})
        if shared.kind == "endpoint":
            source = _endpoint(row)
        yield row["_id"], "", source


def _endpoint(row: dict[str, Any]) -> SourceDocument:
    """An endpoint of which only the name and descriptions of itself and its parameters are known."""
    meta = row["meta"]
    details = {
        "api": meta["api"],
        "operationId": row["title"],
        "description": row["text"],
        "parameters": [parameter["name"] for parameter in meta["params"]],
        "reference": " ".join(parameter["description"] for parameter in meta["params"]),
    }
    return SourceDocument("endpoint", row["_id"], row["title"], row["text"], "", details)


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines():
        yield json.loads(line)
