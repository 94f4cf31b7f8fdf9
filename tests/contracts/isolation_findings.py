"""What to attack of everything there is, and what came of it."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.contracts.isolation_world import Belongings

WHERE = ("path", "query", "body", "list", "filter", "cursor", "idempotency key")

SENT: Counter[tuple[str, str, str]] = Counter()
"""How many probes the whole run has sent, by attacker, kind of place and relation of the victim."""


@dataclass(frozen=True)
class Aim:
    """Probes of some operations, victims of some relations, some kinds of places; of all where none are named."""

    operations: Collection[str] = ()
    relations: Collection[str] = ()
    where: Collection[str] = ()

    def takes(self, operation: str, where: str) -> bool:
        return operation in (self.operations or (operation,)) and where in (self.where or WHERE)

    def choose(self, victims: list[Belongings]) -> list[Belongings]:
        return [victim for victim in victims if victim.relation in (self.relations or (victim.relation,))]


EVERYTHING = Aim()


@dataclass
class Findings:
    """What one attacker sent, by place, kind of place and relation of the victim, and what it was told there."""

    attacker: str
    told: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    sent: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])
    found: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])

    def note(self, place: str, where: str, relation: str, leaks: Collection[str]) -> None:
        """One probe, and what it found."""
        self.told.setdefault(place, []).extend(f"{relation}: {leak}" for leak in leaks)
        self.sent[place, where, relation] += 1
        self.found[where, relation] += bool(leaks)
        SENT[self.attacker, where, relation] += 1

    def complain(self, place: str, what: str) -> None:
        """The probe itself is no good."""
        self.told.setdefault(place, []).append(f"the probe does not reach its place: {what[:300]}")

    @property
    def cells(self) -> set[tuple[str, str]]:
        """Kinds of places with the relations that were attacked there."""
        return {(where, relation) for _, where, relation in self.sent}

    @property
    def leaks(self) -> list[str]:
        return [f"{self.attacker}, {place}: {told}" for place, all_told in self.told.items() for told in all_told]

    @property
    def operations(self) -> set[str]:
        """Those that told anything."""
        return {place.partition(" ")[0] for place, told in self.told.items() if told}
