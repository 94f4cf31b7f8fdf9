"""What pydantic found wrong with a body or a query, in the words of the API: where, what, and what was meant."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from knowledge.openapi_parts import as_mapping, list_alternatives
from ontology.errors import Flaw
from ontology.nearest_names import ask_back, find_nearest_names

# Only so many flaws of one body, query or item are asked what was meant, and only so many items of a batch: a body can
# hold a hundred thousand unknown names.
ASKED_MAX = 5
ASKED_ITEMS_MAX = 100
# The error types of enumerations and literals; their context tells the values as `'asc' or 'desc'`.
_CHOICES = ("enum", "literal_error")
_CHOICE = re.compile(r"'([^']*)'")
# By error type of pydantic: what is wrong, and what to do. `{…}` is filled from the error's context.
_A_STRING = ("must be a string", "send text in quotes")
_A_WHOLE_NUMBER = ("must be a whole number", "send a number without a fraction")
_A_NUMBER = ("must be a number", "send a number, without quotes in JSON")
_A_TRUTH = ("must be true or false", "send `true` or `false`")
_AN_OBJECT = ("must be an object", "send a JSON object, in braces")
_A_LIST = ("must be a list", "send a JSON list, in brackets")
_WORDS = {
    "extra_forbidden": ("is not known here", "remove it or correct its name"),
    "missing": ("is required", "add it"),
    "string_type": _A_STRING,
    "string_too_short": ("must have at least {min_length} character{s}", "send more text"),
    "string_too_long": ("must have at most {max_length} characters", "shorten it"),
    "int_type": _A_WHOLE_NUMBER,
    "int_parsing": _A_WHOLE_NUMBER,
    "int_from_float": _A_WHOLE_NUMBER,
    "float_type": _A_NUMBER,
    "float_parsing": _A_NUMBER,
    "finite_number": _A_NUMBER,
    "bool_type": _A_TRUTH,
    "bool_parsing": _A_TRUTH,
    "dict_type": _AN_OBJECT,
    "model_type": _AN_OBJECT,
    "model_attributes_type": _AN_OBJECT,
    "list_type": _A_LIST,
    "too_short": ("must have at least {min_length} item{s}", "add what is missing"),
    "too_long": ("must have at most {max_length} items", "send fewer, or in several requests"),
    "greater_than_equal": ("must be at least {ge}", "send {ge} or more"),
    "greater_than": ("must be more than {gt}", "send more than {gt}"),
    "less_than_equal": ("must be at most {le}", "send {le} or less"),
    "less_than": ("must be less than {lt}", "send less than {lt}"),
}


def describe_flaws(
    error: ValidationError,
    where: str,
    model: type[BaseModel],
    alternatives: Mapping[str, type[BaseModel]] | None = None,
    item_number: int = 0,
) -> list[Flaw]:
    """Every flaw of a `model`, each with its place in the request and, of the first few, the nearest valid names.

    `alternatives` are the models by tag where a union was read: its errors begin with the tag, which is no place.
    `item_number` is the item's place in a batch.
    """
    flaws: list[Flaw] = []
    asked = 0 if item_number < ASKED_ITEMS_MAX else ASKED_MAX
    for item in error.errors(include_url=False):
        path, root = item["loc"], model
        if alternatives and path[:1] and path[0] in alternatives:
            path, root = path[1:], alternatives[str(path[0])]
        near: tuple[str, ...] = ()
        if item["type"] in ("extra_forbidden", *_CHOICES) and asked < ASKED_MAX:
            asked += 1
            near = _find_near(item, root, path)
        message, fix = _describe(item)
        flaws.append(Flaw(_name_place(where, path), message, ask_back(near) if near else fix, near))
    return flaws


def _find_near(item: Any, model: type[BaseModel], path: Sequence[str | int]) -> tuple[str, ...]:
    if item["type"] == "extra_forbidden":
        return find_nearest_names(str(path[-1]), list_names(model, path[:-1])) if path else ()
    given = item["input"]
    return find_nearest_names(given, _CHOICE.findall(item["ctx"]["expected"])) if isinstance(given, str) else ()


def _describe(item: Any) -> tuple[str, str]:
    """What is wrong, and what to do."""
    context: dict[str, Any] = item.get("ctx", {})
    if words := _WORDS.get(item["type"]):
        filled = context | {"s": "" if context.get("min_length") == 1 else "s"}
        return words[0].format_map(filled), words[1].format_map(filled)
    if item["type"] in _CHOICES:
        return f"must be {_quote_choices(context['expected'])}", "send one of these"
    message: str = item["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:], "send a value that fits"


def _quote_choices(expected: str) -> str:
    return _CHOICE.sub(r"`\1`", expected)


def _name_place(where: str, path: Sequence[str | int]) -> str:
    return where + "".join(f"[{part}]" if isinstance(part, int) else f".{part[:60]}" for part in path)


def list_names(model: type[BaseModel], path: Sequence[str | int]) -> tuple[str, ...]:
    """The fields that an object at a place of the model may have, by their public names."""
    places = [_schema(model)]
    for step in path:
        places = [inner for place in places for inner in _step(model, place, step)]
    shown = [as_mapping(one.get("properties")) for place in places for one in list_alternatives(_schema(model), place)]
    return tuple(dict.fromkeys(name for properties in shown for name in properties))


@lru_cache(maxsize=256)
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _step(model: type[BaseModel], place: Mapping[str, Any], step: str | int) -> Iterator[Mapping[str, Any]]:
    for one in list_alternatives(_schema(model), place):
        inner = one.get("items") if isinstance(step, int) else as_mapping(one.get("properties")).get(step)
        if isinstance(inner, dict):
            yield cast("dict[str, Any]", inner)
