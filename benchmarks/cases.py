"""What is measured, and the requests of it as they go over the wire."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from uuid import UUID

from ontology.ids import encode_id

JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Case:
    """One operation with its requests; `share_wanted` is the least share of the floor's requests per second."""

    name: str
    requests: list[str]
    share_wanted: float
    p99_wanted_ms: float


def api_cases(key: str, thing_ids: Sequence[str]) -> list[Case]:
    """The four operations that have a promise."""
    ids = [encode_id("thing", UUID(id)) for id in thing_ids]
    return [
        Case("whoami", [request("GET", "/v1/whoami", key)], 0.45, 20),
        Case("read one entity", [request("GET", f"/v1/entities/{id}", key) for id in ids], 0.25, 25),
        Case("list 20 with a filter", [request("GET", "/v1/entities?type=course&limit=20", key)], 0.20, 30),
        Case("create one entity", [request("POST", "/v1/entities", key, _new_thing(n)) for n in range(100)], 0.12, 40),
    ]


def floor_requests() -> list[str]:
    return [request("GET", "/floor")]


def search_requests(key: str) -> list[str]:
    """Questions, each another one, so that no answer is one given before."""
    subjects = ("key", "invoice", "course", "group", "webhook", "refund", "quota", "search", "limit", "import")
    troubles = ("stopped working", "is refused", "is too slow", "shows nothing", "was deleted", "answers 403")
    openings = ("my {} {}", "why is it that the {} {}", "what to do when a {} {}", "the {} {} since yesterday")
    return [
        request("POST", "/v1/knowledge/search", key, {"query": opening.format(subject, trouble)})
        for opening, subject, trouble in product(openings, subjects, troubles)
    ]


def request(method: str, path: str, key: str = "", body: object = None) -> str:
    """The bytes of a request, in Base64."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "User-Agent: bench", "Accept: */*"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    content = b"" if body is None else json.dumps(body).encode()
    if content:
        lines += [f"Content-Type: {JSON_TYPE}", f"Content-Length: {len(content)}"]
    return base64.b64encode("\r\n".join([*lines, "", ""]).encode() + content).decode()


def _new_thing(number: int) -> dict[str, object]:
    properties = {"title": f"New course {number}", "price": number, "currency": "EUR", "tags": ["new", str(number)]}
    return {"type": "course", "name": f"New course {number}", "properties": properties}
