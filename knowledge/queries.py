"""What a person typed or pasted, made ready for retrieval.

A question in prose is left exactly as it is. Pasted errors are different: times, ids, paths and frames outweigh
the few words that say what happened, so they are taken out, and the line that carries the message is embedded
beside the cleaned whole. Both were measured to help; extracting the wrong line hurts ten times as much, so a line
is taken only where its form leaves no doubt.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

QUERY_CHARACTERS_MAX = 20_000
CLEANED_CHARACTERS_MAX = 1_500
NAMES_MAX = 20

_NOISE = (
    # Of a URL only the path of an API call says anything.
    re.compile(r"\bhttps?://[^/\s\"']+(?=/v\d+/)"),
    re.compile(r"\bhttps?://\S+"),
    re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"),
    re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE),
    re.compile(r"\b(?:req|group|person|thing|connection|event|knowledge)_[0-9a-z]{16,}\b"),
    re.compile(r"\borg_\w+_key_\w+"),
    re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE),
    re.compile(r"\b[0-9a-f]{16,}\b", re.IGNORECASE),
)
# A path, and as much of one as names a file, with its line. Two steps: one alone would be tried from every part of a
# long path that names none.
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@-]++)++(?::\d++)*+")
_FILE = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@-]+){2,}\.\w{1,5}(?::\d+)*")
# Where it happened, before or after what happened: `src/app.py:12:4: message`, `message [input_type=str, line=3]`.
_PLACE = re.compile(r"(?:^|(?<=\s))(?:[\w.@-]*[\\/])*[\w.@-]+\.[A-Za-z]\w{0,4}:\d+(?::\d+)*:?(?=\s|$)", re.MULTILINE)
_CONTEXT = re.compile(r"[\[(]\w++=")
_VALIDATION = re.compile(r"^\d+ validation errors? for .*$(?:\n\S+$)?", re.MULTILINE)
_FRAME = re.compile(
    r'^[^\S\n]*+(?:File ".*", line \d+.*|at .[^(:\n]*+[(:].*\d\)?|\.\.\. \d+ more|Traceback .*)$', re.MULTILINE
)
_PYTHON_MESSAGE = re.compile(r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Warning|Invalid|NotFound): (.+)$")
_JSON_MARKS = re.compile(r"[{}\[\]\"]+")
_LOOKS_PASTED = re.compile(
    r"\n|^\s*\{|Traceback|\b\w+(?:Error|Exception)\b|https?://|\d{4}-\d\d-\d\dT|\w\.[A-Za-z]\w{0,4}:\d+"
)

_METHOD_PATH = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\s+(?:https?://[^/\s]+)?(/[^\s?#\"']*)", re.I)
_BARE_PATH = re.compile(r"(/v\d+/[^\s?#\"',]*)")
_NAME = re.compile(
    r"\b[A-Za-z][A-Za-z0-9]*(?:[_.:-][A-Za-z0-9]+)+|\b[a-z]+(?:[A-Z][a-z0-9]*)+|\b(?:[A-Z]+[a-z0-9]+){2,}|\b[A-Z]+-?\d+"
)
_ID_SEGMENT = re.compile(r"\{.*\}|:\w+|\d+|[a-z]+_[0-9a-z]{16,}|[0-9a-f-]{32,}|\$\w+|<.*>", re.IGNORECASE)
_MESSAGE_FIELDS = ("title", "detail", "message", "error", "error_description")


@dataclass(frozen=True, slots=True)
class Query:
    """``texts`` are embedded and averaged, ``words`` matched by BM25, ``names`` looked up exactly."""

    texts: tuple[str, ...]
    words: str
    names: tuple[str, ...]


def read_query(typed: str) -> Query:
    """Prepare a query; one that looks pasted is cleaned, any other is taken as it is."""
    # Half a character (a lone surrogate) is none, and the tokenisers refuse it.
    typed = typed[:QUERY_CHARACTERS_MAX].encode(errors="ignore").decode().strip()
    names = tuple(dict.fromkeys(_names(_without_place(typed))))[:NAMES_MAX]
    if not _LOOKS_PASTED.search(typed):
        return Query((typed,), typed, names)
    cleaned = _clean(typed) or typed[:CLEANED_CHARACTERS_MAX]
    message = _message(typed)
    texts = (message, cleaned) if message and message != cleaned else (cleaned,)
    return Query(texts, cleaned, names)


def route_name(method: str, path: str) -> str:
    """The name of an operation: method and path, its parameters without their names."""
    return f"{method.upper()} {_route(path)}"


def _without_place(text: str) -> str:
    text = "\n".join(map(_without_context, _VALIDATION.sub(" ", text).split("\n")))
    return _PLACE.sub(" ", text)


def _without_context(line: str) -> str:
    """A line without what stands at its end in brackets, if that begins by naming a value."""
    ended = line.rstrip()
    context = _CONTEXT.search(ended) if ended.endswith(("]", ")")) else None
    return f"{ended[: context.start()]} " if context and context.end() < len(ended) else line


def _clean(text: str) -> str:
    text = _without_place(_FRAME.sub(" ", text))
    for noise in _NOISE:
        text = noise.sub(" ", text)
    text = _PATH.sub(_without_file, text)
    return " ".join(_JSON_MARKS.sub(" ", text).split())[:CLEANED_CHARACTERS_MAX]


def _without_file(path: re.Match[str]) -> str:
    file = _FILE.match(path[0])
    return f" {path[0][file.end() :]}" if file else path[0]


def _message(text: str) -> str:
    """The message proper: the fields of a problem document, or the last line of a traceback."""
    if text.startswith("{"):
        return " ".join(_json_messages(text))[:CLEANED_CHARACTERS_MAX]
    for line in reversed(text.splitlines()):
        if match := _PYTHON_MESSAGE.match(line.strip()):
            return _clean(match[1])
    return ""


def _json_messages(text: str) -> Iterator[str]:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(found, dict):
        return
    problem = cast("dict[str, object]", found)
    for field in _MESSAGE_FIELDS:
        if isinstance(value := problem.get(field), str):
            yield value


def _names(text: str) -> Iterator[str]:
    """Names a document may carry: routes, and words whose form shows that they are identifiers."""
    for method, path in _METHOD_PATH.findall(text):
        yield route_name(method, path)
    for path in _BARE_PATH.findall(_METHOD_PATH.sub(" ", text)):
        yield _route(path)
    if re.fullmatch(r"\w{3,64}", text):
        yield text.lower()
    for name in _NAME.findall(text):
        yield name.lower()


def _route(path: str) -> str:
    segments = path.rstrip("/.,;:)").split("/")
    return "/".join("{}" if _ID_SEGMENT.fullmatch(segment) else segment for segment in segments)
