"""From a value to the nearest one that fits a schema of an OpenAPI document, place by place.

A value becomes the nearest one allowed, what is missing is added from the examples, and only what nothing is known of
is removed. Depth and number of steps are bounded, whatever the document says.
"""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, cast

from knowledge.json_patch import NOTHING, Patched, escape
from knowledge.openapi_parts import as_mapping, as_sequence, resolve
from ontology.nearest_names import find_nearest_names

DEPTH_MAX = 12
STEPS_MAX = 100
ITEMS_MAX = 1_000
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
PLAINEST: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "array": [],
    "object": {},
    "null": None,
}


class ValueMending:
    """Mends values of one document by the schemas of another, the OpenAPI document."""

    def __init__(self, openapi: Mapping[str, Any], patched: Patched) -> None:
        self._openapi = openapi
        self._patched = patched

    def mend(self, schema: Mapping[str, Any], pointer: str, example: Any, depth: int = 0) -> None:
        """Make the value at a place fit its schema; `example` is a value that does."""
        if depth > DEPTH_MAX or len(self._patched.steps) > STEPS_MAX:
            return
        schema, value = self._choose(schema, self._patched.at(pointer)), self._patched.at(pointer)
        allowed = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
        if allowed is not None and value not in allowed:
            self._patched.change("replace", pointer, self._nearest_value(value, allowed, example))
            return
        if not _is_of_type(value, schema):
            value = convert(value, schema)
            if value is NOTHING:
                value = deepcopy(self.sample(schema, example))
            if not isinstance(value, dict | list) and self._is_out_of_bounds(schema, value):
                value = self._bounded(schema, value, example)
            self._patched.change("replace", pointer, value)
        if isinstance(value, dict):
            self._mend_object(schema, pointer, cast("dict[str, Any]", value), example, depth)
        elif isinstance(value, list):
            self._mend_list(schema, pointer, cast("list[Any]", value), example, depth)
        elif self._is_out_of_bounds(schema, value):
            self._patched.change("replace", pointer, self._bounded(schema, value, example))

    def try_value(self, schema: Mapping[str, Any], value: Any, example: Any, depth: int = 0) -> Patched:
        """A document of its own that holds the value, mended, at `/value`."""
        probe = Patched({"value": value})
        ValueMending(self._openapi, probe).mend(schema, "/value", example, depth)
        return probe

    def _mend_object(
        self, schema: Mapping[str, Any], pointer: str, value: dict[str, Any], example: Any, depth: int
    ) -> None:
        fields: Mapping[str, Any] = as_mapping(schema.get("properties"))
        required: Sequence[str] = schema.get("required") or ()
        if schema.get("additionalProperties") is False:
            for name in [name for name in value if name not in fields]:
                missing = [one for one in fields if one not in value]
                wanted = [one for one in missing if one in required]
                meant = find_nearest(name, wanted) or find_nearest(name, missing)
                self._patched.rename_or_remove(pointer, name, meant)
        for name in required:
            if name not in value:
                shown = _inside(example, name)
                sample = deepcopy(self.sample(fields.get(name) or {}, shown))
                self._patched.change("add", f"{pointer}/{escape(name)}", sample)
        for name, inner in fields.items():
            if name in value:
                place = f"{pointer}/{escape(name)}"
                self.mend(inner, place, _inside(example, name), depth + 1)
                if name not in required and self.count_flaws(inner, self._patched.at(place)):
                    self._patched.change("remove", place)

    def _mend_list(self, schema: Mapping[str, Any], pointer: str, value: list[Any], example: Any, depth: int) -> None:
        for position in range(len(value) - 1, schema.get("maxItems", len(value)) - 1, -1):
            self._patched.change("remove", f"{pointer}/{position}")
        inner = as_mapping(schema.get("items"))
        shown = listed[0] if (listed := as_sequence(example)) else NOTHING
        while len(value) < schema.get("minItems", 0):
            self._patched.change("add", f"{pointer}/-", deepcopy(self.sample(inner, shown)))
        for position in range(min(len(value), ITEMS_MAX)):
            self.mend(inner, f"{pointer}/{position}", shown, depth + 1)

    def _choose(self, schema: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
        """Of alternatives the one that the value is nearest to."""
        schema = resolve(self._openapi, schema)
        options = schema.get("oneOf") or schema.get("anyOf")
        if not options:
            return schema
        chosen = [resolve(self._openapi, option) for option in options]
        kind = as_mapping(schema.get("discriminator")).get("propertyName")
        if kind and isinstance(value, dict):
            wanted = cast("dict[str, Any]", value).get(kind)
            places = [as_mapping(as_mapping(one.get("properties")).get(kind)) for one in chosen]
            chosen = [one for one, place in zip(chosen, places, strict=True) if place.get("const") == wanted] or chosen
        best = min(
            chosen,
            key=lambda option: (option.get("type") == "null" and value is not None, self.count_flaws(option, value)),
        )
        return self._choose(best, value) if best.get("anyOf") or best.get("oneOf") else best

    def count_flaws(self, schema: Mapping[str, Any], value: Any) -> int:
        """How many steps it would take; a value of another type counts for many."""
        schema = resolve(self._openapi, schema)
        options = schema.get("oneOf") or schema.get("anyOf")
        if options:
            return min(self.count_flaws(option, value) for option in options)
        if not _is_of_type(value, schema):
            return 100
        if isinstance(value, dict | list):
            return len(self.try_value(schema, value, NOTHING, DEPTH_MAX - 4).steps)
        allowed = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
        return int((allowed is not None and value not in allowed) or self._is_out_of_bounds(schema, value))

    def _is_out_of_bounds(self, schema: Mapping[str, Any], value: Any) -> bool:
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
        fitting = next((one for one in near if not self._is_out_of_bounds(schema, one)), NOTHING)
        return fitting if fitting is not NOTHING else self.sample(schema, example)

    def _nearest_value(self, value: Any, allowed: Sequence[Any], example: Any) -> Any:
        texts = [one for one in allowed if isinstance(one, str)]
        if isinstance(value, str) and (found := find_nearest(value, texts)) is not None:
            return found
        return example if example is not NOTHING and example in allowed else allowed[0]

    def sample(self, schema: Mapping[str, Any], example: Any = NOTHING) -> Any:
        """A value that fits: the example, one the schema names, or the plainest of its type."""
        schema = resolve(self._openapi, schema)
        named = [*(schema.get("examples") or ()), *(schema.get("enum") or ())]
        named += [schema[name] for name in ("example", "const", "default") if name in schema]
        for one in (example, *named):
            if one is not NOTHING and not self.count_flaws(schema, one):
                return one
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self.sample(next((o for o in options if o.get("type") != "null"), options[0]))
        kinds = schema.get("type") or "string"
        kind = kinds if isinstance(kinds, str) else next(iter(map(str, as_sequence(kinds))), "string")
        if kind == "string":
            return "text".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength", 1000)]
        if kind in ("integer", "number"):
            return schema.get("minimum", schema.get("maximum", 1))
        if kind == "object":
            fields: Mapping[str, Any] = as_mapping(schema.get("properties"))
            return {name: self.sample(fields.get(name) or {}) for name in schema.get("required") or ()}
        return PLAINEST.get(str(kind))


def find_nearest(name: str, known: Sequence[str]) -> str | None:
    """The known name that was probably meant."""
    return next(iter(find_nearest_names(name, known, 1)), None)


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


def convert(value: Any, schema: Mapping[str, Any]) -> Any:
    """The value as one of the wanted type, where it means one."""
    kinds = schema.get("type")
    kind = kinds if isinstance(kinds, str) else next((one for one in kinds or () if one != "null"), None)
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kind in ("integer", "number"):
        try:
            number = float(value) if isinstance(value, str | int | float) else None
        except ValueError:
            return NOTHING
        if number is None or number != number or abs(number) > 1e15:
            return NOTHING
        return int(number) if kind == "integer" or number.is_integer() else number
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "yes", "1", "false", "no", "0"):
        return value.lower() in ("true", "yes", "1")
    if kind == "array" and not isinstance(value, list | dict) and value is not None:
        return [value]
    if kind == "array" and isinstance(value, dict):
        return [value]
    if kind in ("string", "object") and isinstance(value, list):
        listed = cast("list[Any]", value)
        return listed[0] if len(listed) == 1 and isinstance(listed[0], _TYPES[kind]) else NOTHING
    return NOTHING


def _inside(example: Any, name: str) -> Any:
    return cast("dict[str, Any]", example).get(name, NOTHING) if isinstance(example, dict) else NOTHING
