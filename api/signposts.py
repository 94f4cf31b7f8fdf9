"""Which operations are at an address, or near to one that leads nowhere."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

from litestar import Litestar
from litestar.routes import HTTPRoute

from ontology.nearest_names import NEAREST_MAX, find_nearest_names

_PREFIX = "/v1/"
_PARAMETER = re.compile(r"\{\w+\}")
# A part of a path that is no word: an id, or a number.
_ID = re.compile(r"[a-z]+_[0-9a-z]{20,}|[0-9a-f-]{30,}|\d+")


class Addressed(Protocol):
    """What is needed of an operation, which this module is below."""

    @property
    def id(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...


class Signposts:
    """The operations of a program by their addresses."""

    def __init__(self, operations: Sequence[Addressed]) -> None:
        self._by_path: dict[str, list[Addressed]] = {}
        for about in operations:
            self._by_path.setdefault(about.path, []).append(about)
        self._patterns = [(re.compile(_PARAMETER.sub("[^/]+", path)), path) for path in self._by_path]
        # What is compared of an address: its words, each on its own step, with nothing where an id is.
        self._by_words = {_PARAMETER.sub("", path).removeprefix(_PREFIX): path for path in self._by_path}

    def find_at(self, path: str) -> list[Addressed]:
        """The operations at exactly this address."""
        template = next((template for pattern, template in self._patterns if pattern.fullmatch(path)), None)
        return self._by_path[template] if template else []

    def find_near(self, method: str, path: str) -> list[Addressed]:
        """The likeliest operations that were meant, one of each address; those of the same method where there are."""
        steps = path.removeprefix(_PREFIX).strip("/").split("/")
        words = "/".join("" if _ID.fullmatch(step) else step for step in steps)
        found = [self._by_path[self._by_words[near]] for near in self._find_near_words(words)]
        return [next((about for about in here if about.method == method), here[0]) for here in found]

    def _find_near_words(self, words: str) -> Sequence[str]:
        """Of the same shape, else in a folder that was left out, else of any shape."""
        alike = tuple(known for known in self._by_words if _shape_of(known) == _shape_of(words))
        if near := find_nearest_names(words, alike):
            return near
        if below := [known for known in self._by_words if words and known.endswith(f"/{words}")]:
            return below[:NEAREST_MAX]
        return find_nearest_names(words, tuple(self._by_words))


def _shape_of(words: str) -> tuple[bool, ...]:
    return tuple(bool(word) for word in words.split("/"))


@lru_cache(maxsize=4)
def read_signposts(app: Litestar) -> Signposts:
    """Those of a program; made once for each."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    handlers = [handler for route in routes for handler, _ in route.route_handler_map.values()]
    return Signposts([handler.opt["operation"] for handler in handlers if "operation" in handler.opt])
