"""A repair from what the log has of a refused call: its operation and the places that were refused, never a value.

The steps are for the request that the caller still has: `add` puts a value that fits at a place, whether something
stands there or not (RFC 6902, 4.1), and what has an unknown name is moved to the one that was meant, or removed. The
request beside them is the operation's example, sent to where the call went.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

from knowledge.json_patch import NOTHING, Patched, escape, read_pointer
from knowledge.openapi_parts import as_mapping, list_alternatives
from knowledge.operation_lookup import CalledOperation, find_operation, mend_path, read_body
from knowledge.request_repairs import Repair, SentRequest, as_query_text, to_pointer
from knowledge.value_repairs import ValueMending
from ontology.errors import Flaw
from ontology.nearest_names import ask_back, find_nearest_names


def mend_logged(
    openapi: Mapping[str, Any], method: str, path: str, places: Sequence[str]
) -> tuple[Repair | None, tuple[Flaw, ...]]:
    """The steps for the places, and what can be told of each; no repair where no operation is like the call."""
    patched = Patched(SentRequest(method.upper(), path).as_json())
    operation = find_operation(openapi, patched)
    if operation is None:
        return None, tuple(Flaw(place, "was refused", "") for place in places)
    mend_path(patched, operation)
    mending = _PlaceMending(openapi, patched, operation)
    # Names that are not known first: one that is moved to where something was missing mends both places.
    told = {place: mending.mend(place, places) for place in sorted(places, key=mending.is_known)}
    flaws = tuple(told[place] for place in places)
    request = patched.document
    mended = SentRequest(request["method"], request["path"], request["query"], request["body"])
    return Repair(operation.id, tuple(patched.steps), mended), flaws


class _PlaceMending:
    """Begins with the operation's example; each place is made as wrong as it may have been, and mended by a step."""

    def __init__(self, openapi: Mapping[str, Any], patched: Patched, operation: CalledOperation) -> None:
        self._openapi = openapi
        self._patched = patched
        self._values = ValueMending(openapi, patched)
        self._parameters = {one["name"]: one for one in operation.parameters if one.get("in") == "query"}
        self._body, example = read_body(openapi, operation) or ({}, NOTHING)
        if self._body:
            patched.document["body"] = deepcopy(self._values.sample(self._body, example))
        for name, parameter in self._parameters.items():
            if parameter.get("required"):
                patched.document["query"][name] = self._example_of(parameter)

    def is_known(self, place: str) -> bool:
        """Whether the document knows of the place."""
        pointer = to_pointer(place)
        return pointer is None or self._find_value(pointer) is not NOTHING

    def mend(self, place: str, refused: Sequence[str]) -> Flaw:
        pointer = to_pointer(place)
        if place == "body" and self._body:
            self._patched.change("replace", "/body", deepcopy(self._patched.at("/body")))
            return Flaw(place, "is missing, or cannot be read", "send a body like the one in `request`")
        if pointer is None:
            return Flaw(place, "was refused", "")
        value = self._find_value(pointer)
        if value is NOTHING:
            return self._rename(place, pointer, refused)
        if not self._patched.touches(pointer):
            self._patched.change("add", pointer, value)
        return Flaw(place, "is missing, or its value does not fit", f"send for example `{value}`")

    def _rename(self, place: str, pointer: str, refused: Sequence[str]) -> Flaw:
        """A name that the operation does not know: moved to one that was refused for being absent, before others."""
        parent, name = pointer.rpartition("/")[0], read_pointer(pointer)[-1]
        known = self._list_names(parent)
        if not known and parent != "/query":
            return Flaw(place, "was refused", "")
        near, where = find_nearest_names(name, known), place[: -len(name)]
        meant = next((one for one in near if f"{where}{one}" in refused), next(iter(near), None))
        if isinstance(found := self._patched.at(parent), dict):
            inside = cast("dict[str, Any]", found)
            inside[name] = None
            if meant is not None:
                inside[name] = self._find_value(f"{parent}/{escape(meant)}")
                inside.pop(meant, None)
            self._patched.rename_or_remove(parent, name, meant)
        return Flaw(place, "is not known here", ask_back(near) if near else "leave it out", did_you_mean=near)

    def _list_names(self, parent: str) -> list[str]:
        """What may stand beside a place."""
        if parent == "/query":
            return list(self._parameters)
        return [name for schema in self._schemas(parent) for name in as_mapping(schema.get("properties"))]

    def _find_value(self, pointer: str) -> Any:
        """A value that fits a place; NOTHING where the document knows of no such place."""
        if pointer.startswith("/query/"):
            parameter = self._parameters.get(read_pointer(pointer)[-1])
            return self._example_of(parameter) if parameter else NOTHING
        if not (schemas := self._schemas(pointer)):
            return NOTHING
        return deepcopy(self._values.sample(schemas[0], self._patched.at(pointer)))

    def _example_of(self, parameter: Mapping[str, Any]) -> str:
        schema = as_mapping(parameter.get("schema"))
        return as_query_text(self._values.sample(schema, parameter.get("example", NOTHING)))

    def _schemas(self, pointer: str) -> list[Mapping[str, Any]]:
        """What the document says of a place in the body, in each of the body's alternatives."""
        found = [self._body]
        for step in read_pointer(pointer)[1:]:
            inner = [
                as_mapping(schema.get("items") if step.isdigit() else as_mapping(schema.get("properties")).get(step))
                for one in found
                for schema in list_alternatives(self._openapi, one)
            ]
            found = [schema for schema in inner if schema]
        return [schema for one in found for schema in list_alternatives(self._openapi, one)]
