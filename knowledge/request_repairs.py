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
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ontology.errors import Flaw
from ontology.nearest_names import find_nearest_names

DEPTH_MAX = 12
STEPS_MAX = 100
ITEMS_MAX = 1_000
SIMILARITY_MIN = 0.6
METHODS = ("get", "post", "put", "patch", "delete")
_PARAMETER = re.compile(r"\{(\w+)\}")
_QUOTED = re.compile(r"`([^`]+)`")
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
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
_NOTHING: Any = object()


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


def _find_nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(find_nearest_names(name, known, 1)), None)


@dataclass(frozen=True, slots=True)
class _Operation:
    template: str
    about: Mapping[str, Any]
    parameters: Sequence[Mapping[str, Any]]


class _Mending:
    """A request on its way; every change is a step of the patch and done at once."""

    def __init__(self, openapi: Mapping[str, Any], request: dict[str, Any]) -> None:
        self._openapi = openapi
        self.request = deepcopy(request)
        self.patch: list[dict[str, Any]] = []

    def find_operation(self) -> _Operation | None:
        """The operation of method and path, or the nearest one, after changing what was wrong of either."""
        paths: Mapping[str, Any] = _mapping(self._openapi.get("paths"))
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
            self._change("replace", "/method", method.upper())
        about = item[method]
        given = [*_list(item.get("parameters")), *_list(about.get("parameters"))]
        return _Operation(template, about, [self._resolve(parameter) for parameter in given])

    def _correct_path(self, templates: list[str], path: str) -> str | None:
        parts = path.rstrip("/").split("/")
        same = [one for one in templates if len(one.split("/")) == len(parts)]
        shown = {one: _put_values(one, parts) for one in same}
        close = get_close_matches(path.rstrip("/"), list(shown.values()), n=1, cutoff=SIMILARITY_MIN)
        if not close:
            return None
        self._change("replace", "/path", close[0])
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
            self._change("replace", "/path", path)

    def mend_query(self, operation: _Operation) -> None:
        known = {p["name"]: p for p in operation.parameters if p.get("in") == "query"}
        for name in list(self.request["query"]):
            if name in known or (name.partition(".")[0] in known and "." in name):
                continue
            free = [one for one in known if one not in self.request["query"]]
            self._rename_or_remove("/query", name, _find_nearest(name, free))
        for name, parameter in known.items():
            pointer = f"/query/{_escape(name)}"
            schema = self._resolve(_mapping(parameter.get("schema")))
            if name not in self.request["query"]:
                if parameter.get("required"):
                    self._change("add", pointer, _as_text(self._sample(schema, parameter.get("example", _NOTHING))))
                continue
            value = self.request["query"][name]
            if self._query_fits(schema, value):
                continue
            mended = self._mend_query_value(schema, value, parameter)
            if mended is None and not parameter.get("required"):
                self._change("remove", pointer)
            elif mended is not None:
                self._change("replace", pointer, mended)

    def _query_fits(self, schema: Mapping[str, Any], value: str) -> bool:
        return any(not self._flaws(schema, typed) for typed in _read_text(value))

    def _mend_query_value(self, schema: Mapping[str, Any], value: str, parameter: Mapping[str, Any]) -> str | None:
        for typed in _read_text(value):
            probe = _Mending(self._openapi, {"value": typed})
            probe.mend(schema, "/value", parameter.get("example", _NOTHING))
            if not self._flaws(schema, mended := probe.request["value"]) and mended is not None:
                return _as_text(mended)
        return None

    def mend_body(self, operation: _Operation) -> None:
        content = _mapping(self._resolve(_mapping(operation.about.get("requestBody"))).get("content"))
        media = _mapping(next(iter(content.values()), None))
        if not media:
            if self.request["body"] is not None:
                self._change("replace", "/body", None)
            return
        example = media.get("example", _NOTHING)
        for entry in _mapping(media.get("examples")).values():
            example = self._resolve(_mapping(entry)).get("value", example)
            break
        if self.request["body"] is None:
            self._change("replace", "/body", deepcopy(self._sample(_mapping(media.get("schema")), example)))
        self.mend(_mapping(media.get("schema")), "/body", example)

    def mend(self, schema: Mapping[str, Any], pointer: str, example: Any, depth: int = 0) -> None:
        """Make the value at a place fit its schema; `example` is a value that does."""
        if depth > DEPTH_MAX or len(self.patch) > STEPS_MAX:
            return
        schema, value = self._choose(schema, self._at(pointer)), self._at(pointer)
        allowed = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
        if allowed is not None and value not in allowed:
            self._change("replace", pointer, self._nearest_value(value, allowed, example))
            return
        if not _is_of_type(value, schema):
            value = _convert(value, schema)
            if value is _NOTHING:
                value = deepcopy(self._sample(schema, example))
            if not isinstance(value, dict | list) and self._own_flaws(schema, value):
                value = self._bounded(schema, value, example)
            self._change("replace", pointer, value)
        if isinstance(value, dict):
            self._mend_object(schema, pointer, cast("dict[str, Any]", value), example, depth)
        elif isinstance(value, list):
            self._mend_list(schema, pointer, cast("list[Any]", value), example, depth)
        elif self._own_flaws(schema, value):
            self._change("replace", pointer, self._bounded(schema, value, example))

    def _mend_object(
        self, schema: Mapping[str, Any], pointer: str, value: dict[str, Any], example: Any, depth: int
    ) -> None:
        fields: Mapping[str, Any] = _mapping(schema.get("properties"))
        required: Sequence[str] = schema.get("required") or ()
        if schema.get("additionalProperties") is False:
            for name in [name for name in value if name not in fields]:
                missing = [one for one in fields if one not in value]
                wanted = [one for one in missing if one in required]
                meant = _find_nearest(name, wanted) or _find_nearest(name, missing)
                self._rename_or_remove(pointer, name, meant)
        for name in required:
            if name not in value:
                shown = _inside(example, name)
                sample = deepcopy(self._sample(fields.get(name) or {}, shown))
                self._change("add", f"{pointer}/{_escape(name)}", sample)
        for name, inner in fields.items():
            if name in value:
                place = f"{pointer}/{_escape(name)}"
                self.mend(inner, place, _inside(example, name), depth + 1)
                if name not in required and self._flaws(inner, self._at(place)):
                    self._change("remove", place)

    def _mend_list(self, schema: Mapping[str, Any], pointer: str, value: list[Any], example: Any, depth: int) -> None:
        for position in range(len(value) - 1, schema.get("maxItems", len(value)) - 1, -1):
            self._change("remove", f"{pointer}/{position}")
        inner = _mapping(schema.get("items"))
        shown = listed[0] if (listed := _list(example)) else _NOTHING
        while len(value) < schema.get("minItems", 0):
            self._change("add", f"{pointer}/-", deepcopy(self._sample(inner, shown)))
        for position in range(min(len(value), ITEMS_MAX)):
            self.mend(inner, f"{pointer}/{position}", shown, depth + 1)

    def heed(self, flaw: Flaw, operation: _Operation) -> None:
        """What the server said of a place at which the document had nothing to change."""
        pointer = _to_pointer(flaw.location)
        if pointer is None or any(_touches(step, pointer) for step in self.patch):
            return
        value, said = self._at(pointer), f"{flaw.message} {flaw.fix}".lower()
        quoted = _QUOTED.search(flaw.fix)
        meant = next(iter(flaw.did_you_mean), quoted[1] if quoted else None)
        if value is _NOTHING:
            if "required" in said or "missing" in said:
                kind = next((kind for word, kind in _TYPE_WORDS.items() if word in said), "string")
                self._change("add", pointer, _EMPTY[kind])
        elif "is not known here" in said:
            parent, _, name = pointer.rpartition("/")
            free = [one for one in flaw.did_you_mean if self._at(f"{parent}/{_escape(one)}") is _NOTHING]
            self._rename_or_remove(parent, _steps(f"/{name}")[0], next(iter(free), None))
        elif isinstance(value, str) and meant and (flaw.did_you_mean or "did you mean" in said or "use one of" in said):
            self._change("replace", pointer, meant)
        elif (kind := next((kind for word, kind in _TYPE_WORDS.items() if word in said), None)) is not None and (
            (converted := _convert(value, {"type": kind})) is not _NOTHING and converted != value
        ):
            self._change("replace", pointer, converted)
        elif (
            pointer.count("/") > 1
            and pointer.startswith(("/body/", "/query/"))
            and not self._is_required(operation, flaw)
        ):
            self._change("remove", pointer)

    def _is_required(self, operation: _Operation, flaw: Flaw) -> bool:
        where, _, name = flaw.location.partition(".")
        if where == "query":
            return any(p["name"] == name and p.get("required") for p in operation.parameters)
        content = _mapping(self._resolve(_mapping(operation.about.get("requestBody"))).get("content"))
        media = _mapping(next(iter(content.values()), None))
        return name in (self._resolve(_mapping(media.get("schema"))).get("required") or ())

    def _rename_or_remove(self, parent: str, name: str, meant: str | None) -> None:
        place = f"{parent}/{_escape(name)}"
        if meant is None:
            self._change("remove", place)
        else:
            self._change("move", f"{parent}/{_escape(meant)}", start=place)

    def _choose(self, schema: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
        """Of alternatives the one that the value is nearest to."""
        schema = self._resolve(schema)
        options = schema.get("oneOf") or schema.get("anyOf")
        if not options:
            return schema
        chosen = [self._resolve(option) for option in options]
        kind = _mapping(schema.get("discriminator")).get("propertyName")
        if kind and isinstance(value, dict):
            wanted = cast("dict[str, Any]", value).get(kind)
            places = [_mapping(_mapping(one.get("properties")).get(kind)) for one in chosen]
            chosen = [one for one, place in zip(chosen, places, strict=True) if place.get("const") == wanted] or chosen
        best = min(
            chosen, key=lambda option: (option.get("type") == "null" and value is not None, self._flaws(option, value))
        )
        return self._choose(best, value) if best.get("anyOf") or best.get("oneOf") else best

    def _flaws(self, schema: Mapping[str, Any], value: Any) -> int:
        """How many steps it would take; a value of another type counts for many."""
        schema = self._resolve(schema)
        options = schema.get("oneOf") or schema.get("anyOf")
        if options:
            return min(self._flaws(option, value) for option in options)
        if not _is_of_type(value, schema):
            return 100
        if isinstance(value, dict | list):
            probe = _Mending(self._openapi, {"value": value})
            probe.mend(schema, "/value", _NOTHING, DEPTH_MAX - 4)
            return len(probe.patch)
        allowed = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
        return int((allowed is not None and value not in allowed) or self._own_flaws(schema, value))

    def _own_flaws(self, schema: Mapping[str, Any], value: Any) -> bool:
        """Whether a plain value is out of the bounds of its schema."""
        if isinstance(value, str):
            pattern = schema.get("pattern")
            short, long = schema.get("minLength", 0), schema.get("maxLength", len(value))
            return not short <= len(value) <= long or (pattern is not None and not re.search(pattern, value))
        if isinstance(value, int | float) and not isinstance(value, bool):
            low, high = schema.get("minimum", value), schema.get("maximum", value)
            below, above = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
            beyond = (below is not None and value <= below) or (above is not None and value >= above)
            return not low <= value <= high or beyond
        return False

    def _bounded(self, schema: Mapping[str, Any], value: Any, example: Any) -> Any:
        """The nearest value within the bounds, or the example's."""
        if isinstance(value, str):
            near = [value.strip(), value.strip().lower(), value[: schema.get("maxLength", len(value))]]
        else:
            near = [max(schema.get("minimum", value), min(schema.get("maximum", value), value))]
        fitting = next((one for one in near if not self._own_flaws(schema, one)), _NOTHING)
        return fitting if fitting is not _NOTHING else self._sample(schema, example)

    def _nearest_value(self, value: Any, allowed: Sequence[Any], example: Any) -> Any:
        texts = [one for one in allowed if isinstance(one, str)]
        if isinstance(value, str) and (found := _find_nearest(value, texts)) is not None:
            return found
        return example if example is not _NOTHING and example in allowed else allowed[0]

    def _sample(self, schema: Mapping[str, Any], example: Any = _NOTHING) -> Any:
        """A value that fits: the example, one the schema names, or the plainest of its type."""
        schema = self._resolve(schema)
        named = [*(schema.get("examples") or ()), *(schema.get("enum") or ())]
        named += [schema[name] for name in ("example", "const", "default") if name in schema]
        for one in (example, *named):
            if one is not _NOTHING and not self._flaws(schema, one):
                return one
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self._sample(next((o for o in options if o.get("type") != "null"), options[0]))
        kinds = schema.get("type") or "string"
        kind = kinds if isinstance(kinds, str) else next(iter(map(str, _list(kinds))), "string")
        if kind == "string":
            return "text".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 1000)]
        if kind in ("integer", "number"):
            return schema.get("minimum", schema.get("maximum", 1))
        if kind == "object":
            fields: Mapping[str, Any] = _mapping(schema.get("properties"))
            return {name: self._sample(fields.get(name) or {}) for name in schema.get("required") or ()}
        return _EMPTY.get(str(kind))

    def _resolve(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(DEPTH_MAX):
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            target: Any = self._openapi
            for step in _steps(reference.removeprefix("#")):
                target = _mapping(target).get(step)
            value = _mapping(target)
        return {}

    def _at(self, pointer: str) -> Any:
        target: Any = self.request
        for step in _steps(pointer):
            if isinstance(target, dict) and step in target:
                target = cast("dict[str, Any]", target)[step]
            elif isinstance(target, list) and step.isdigit() and int(step) < len(cast("list[Any]", target)):
                target = cast("list[Any]", target)[int(step)]
            else:
                return _NOTHING
        return target

    def _change(self, operation: str, pointer: str, value: Any = _NOTHING, *, start: str | None = None) -> None:
        """One step of the patch, done at once; a place whose parent is not there is left alone."""
        parent_pointer, _, last = pointer.rpartition("/")
        parent, name = self._at(parent_pointer), last.replace("~1", "/").replace("~0", "~")
        if not isinstance(parent, dict | list):
            return
        step: dict[str, Any] = {"op": operation, "path": pointer}
        if start is not None:
            step = {"op": operation, "from": start, "path": pointer}
            source = self._at(start.rpartition("/")[0])
            value = source.pop(start.rpartition("/")[2].replace("~1", "/").replace("~0", "~"))
        elif value is not _NOTHING:
            step["value"] = value
        self.patch.append(step)
        value = deepcopy(value) if value is not _NOTHING else value
        if operation == "remove":
            parent.pop(int(name) if isinstance(parent, list) else name)  # pyright: ignore
        elif isinstance(parent, list):
            if name == "-":
                parent.append(value)  # pyright: ignore
            else:
                parent[int(name)] = value
        else:
            parent[name] = value


_EMPTY: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


def _is_of_type(value: Any, schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    if kinds is None:
        return True
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if isinstance(value, bool) and kind in ("integer", "number"):
            continue
        if isinstance(value, _TYPES.get(kind, (object,))) or (
            kind == "integer" and isinstance(value, float) and value.is_integer()
        ):
            return True
    return False


def _convert(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value as one of the wanted type, where it means one."""
    kinds = schema.get("type")
    kind = kinds if isinstance(kinds, str) else next((one for one in kinds or () if one != "null"), None)
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kind in ("integer", "number"):
        try:
            number = float(value) if isinstance(value, str | int | float) else None
        except ValueError:
            return _NOTHING
        if number is None or number != number or abs(number) > 1e15:
            return _NOTHING
        return int(number) if kind == "integer" or number.is_integer() else number
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "yes", "1", "false", "no", "0"):
        return value.lower() in ("true", "yes", "1")
    if kind == "array" and not isinstance(value, list | dict) and value is not None:
        return [value]
    if kind == "array" and isinstance(value, dict):
        return [value]
    if kind in ("string", "object") and isinstance(value, list):
        listed = cast("list[Any]", value)
        return listed[0] if len(listed) == 1 and isinstance(listed[0], _TYPES[kind]) else _NOTHING
    return _NOTHING


def _read_text(value: str) -> Iterator[Any]:
    """A query's value as text, and as what else it can be read as."""
    yield value
    if re.fullmatch(r"-?\d{1,18}", value):
        yield int(value)
    if value in ("true", "false"):
        yield value == "true"


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _inside(example: Any, name: str) -> Any:
    return cast("dict[str, Any]", example).get(name, _NOTHING) if isinstance(example, dict) else _NOTHING


def _put_values(template: str, parts: Sequence[str]) -> str:
    """The template with the path's values in the places of its parameters."""
    pairs = zip(parts, template.split("/"), strict=True)
    return "/".join(part if step.startswith("{") else step for part, step in pairs)


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


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
        return f"/query/{_escape(rest)}"
    if where == "body" and rest:
        return "/body/" + "/".join(_escape(step) for step in re.split(r"\.|\[|\]\.?", rest) if step)
    return None


def _touches(step: Mapping[str, Any], pointer: str) -> bool:
    return any(
        other == pointer or pointer.startswith(f"{other}/") or other.startswith(f"{pointer}/")
        for other in (step["path"], step.get("from", step["path"]))
    )


def _steps(pointer: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
