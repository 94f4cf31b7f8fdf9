"""What a written answer claims, held against what is true: names of the API, citations, and addresses.

A generator may invent, and a document may tell it to. An endpoint, parameter or scope that the live OpenAPI document
does not have is struck out where it stands; a sample that names one is left out; citations lead to the passages that
were given or are dropped; nothing leads outside this site.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from knowledge.queries import route_name

_FENCE = re.compile(r"^(```|~~~)[^\n]*\n(.*?)(?:^\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_ROUTE = re.compile(
    r"(?:\b(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\s+)?(?:`?)(/v\d+(?:/[\w{}:.$<>-]+)*/?)(\?[\w.=&%{}<>,-]+)?",
    re.ASCII,
)
_SCOPE = re.compile(r"\b[a-z][a-z_]{2,30}:[a-z][a-z_]{2,20}\b")
_CODE_SPAN = re.compile(r"`([^`\n]{1,200})`")
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*")
_ENVIRONMENT = re.compile(r"[A-Z][A-Z0-9_]+")
_JSON_NAME = re.compile(r"[\"']([A-Za-z_]\w{0,60})[\"']\s*:")
# A bracket that opens where another is open ends the search from the first: looking on from each would take a time
# that grows with the square of the text. What is left of such a link is an address, which is left out by itself.
_IMAGE = re.compile(r"!\[([^\[\]]*+)\](?:\((?:[^()]|\([^()]*+\))*+\)|\[[^\[\]]*+\])?")
_LINK = re.compile(r"\[([^\[\]]*+)\]\(\s*+<?([^()\s>]*+)(?:[^()]|\([^()]*+\))*+\)")
_REFERENCE = re.compile(r"^[ \t]{0,3}\[[^\[\]\n]++\]:.*$", re.MULTILINE)
_TAG = re.compile(r"</?[A-Za-z!?][^>]{0,2000}>?")
_ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,15}:)?//[^\s<>\"'`)\]]+|\bwww\.[^\s<>\"'`)\]]+|\b(?:javascript|data|vbscript):\S+", re.I
)
_CITATION = re.compile(r"\[(\d{1,4})\]")
LEFT_OUT = "(address left out)"


@dataclass(frozen=True, slots=True)
class ApiNames:
    """Everything that the OpenAPI document calls by a name."""

    routes: frozenset[str]
    scopes: frozenset[str]
    words: frozenset[str]
    """Parameters, fields, values, operations, headers and error codes, in lower case."""


@dataclass(slots=True)
class CheckedText:
    """A text whose claims hold; `struck` are the names that were struck out or kept out."""

    text: str
    citations: list[int] = field(default_factory=list[int])
    struck: list[str] = field(default_factory=list[str])


def read_api_names(document: Mapping[str, Any], scopes: frozenset[str]) -> ApiNames:
    """The names of an OpenAPI document."""
    routes: set[str] = set()
    for path, operations in document["paths"].items():
        routes.add(route_name("", path).strip())
        routes.update(route_name(method, path) for method in operations)
    words: set[str] = set()
    _collect(document, words)
    return ApiNames(frozenset(routes), scopes, frozenset(words))


def check_claims(text: str, names: ApiNames, passages: int) -> CheckedText:
    """The text with what does not hold struck out, left out or dropped; any text may be handed in."""
    checked = CheckedText("")
    pieces: list[str] = []
    position = 0
    for fence in _FENCE.finditer(text):
        pieces += [
            _check_prose(text[position : fence.start()], names, passages, checked),
            _check_code(fence, names, checked),
        ]
        position = fence.end()
    pieces.append(_check_prose(text[position:], names, passages, checked))
    checked.text = "".join(pieces).strip()
    checked.citations = list(dict.fromkeys(checked.citations))
    checked.struck = list(dict.fromkeys(checked.struck))
    return checked


def find_unknown(text: str, names: ApiNames) -> list[str]:
    """Endpoints, their parameters, and scopes that the API does not have, as they stand in the text."""
    unknown: list[str] = []
    for found in _ROUTE.finditer(text):
        method, path, query = found.groups()
        name = route_name(method or "", path).strip()
        fields = re.findall(r"[?&]([\w.]+)", query or "")
        if name not in names.routes or any(not _is_known_word(word, names) for word in fields):
            unknown.append(f"{path}{query or ''}")
    unknown += [scope for scope in _SCOPE.findall(text) if scope not in names.scopes and not _is_value(scope, names)]
    return unknown


def _check_prose(text: str, names: ApiNames, passages: int, checked: CheckedText) -> str:
    text = _IMAGE.sub(lambda image: image[1], text)
    text = _REFERENCE.sub("", text)
    text = _LINK.sub(lambda link: link[0] if _is_local(link[2]) else link[1], text)
    text = _TAG.sub("", text)
    text = _ADDRESS.sub(LEFT_OUT, text)
    text = _CODE_SPAN.sub(lambda span: _check_span(span, names, checked), text)
    # Outside of code spans and of links, which have been dealt with.
    parts = re.split(r"(~~`[^`]*`~~|`[^`\n]*`|\]\([^()]*+\))", text)
    for number in range(0, len(parts), 2):
        for name in sorted(set(find_unknown(parts[number], names)), key=len, reverse=True):
            checked.struck.append(name)
            parts[number] = parts[number].replace(name, f"~~{name}~~")
    return _CITATION.sub(lambda mark: _check_citation(mark, passages, checked), "".join(parts))


def _check_span(span: re.Match[str], names: ApiNames, checked: CheckedText) -> str:
    """A code span: struck when it is, or sets, a name that the API does not have."""
    text = span[1].strip()
    name = re.split(r"\s*[=:]\s*", text, maxsplit=1)[0] if "/" not in text and not _SCOPE.fullmatch(text) else ""
    wrong = find_unknown(text, names)
    if _IDENTIFIER.fullmatch(name) and not _ENVIRONMENT.fullmatch(name) and not _is_known_word(name, names):
        wrong.append(text)
    if not wrong:
        return span[0]
    checked.struck.extend(wrong[:1])
    return f"~~`{text}`~~"


def _check_code(fence: re.Match[str], names: ApiNames, checked: CheckedText) -> str:
    code = fence[2]
    wrong = find_unknown(code, names)
    wrong += [name for name in _JSON_NAME.findall(code) if not _is_known_word(name, names)]
    if not wrong:
        return _ADDRESS.sub(lambda address: address[0] if "$ONE_URL" in address[0] else LEFT_OUT, fence[0]) + "\n"
    checked.struck.extend(wrong)
    return "(A sample was left out: it names what the API does not have.)\n"


def _check_citation(mark: re.Match[str], passages: int, checked: CheckedText) -> str:
    number = int(mark[1])
    if not 1 <= number <= passages:
        return ""
    checked.citations.append(number)
    return f"[{number}]"


def _is_local(address: str) -> bool:
    """Whether a link stays on this site, whatever a browser makes of odd characters."""
    return bool(re.match(r"/(?![/\\])[\w/.#?=&%+-]*$|#[\w-]+$", address))


def _is_known_word(word: str, names: ApiNames) -> bool:
    """A word of the API, or a property that is named by its path."""
    lowered = word.lower()
    return lowered in names.words or all(part in names.words for part in lowered.split("."))


def _is_value(text: str, names: ApiNames) -> bool:
    return text.lower() in names.words


def _collect(value: Any, words: set[str]) -> None:
    """Names of fields and parameters, values of enumerations, ids of operations: keys and short strings alike."""
    if isinstance(value, dict):
        for name, inner in cast("dict[str, Any]", value).items():
            words.add(name.lower())
            _collect(inner, words)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            _collect(inner, words)
    elif isinstance(value, str) and len(value) <= 64 and " " not in value:
        words.add(value.lower())
