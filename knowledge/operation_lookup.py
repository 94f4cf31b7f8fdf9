"""The operation that a call was meant for: by its method and path, or by the nearest ones there are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from knowledge.json_patch import NOTHING, Patched
from knowledge.openapi_parts import METHODS, as_mapping, as_sequence, resolve

PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_SIMILARITY_MIN = 0.6


@dataclass(frozen=True, slots=True)
class CalledOperation:
    """An operation of the document, with the template of its path and all of its parameters."""

    template: str
    about: Mapping[str, Any]
    parameters: Sequence[Mapping[str, Any]]

    @property
    def id(self) -> str | None:
        return self.about.get("operationId")


def find_operation(openapi: Mapping[str, Any], patched: Patched) -> CalledOperation | None:
    """The operation of `/method` and `/path`, or the nearest one, after changing what was wrong of either."""
    request = patched.document
    paths: Mapping[str, Any] = as_mapping(openapi.get("paths"))
    path: str = request["path"]
    template = next((one for one in sorted(paths, key=_count_parameters) if _matches(one, path)), None)
    if template is None:
        template = _correct_path(list(paths), patched)
    if template is None:
        return None
    item: Mapping[str, Any] = paths[template]
    method = request["method"].lower()
    if method not in item:
        others = [one for one in METHODS if one in item]
        if method == "put" and "patch" in others:
            others = ["patch"]
        if len(others) > 1 and request["body"] is None:
            others = [one for one in others if "requestBody" not in item[one]][:1]
        elif len(others) > 1:
            others = [one for one in others if "requestBody" in item[one]][:1]
        if not others:
            return None
        method = others[0]
        patched.change("replace", "/method", method.upper())
    about = item[method]
    given = [*as_sequence(item.get("parameters")), *as_sequence(about.get("parameters"))]
    return CalledOperation(template, about, [resolve(openapi, parameter) for parameter in given])


def mend_path(patched: Patched, operation: CalledOperation) -> None:
    """Ids written in capitals, with blanks or quotes around them: what an id can be freed of without guessing."""
    patterns = {p["name"]: p.get("schema", {}).get("pattern") for p in operation.parameters if p.get("in") == "path"}
    parts = patched.document["path"].split("/")
    for position, step in enumerate(operation.template.split("/")):
        name = PATH_PARAMETER.fullmatch(step)
        pattern = patterns.get(name[1]) if name else None
        if pattern and not re.search(pattern, parts[position]):
            plain = re.sub(r"[^a-z0-9_]", "", parts[position].lower())
            if re.search(pattern, plain):
                parts[position] = plain
    if (path := "/".join(parts)) != patched.document["path"]:
        patched.change("replace", "/path", path)


def read_body(openapi: Mapping[str, Any], operation: CalledOperation) -> tuple[Mapping[str, Any], Any] | None:
    """The schema of its body and an example, which may be NOTHING; None where it takes no JSON."""
    content = as_mapping(resolve(openapi, as_mapping(operation.about.get("requestBody"))).get("content"))
    media = as_mapping(next((each for name, each in content.items() if "json" in name), None))
    if not media:
        return None
    example = media.get("example", NOTHING)
    for entry in as_mapping(media.get("examples")).values():
        example = resolve(openapi, as_mapping(entry)).get("value", example)
        break
    return as_mapping(media.get("schema")), example


def _correct_path(templates: list[str], patched: Patched) -> str | None:
    path: str = patched.document["path"].rstrip("/")
    parts = path.split("/")
    same = [one for one in templates if len(one.split("/")) == len(parts)]
    shown = {one: _put_values(one, parts) for one in same}
    close = get_close_matches(path, list(shown.values()), n=1, cutoff=_SIMILARITY_MIN)
    if not close:
        return None
    patched.change("replace", "/path", close[0])
    return next(one for one, text in shown.items() if text == close[0])


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
