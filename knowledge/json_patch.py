"""JSON Patch (RFC 6902), one step at a time: each step is done to the document as it is noted down."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final, cast

NOTHING: Final[Any] = object()
"""There is no value at a place; `None` is one."""


class Patched:
    """A document, and the steps that have made it what it is."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document: dict[str, Any] = deepcopy(dict(document))
        self.steps: list[dict[str, Any]] = []

    def at(self, pointer: str) -> Any:
        """The value at a place, or NOTHING."""
        target: Any = self.document
        for step in read_pointer(pointer):
            if isinstance(target, dict) and step in target:
                target = cast("dict[str, Any]", target)[step]
            elif isinstance(target, list) and step.isdigit() and int(step) < len(cast("list[Any]", target)):
                target = cast("list[Any]", target)[int(step)]
            else:
                return NOTHING
        return target

    def change(self, operation: str, pointer: str, value: Any = NOTHING, *, start: str | None = None) -> None:
        """One step, done at once; a place whose parent is not there is left alone.

        `start` is where a `move` comes from. What is added to a list at its end has the name `-`.
        """
        parent_pointer, _, last = pointer.rpartition("/")
        parent, name = self.at(parent_pointer), unescape(last)
        if not isinstance(parent, dict | list):
            return
        step: dict[str, Any] = {"op": operation, "path": pointer}
        if start is not None:
            step = {"op": operation, "from": start, "path": pointer}
            source = self.at(start.rpartition("/")[0])
            value = source.pop(unescape(start.rpartition("/")[2]))
        elif value is not NOTHING:
            step["value"] = value
        self.steps.append(step)
        value = deepcopy(value) if value is not NOTHING else value
        if operation == "remove":
            parent.pop(int(name) if isinstance(parent, list) else name)  # pyright: ignore
        elif isinstance(parent, list):
            if name == "-":
                parent.append(value)  # pyright: ignore
            else:
                parent[int(name)] = value
        else:
            parent[name] = value

    def rename_or_remove(self, parent: str, name: str, meant: str | None) -> None:
        """Move what has the wrong name to the name that was meant; without one, remove it."""
        place = f"{parent}/{escape(name)}"
        if meant is None:
            self.change("remove", place)
        else:
            self.change("move", f"{parent}/{escape(meant)}", start=place)

    def touches(self, pointer: str) -> bool:
        """Whether a step has changed this place, something in it, or what it is in."""
        return any(
            other == pointer or pointer.startswith(f"{other}/") or other.startswith(f"{pointer}/")
            for step in self.steps
            for other in (step["path"], step.get("from", step["path"]))
        )


def read_pointer(pointer: str) -> list[str]:
    """The names on the way to a place (RFC 6901)."""
    return [unescape(step) for step in pointer.split("/")[1:]]


def escape(name: str) -> str:
    """A name as it stands in a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def unescape(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
