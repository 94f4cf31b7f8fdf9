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
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from knowledge.json_patch import NOTHING, Patched, escape, read_pointer
from knowledge.openapi_parts import as_mapping, as_sequence, resolve
from knowledge.value_repairs import PLAINEST, ValueMending, convert, find_nearest
from ontology.errors import Flaw

SIMILARITY_MIN = 0.6
METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"\{(\w+)\}")
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
    operation = mending.find_operation()
    if operation is not None:
        mending.mend_path(operation)
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


@dataclass(frozen=True, slots=True)
class _Operation:
    template: str
    about: Mapping[str, Any]
    parameters: Sequence[Mapping[str, Any]]


class _Mending:
    """A request on its way; every change is a step of the patch and done at once."""

    def __init__(self, openapi: Mapping[str, Any], request: dict[str, Any]) -> None:
        self._openapi = openapi
        self._patched = Patched(request)
        self._values = ValueMending(openapi, self._patched)

    @property
    def request(self) -> dict[str, Any]:
        return self._patched.document

    @property
    def patch(self) -> list[dict[str, Any]]:
        return self._patched.steps

    def find_operation(self) -> _Operation | None:
        """The operation of method and path, or the nearest one, after changing what was wrong of either."""
        paths: Mapping[str, Any] = as_mapping(self._openapi.get("paths"))
        path: str = self.request["path"]
        template = next((one for one in sorted(paths, key=_count_parameters) if _matches(one, path)), None)
        if template is None:
            template = self._correct_path(list(paths), path)
        if template is None:
            return None
        item: Mapping[str, Any] = paths[template]
        method = self.request["method"].lower()
        if method not in item:
            others = [one for one in METHODS if one in item]
            if method == "put" and "patch" in others:
                others = ["patch"]
            if len(others) > 1 and self.request["body"] is None:
                others = [one for one in others if "requestBody" not in item[one]][:1]
            elif len(others) > 1:
                others = [one for one in others if "requestBody" in item[one]][:1]
            if not others:
                return None
            method = others[0]
            self._patched.change("replace", "/method", method.upper())
        about = item[method]
        given = [*as_sequence(item.get("parameters")), *as_sequence(about.get("parameters"))]
        return _Operation(template, about, [resolve(self._openapi, parameter) for parameter in given])

    def _correct_path(self, templates: list[str], path: str) -> str | None:
        parts = path.rstrip("/").split("/")
        same = [one for one in templates if len(one.split("/")) == len(parts)]
        shown = {one: _put_values(one, parts) for one in same}
        close = get_close_matches(path.rstrip("/"), list(shown.values()), n=1, cutoff=SIMILARITY_MIN)
        if not close:
            return None
        self._patched.change("replace", "/path", close[0])
        return next(one for one, text in shown.items() if text == close[0])

    def mend_path(self, operation: _Operation) -> None:
        """Ids written in capitals, with blanks or quotes around them: what an id can be freed of without guessing."""
        patterns = {
            p["name"]: p.get("schema", {}).get("pattern") for p in operation.parameters if p.get("in") == "path"
        }
        parts = self.request["path"].split("/")
        for position, step in enumerate(operation.template.split("/")):
            name = _PARAMETER.fullmatch(step)
            pattern = patterns.get(name[1]) if name else None
            if pattern and not re.search(pattern, parts[position]):
                plain = re.sub(r"[^a-z0-9_]", "", parts[position].lower())
                if re.search(pattern, plain):
                    parts[position] = plain
        if (path := "/".join(parts)) != self.request["path"]:
            self._patched.change("replace", "/path", path)

    def mend_query(self, operation: _Operation) -> None:
        known = {p["name"]: p for p in operation.parameters if p.get("in") == "query"}
        for name in list(self.request["query"]):
            if name in known or (name.partition(".")[0] in known and "." in name):
                continue
            free = [one for one in known if one not in self.request["query"]]
            self._patched.rename_or_remove("/query", name, find_nearest(name, free))
        for name, parameter in known.items():
            pointer = f"/query/{escape(name)}"
            schema = resolve(self._openapi, as_mapping(parameter.get("schema")))
            if name not in self.request["query"]:
                if parameter.get("required"):
                    self._patched.change(
                        "add", pointer, _as_text(self._values.sample(schema, parameter.get("example", NOTHING)))
                    )
                continue
            value = self.request["query"][name]
            if self._query_fits(schema, value):
                continue
            mended = self._mend_query_value(schema, value, parameter)
            if mended is None and not parameter.get("required"):
                self._patched.change("remove", pointer)
            elif mended is not None:
                self._patched.change("replace", pointer, mended)

    def _query_fits(self, schema: Mapping[str, Any], value: str) -> bool:
        return any(not self._values.count_flaws(schema, typed) for typed in _read_text(value))

    def _mend_query_value(self, schema: Mapping[str, Any], value: str, parameter: Mapping[str, Any]) -> str | None:
        for typed in _read_text(value):
            mended = self._values.try_value(schema, typed, parameter.get("example", NOTHING)).at("/value")
            if mended is not None and not self._values.count_flaws(schema, mended):
                return _as_text(mended)
        return None

    def mend_body(self, operation: _Operation) -> None:
        content = as_mapping(resolve(self._openapi, as_mapping(operation.about.get("requestBody"))).get("content"))
        media = as_mapping(next((each for name, each in content.items() if "json" in name), None))
        if not media:
            if self.request["body"] is not None:
                self._patched.change("replace", "/body", None)
            return
        example = media.get("example", NOTHING)
        for entry in as_mapping(media.get("examples")).values():
            example = resolve(self._openapi, as_mapping(entry)).get("value", example)
            break
        if self.request["body"] is None:
            self._patched.change(
                "replace", "/body", deepcopy(self._values.sample(as_mapping(media.get("schema")), example))
            )
        self._values.mend(as_mapping(media.get("schema")), "/body", example)

    def heed(self, flaw: Flaw, operation: _Operation) -> None:
        """What the server said of a place at which the document had nothing to change."""
        pointer = _to_pointer(flaw.location)
        if pointer is None or self._patched.touches(pointer):
            return
        value, said = self._patched.at(pointer), f"{flaw.message} {flaw.fix}".lower()
        quoted = _QUOTED.search(flaw.fix)
        meant = next(iter(flaw.did_you_mean), quoted[1] if quoted else None)
        if value is NOTHING:
            if "required" in said or "missing" in said:
                kind = next((kind for word, kind in _TYPE_WORDS.items() if word in said), "string")
                self._patched.change("add", pointer, PLAINEST[kind])
        elif "is not known here" in said:
            parent, _, name = pointer.rpartition("/")
            free = [one for one in flaw.did_you_mean if self._patched.at(f"{parent}/{escape(one)}") is NOTHING]
            self._patched.rename_or_remove(parent, read_pointer(f"/{name}")[0], next(iter(free), None))
        elif isinstance(value, str) and meant and (flaw.did_you_mean or "did you mean" in said or "use one of" in said):
            self._patched.change("replace", pointer, meant)
        elif (kind := next((kind for word, kind in _TYPE_WORDS.items() if word in said), None)) is not None and (
            (converted := convert(value, {"type": kind})) is not NOTHING and converted != value
        ):
            self._patched.change("replace", pointer, converted)
        elif (
            pointer.count("/") > 1
            and pointer.startswith(("/body/", "/query/"))
            and not self._is_required(operation, flaw)
        ):
            self._patched.change("remove", pointer)

    def _is_required(self, operation: _Operation, flaw: Flaw) -> bool:
        where, _, name = flaw.location.partition(".")
        if where == "query":
            return any(p["name"] == name and p.get("required") for p in operation.parameters)
        content = as_mapping(resolve(self._openapi, as_mapping(operation.about.get("requestBody"))).get("content"))
        media = as_mapping(next(iter(content.values()), None))
        return name in (resolve(self._openapi, as_mapping(media.get("schema"))).get("required") or ())


def _read_text(value: str) -> Iterator[Any]:
    """A query's value as text, and as what else it can be read as."""
    yield value
    if re.fullmatch(r"-?\d{1,18}", value):
        yield int(value)
    if value in ("true", "false"):
        yield value == "true"


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _put_values(template: str, parts: Sequence[str]) -> str:
    """The template with the path's values in the places of its parameters."""
    pairs = zip(parts, template.split("/"), strict=True)
    return "/".join(part if step.startswith("{") else step for part, step in pairs)


def _count_parameters(template: str) -> int:
    return template.count("{")


def _matches(template: str, path: str) -> bool:
    parts, steps = path.split("/"), template.split("/")
    return len(parts) == len(steps) and all(
        (step.startswith("{") and part != "") or step == part for part, step in zip(parts, steps, strict=True)
    )


def _to_pointer(location: str) -> str | None:
    """`body.items[0].name` as `/body/items/0/name`; a place elsewhere than in query and body is None."""
    where, _, rest = location.partition(".")
    if where == "query" and rest:
        return f"/query/{escape(rest)}"
    if where == "body" and rest:
        return "/body/" + "/".join(escape(step) for step in re.split(r"\.|\[|\]\.?", rest) if step)
    return None
