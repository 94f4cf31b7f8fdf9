"""From a request that was refused to one that fits: what an OpenAPI document says of its operation, as a JSON Patch.

The patch (RFC 6902) is for the request as a document, `{"method", "path", "query", "body"}`. Every step is the smallest
that makes its place fit: a misspelt name is moved, a value becomes the nearest one allowed, what is missing is added
from the examples, and only what nothing is known of is removed. The server's own words on a place come last.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from knowledge.json_patch import NOTHING, Patched, escape, read_pointer
from knowledge.openapi_parts import as_mapping, resolve
from knowledge.operation_lookup import CalledOperation, find_operation, mend_path, read_body
from knowledge.value_repairs import PLAINEST, ValueMending, convert, find_nearest
from ontology.errors import Flaw

_QUOTED = re.compile(r"`([^`]+)`")
_TYPE_WORDS = {
    "integer": "integer",
    "whole number": "integer",
    "number": "number",
    "boolean": "boolean",
    "true": "boolean",
    "text": "string",
    "string": "string",
    "list": "array",
    "array": "array",
    "object": "object",
}


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as its sender knows it; the key is no part of it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None

    def as_json(self) -> dict[str, Any]:
        return {"method": self.method, "path": self.path, "query": dict(self.query), "body": self.body}


@dataclass(frozen=True, slots=True)
class Repair:
    """The operation that was meant, the steps to a request that fits, and that request."""

    operation_id: str | None
    patch: tuple[dict[str, Any], ...]
    request: SentRequest


def mend_request(openapi: Mapping[str, Any], sent: SentRequest, flaws: Sequence[Flaw] = ()) -> Repair:
    """The nearest request that fits the document; `flaws` are the places the server named.

    The body is nested no deeper than strict JSON allows.

    An empty patch means that nothing is wrong with the request's form, or nothing that could be told from it.
    """
    split = urlsplit(sent.path)
    query = dict(parse_qsl(split.query, keep_blank_values=True)) | {str(k): str(v) for k, v in sent.query.items()}
    mending = _Mending(openapi, SentRequest(sent.method.upper(), split.path or "/", query, sent.body).as_json())
    operation = find_operation(openapi, mending.patched)
    if operation is not None:
        mend_path(mending.patched, operation)
        mending.mend_query(operation)
        mending.mend_body(operation)
        for flaw in flaws:
            mending.heed(flaw, operation)
    request = mending.request
    mended = SentRequest(request["method"], request["path"], request["query"], request["body"])
    return Repair(operation.about.get("operationId") if operation else None, tuple(mending.patch), mended)


def write_address(request: SentRequest) -> str:
    """Path and query as they are sent."""
    return quote(request.path, safe="/%") + (f"?{urlencode(request.query)}" if request.query else "")


def write_curl(request: SentRequest) -> str:
    """The request as a command; the key comes from the environment."""
    address = shlex.quote(write_address(request))
    lines = ["curl -sS"] if request.method == "GET" else [f"curl -sS -X {request.method}"]
    lines[0] += f' "$ONE_URL"{address}'
    lines.append('-H "Authorization: Bearer $ONE_API_KEY"')
    if request.body is not None:
        lines.append('-H "Content-Type: application/json"')
        lines.append(f"-d {shlex.quote(json.dumps(request.body, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


class _Mending:
    """A request on its way; every change is a step of the patch and done at once."""

    def __init__(self, openapi: Mapping[str, Any], request: dict[str, Any]) -> None:
        self._openapi = openapi
        self.patched = Patched(request)
        self._values = ValueMending(openapi, self.patched)

    @property
    def request(self) -> dict[str, Any]:
        return self.patched.document

    @property
    def patch(self) -> list[dict[str, Any]]:
        return self.patched.steps

    def mend_query(self, operation: CalledOperation) -> None:
        known = {p["name"]: p for p in operation.parameters if p.get("in") == "query"}
        for name in list(self.request["query"]):
            if name in known or (name.partition(".")[0] in known and "." in name):
                continue
            free = [one for one in known if one not in self.request["query"]]
            self.patched.rename_or_remove("/query", name, find_nearest(name, free))
        for name, parameter in known.items():
            pointer = f"/query/{escape(name)}"
            schema = resolve(self._openapi, as_mapping(parameter.get("schema")))
            if name not in self.request["query"]:
                if parameter.get("required"):
                    self.patched.change(
                        "add", pointer, as_query_text(self._values.sample(schema, parameter.get("example", NOTHING)))
                    )
                continue
            value = self.request["query"][name]
            if self._query_fits(schema, value):
                continue
            mended = self._mend_query_value(schema, value, parameter)
            if mended is None and not parameter.get("required"):
                self.patched.change("remove", pointer)
            elif mended is not None:
                self.patched.change("replace", pointer, mended)

    def _query_fits(self, schema: Mapping[str, Any], value: str) -> bool:
        return any(not self._values.count_flaws(schema, typed) for typed in _read_text(value))

    def _mend_query_value(self, schema: Mapping[str, Any], value: str, parameter: Mapping[str, Any]) -> str | None:
        for typed in _read_text(value):
            mended = self._values.try_value(schema, typed, parameter.get("example", NOTHING)).at("/value")
            if mended is not None and not self._values.count_flaws(schema, mended):
                return as_query_text(mended)
        return None

    def mend_body(self, operation: CalledOperation) -> None:
        body = read_body(self._openapi, operation)
        if body is None:
            if self.request["body"] is not None:
                self.patched.change("replace", "/body", None)
            return
        schema, example = body
        if self.request["body"] is None:
            self.patched.change("replace", "/body", deepcopy(self._values.sample(schema, example)))
        self._values.mend(schema, "/body", example)

    def heed(self, flaw: Flaw, operation: CalledOperation) -> None:
        """What the server said of a place at which the document had nothing to change."""
        pointer = to_pointer(flaw.location)
        if pointer is None or self.patched.touches(pointer):
            return
        value, said = self.patched.at(pointer), f"{flaw.message} {flaw.fix}".lower()
        quoted = _QUOTED.search(flaw.fix)
        meant = next(iter(flaw.did_you_mean), quoted[1] if quoted else None)
        if value is NOTHING:
            if "required" in said or "missing" in said:
                kind = next((kind for word, kind in _TYPE_WORDS.items() if word in said), "string")
                self.patched.change("add", pointer, PLAINEST[kind])
        elif "is not known here" in said:
            parent, _, name = pointer.rpartition("/")
            free = [one for one in flaw.did_you_mean if self.patched.at(f"{parent}/{escape(one)}") is NOTHING]
            self.patched.rename_or_remove(parent, read_pointer(f"/{name}")[0], next(iter(free), None))
        elif isinstance(value, str) and meant and (flaw.did_you_mean or "did you mean" in said or "use one of" in said):
            self.patched.change("replace", pointer, meant)
        elif (kind := next((kind for word, kind in _TYPE_WORDS.items() if word in said), None)) is not None and (
            (converted := convert(value, {"type": kind})) is not NOTHING and converted != value
        ):
            self.patched.change("replace", pointer, converted)
        elif (
            pointer.count("/") > 1
            and pointer.startswith(("/body/", "/query/"))
            and not self._is_required(operation, flaw)
        ):
            self.patched.change("remove", pointer)

    def _is_required(self, operation: CalledOperation, flaw: Flaw) -> bool:
        where, _, name = flaw.location.partition(".")
        if where == "query":
            return any(p["name"] == name and p.get("required") for p in operation.parameters)
        schema, _ = read_body(self._openapi, operation) or ({}, NOTHING)
        return name in (resolve(self._openapi, schema).get("required") or ())


def _read_text(value: str) -> Iterator[Any]:
    """A query's value as text, and as what else it can be read as."""
    yield value
    if re.fullmatch(r"-?\d{1,18}", value):
        yield int(value)
    if value in ("true", "false"):
        yield value == "true"


def as_query_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_pointer(location: str) -> str | None:
    """`body.items[0].name` as `/body/items/0/name`; a place elsewhere than in query and body is None."""
    where, _, rest = location.partition(".")
    if where == "query" and rest:
        return f"/query/{escape(rest)}"
    if where == "body" and rest:
        return "/body/" + "/".join(escape(step) for step in re.split(r"\.|\[|\]\.?", rest) if step)
    return None
