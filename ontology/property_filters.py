"""Filters on what a thing's properties hold: `properties.price[gte]=10`, `properties.tags=ferns`.

A value that reads as a number, `true`, `false` or `null` means that and the text alike when it is looked for; in double
quotes it means the text alone. Comparisons are of numbers with numbers and of texts with texts. A list matches when one
of its items does. All of it becomes one SQL/JSON path whose values are bound, never part of its text.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Text, func, literal, not_
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from ontology.errors import Flaw, InvalidRequest

PREFIX = "properties."
OPERATORS = ("ne", "gt", "gte", "lt", "lte", "in", "exists")
FILTERS_MAX, VALUE_LENGTH_MAX = 20, 200
NAME_PATTERN = r"[^\[\].\x00]{1,100}(?:\.[^\[\].\x00]{1,100}){0,4}"
_PARAMETER = re.compile(rf"properties\.({NAME_PATTERN})(?:\[({'|'.join(OPERATORS)})\])?")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,29})(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?")
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_LISTED = re.compile(r'\s*+(?:("(?:[^"\\]|\\.)*+")\s*+(?:,|$)|([^,]*+)(?:,|$))')


@dataclass(frozen=True, slots=True)
class PropertyFilter:
    """One condition; `values` are JSON texts, alternatives of one another."""

    path: tuple[str, ...]
    operator: str
    values: tuple[str, ...]


def parse_property_filters(given: Mapping[str, str], sensitive: frozenset[str]) -> list[PropertyFilter]:
    """Filters from query parameters by name.

    Raises:
        InvalidRequest: with every parameter that is none; sensitive properties are not known here.
    """
    flaws: list[Flaw] = []
    filters: list[PropertyFilter] = []
    if len(given) > FILTERS_MAX:
        raise InvalidRequest(
            flaws=[Flaw("query.properties", f"there are more than {FILTERS_MAX} filters", "send fewer")]
        )
    for name, value in given.items():
        place = f"query.{name[:200]}"
        match = _PARAMETER.fullmatch(name)
        if match is None or match[1].split(".")[0] in sensitive:
            flaws.append(Flaw(place, "is not known here", "name a property, and an operator such as [gte]"))
        elif len(value) > VALUE_LENGTH_MAX:
            flaws.append(Flaw(place, f"is longer than {VALUE_LENGTH_MAX} characters", "send a shorter value"))
        elif match[2] == "exists" and value not in ("true", "false"):
            flaws.append(Flaw(place, "must be `true` or `false`", "send one of the two"))
        else:
            operator = match[2] or "eq"
            filters.append(PropertyFilter(tuple(match[1].split(".")), operator, _read_values(operator, value)))
    if flaws:
        raise InvalidRequest(flaws=flaws)
    return filters


def match_properties(column: Any, wanted: Sequence[PropertyFilter]) -> list[ColumnElement[bool]]:
    """The conditions on a JSON column; every one has to hold."""
    return [_match(column, one) for one in wanted]


def _match(column: Any, wanted: PropertyFilter) -> ColumnElement[bool]:
    path = "$" + "".join(f".{json.dumps(name)}" for name in wanted.path)
    if wanted.operator == "exists":
        found = _exists(column, path, "{}")
        return found if wanted.values == ("true",) else not_(found)
    sign = _COMPARISONS.get(wanted.operator, "==")
    tests = " || ".join(f"@ {sign} $v{number}" for number in range(len(wanted.values)))
    values = ", ".join(f'"v{number}": {value}' for number, value in enumerate(wanted.values))
    found = _exists(column, f"{path} ? ({tests})", f"{{{values}}}")
    return not_(found) if wanted.operator == "ne" else found


def _exists(column: Any, path: str, values: str) -> ColumnElement[bool]:
    """A path that does not fit what is stored finds nothing instead of failing (`silent`)."""
    bound = sql_cast(literal(path, Text), JSONPATH), sql_cast(literal(values, Text), JSONB)
    return cast("ColumnElement[bool]", func.jsonb_path_exists(column, *bound, True))


def _read_values(operator: str, text: str) -> tuple[str, ...]:
    if operator == "exists":
        return (text,)
    if operator in _COMPARISONS:
        return (_read_meanings(text)[0],)
    texts = _split(text) if operator == "in" else [text]
    return tuple(meaning for one in texts for meaning in _read_meanings(one))


def _read_meanings(text: str) -> list[str]:
    """What a value may mean, as JSON: what it reads as first, then the text."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return [json.dumps(text[1:-1].replace('\\"', '"'))]
    is_number = _NUMBER.fullmatch(text) is not None and math.isfinite(float(text))
    return [text, json.dumps(text)] if is_number or text in ("true", "false", "null") else [json.dumps(text)]


def _split(text: str) -> list[str]:
    """At commas outside double quotes."""
    found: list[str] = []
    position = 0
    while position < len(text):
        match = _LISTED.match(text, position)
        if match is None or match.end() == position:
            break
        found.append(match[1] or match[2].rstrip())
        position = match.end()
    return found or [text]
