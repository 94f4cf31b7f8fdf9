"""JSON as RFC 8259 means it, and nothing that a database or another client would stumble over later.

Refused with the place named: duplicate names, NaN and infinities, integers beyond 64 bits, NUL, lone surrogates, and
nesting beyond 64 levels.
"""

import json
import re
from typing import Any, cast

from ontology.errors import Flaw, InvalidJson

DEPTH_MAX = 64
INTEGER_MAX = 2**63 - 1
INTEGER_DIGITS_MAX = 20
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
# Only with one of these can a text hold a NUL, a lone surrogate, or a number beyond the range of a double.
_UNUSUAL = re.compile(rb"\\u|[0-9.][eE]\+?[0-9]{2}|[0-9]{200}")


def parse_json(body: bytes) -> Any:
    """Parse a request body.

    Raises:
        InvalidJson: not JSON, or JSON that cannot be kept; `errors` names the place.
    """
    _check_depth(body)
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _invalid("body", f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _invalid("body", f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    if _UNUSUAL.search(body):
        _check_values(value, "body")
    return value


def _invalid(location: str, message: str) -> InvalidJson:
    return InvalidJson(flaws=[Flaw(location, message, "correct the JSON text")])


def _check_depth(body: bytes) -> None:
    """Before parsing, so that no parser recurses as deep as a stranger likes; brackets inside strings do not count."""
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_MAX:
            raise _invalid("body", f"is nested more than {DEPTH_MAX} levels deep")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _invalid("body", f"the name `{_shorten(twice)}` stands twice in one object")
    return found


def _refuse_constant(name: str) -> Any:
    raise _invalid("body", f"`{name}` is not JSON")


def _parse_int(digits: str) -> int:
    if len(digits) > INTEGER_DIGITS_MAX or abs(int(digits)) > INTEGER_MAX:
        raise _invalid("body", "an integer is beyond 64 bits")
    return int(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant, parse_int=_parse_int)


def _check_values(value: Any, location: str) -> None:
    if isinstance(value, str):
        _check_text(value, location)
    elif isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise _invalid(location, "is beyond the range of a number")
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            _check_values(item, f"{location}[{index}]")
    elif isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            _check_text(name, location)
            _check_values(item, f"{location}.{_shorten(name)}")


def _check_text(value: str, location: str) -> None:
    if "\x00" in value:
        raise _invalid(location, "holds a NUL character")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise _invalid(location, "holds a lone surrogate")


def _shorten(name: str) -> str:
    return name.encode("utf-8", "replace").decode()[:60]
