"""How wide a key is, and whether another is wider: by scope, life, limits, and the places it may be used from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ontology.addresses import covers, parse_networks
from ontology.errors import Flaw
from ontology.scopes import Scope, expand_scopes

# The property of a key that keeps its own `expiresAt` while a leak shortens it.
BEFORE_LEAK = "expiresAtBeforeLeak"


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """What a key may at most do; empty or None means without bound. Times are epoch milliseconds."""

    scopes: frozenset[Scope]
    end: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    addresses: tuple[str, ...] = ()
    origins: frozenset[str] = frozenset()

    @classmethod
    def of_properties(cls, properties: Mapping[str, Any]) -> "KeyBounds":
        return cls(
            scopes=expand_scopes(Scope(scope) for scope in properties["scopes"]),
            end=find_end(properties),
            limits=properties.get("rateLimit") or {},
            addresses=tuple(properties.get("allowedAddresses") or ()),
            origins=frozenset(properties.get("allowedOrigins") or ()),
        )


def find_end(properties: Mapping[str, Any]) -> int | None:
    """When a key stops working by itself: at its expiry or at the end of its rotation, whichever comes first."""
    ends = [end for name in ("expiresAt", "rotatingUntil") if (end := properties.get(name)) is not None]
    return min(ends, default=None)


def find_wider(own: KeyBounds, asked: KeyBounds) -> list[Flaw]:
    """Where `asked` goes beyond `own`, place by place in a request; empty when it does not."""
    flaws = [
        Flaw("body.scopes", f"the acting key lacks `{scope}`", "leave it out")
        for scope in sorted(asked.scopes - own.scopes)
    ]
    if own.end is not None and (asked.end is None or asked.end > own.end):
        flaws.append(Flaw("body.expiresAt", "outlives the acting key", f"set it to {own.end} or earlier"))
    for name, highest in own.limits.items():
        if asked.limits.get(name, highest + 1) > highest:
            flaws.append(Flaw(f"body.rateLimit.{name}", "is above the acting key's", f"set it to {highest} or lower"))
    if own.addresses and not (
        asked.addresses and covers(parse_networks(own.addresses), parse_networks(asked.addresses))
    ):
        fix = f"name networks within {', '.join(own.addresses)}"
        flaws.append(Flaw("body.allowedAddresses", "reach beyond the acting key's", fix))
    if own.origins and not (asked.origins and asked.origins <= own.origins):
        fix = f"name some of {', '.join(sorted(own.origins))}"
        flaws.append(Flaw("body.allowedOrigins", "reach beyond the acting key's", fix))
    return flaws
