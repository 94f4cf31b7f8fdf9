"""A request's headers, gone through once."""

from collections.abc import Iterable

from ontology.errors import Flaw, InvalidRequest


class Headers:
    """Every header with all its values; names in lower case."""

    def __init__(self, given: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        self.count = 0
        for name, value in given:
            self._values.setdefault(name, []).append(value)
            self.count += 1

    def all(self, name: bytes) -> list[bytes]:
        """Its values, in the order they came."""
        return self._values.get(name, [])

    def first(self, name: bytes) -> str:
        """Its first value, or nothing: for what is only noted down."""
        values = self._values.get(name)
        return values[0].decode("latin-1") if values else ""

    def single(self, name: str) -> str | None:
        """A header that may stand once.

        Raises:
            InvalidRequest: it stands twice.
        """
        values = self._values.get(name.encode())
        if values is None:
            return None
        if len(values) > 1:
            raise InvalidRequest(flaws=[Flaw(f"header.{name.title()}", "stands twice", "send it once")])
        return values[0].decode("latin-1")
