"""The scope filter, written once for both clients, whose filter classes carry the same names."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from knowledge.index.interface import OWN_GROUP, SearchScope
from ontology.actors import PLATFORM_ORG_ID


class FilterBuilder:
    """Builds filters from the classes of ``models``, the embedded engine's module or the client's.

    ``has_id`` makes the one condition they spell differently.
    """

    def __init__(self, models: Any, has_id: Callable[[list[str]], Any]) -> None:
        self._models = models
        self._has_id = has_id

    def visible(self, scope: SearchScope, kinds: Sequence[str] = (), part: str | None = None) -> Any:
        """What the scope may see, narrowed to kinds and to passages or documents.

        Every condition names the organisation first: a document of another one is out, whatever it claims.
        """
        must = [self._any_of([self._public(), self._own(scope)])]
        if scope.within is not None:
            must.append(self._equals("group_ids", scope.within))
        must.extend(self._equals("labels", label) for label in scope.labels)
        if kinds:
            must.append(self._among("kind", kinds))
        if part is not None:
            must.append(self._equals("part", part))
        return self._all_of(must)

    def named(self, names: Sequence[str], scope: SearchScope, kinds: Sequence[str]) -> Any:
        return self._all_of([self.visible(scope, kinds, "document"), self._among("names", names)])

    def documents(self, document_ids: Iterable[UUID], keep: Iterable[UUID] = ()) -> Any:
        """All points of the documents but those kept."""
        among = self._among("document_id", [str(document_id) for document_id in document_ids])
        kept = [str(point_id) for point_id in keep]
        if not kept:
            return self._all_of([among])
        return self._models.Filter(must=[among], must_not=[self._has_id(kept)])

    def whole_documents(self, document_ids: Iterable[UUID] | None) -> Any:
        must = [self._equals("part", "document")]
        if document_ids is not None:
            must.append(self._among("document_id", [str(document_id) for document_id in document_ids]))
        return self._all_of(must)

    def _public(self) -> Any:
        return self._all_of([self._equals("org_id", PLATFORM_ORG_ID), self._equals("visibility", "public")])

    def _own(self, scope: SearchScope) -> Any:
        within_reach, named = self._equals("group_ids", scope.group_id), scope.within or scope.group_id
        reach = [
            self._models.Filter(must=[within_reach], must_not=[self._equals("visibility", OWN_GROUP)]),
            self._all_of([within_reach, self._equals("group_id", named)]),
        ]
        if scope.ancestor_ids:
            above = self._among("group_id", [str(ancestor) for ancestor in scope.ancestor_ids])
            reach.append(self._all_of([self._equals("visibility", "subtree"), above]))
        return self._all_of([self._equals("org_id", scope.org_id), self._any_of(reach)])

    def _all_of(self, conditions: list[Any]) -> Any:
        return self._models.Filter(must=conditions)

    def _any_of(self, conditions: list[Any]) -> Any:
        return self._models.Filter(should=conditions)

    def _equals(self, key: str, value: UUID | str) -> Any:
        return self._models.FieldCondition(key=key, match=self._models.MatchValue(value=str(value)))

    def _among(self, key: str, values: Sequence[str]) -> Any:
        return self._models.FieldCondition(key=key, match=self._models.MatchAny(any=list(values)))
