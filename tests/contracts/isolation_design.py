"""Which combinations of place, victim and attacker are attacked: some in every run of the tests, all with one command.

In every run every attacker attacks through every place, and every victim. What is narrower than the full product:

- An attacker attacks all victims through a place, unless it is refused there whatever it asks for: because its key has
  ended, because it has none, or for want of a scope. That wall stands before anything that was asked for is read
  (`api/operations.py`), so it is tried with one victim, the next one at each place.
- Of the ids of one kind that a victim has, two are sent: one that is of use at the place, and another, the next one at
  each place and for each victim. Who is refused sends the first.
- Under a victim's idempotency key, its very request and one of the same meaning in other bytes are sent by turns.

`make isolation` (`ISOLATION=full`) leaves none of this out but ids beyond the first `IDS_MAX` of one kind, which only
events have.
"""

import os
from collections.abc import Callable, Sequence

from tests.contracts.isolation_requests import Slot
from tests.contracts.isolation_world import Attacker, Belongings

FULL = os.environ.get("ISOLATION") == "full"
IDS_MAX = 8
ENDS = (b"", b" ")
"""What is put behind a body that is sent again: nothing, or what changes its bytes alone."""


def choose_victims(
    attacker: Attacker, operation: str, turn: int, has: Callable[[Belongings], bool] = lambda _: True
) -> list[Belongings]:
    """Whom to attack through a place of an operation, of those that have something to attack there.

    `turn` is the number of the place.
    """
    if operation not in attacker.refused:
        return list(filter(has, attacker.victims))
    victims = list(filter(has, (*attacker.victims, *attacker.within)))
    if FULL or not victims:
        return victims
    others = [victim for victim in victims if victim.relation != "itself"]
    return [others[turn % len(others)], *(victim for victim in victims if victim.relation == "itself")]


def choose_ids(attacker: Attacker, victim: Belongings, slot: Slot, kind: str, turn: int) -> Sequence[str]:
    """What to send of a victim; `turn` is the number of the place and the victim together."""
    ids = victim.ids.get(kind, [])[:IDS_MAX]
    if FULL or len(ids) < 2:
        return ids
    useful = next((victim.useful[name] for name in (slot.operation, slot.name) if name in victim.useful), ids[0])
    others = [value for value in ids if value != useful]
    return [useful] if slot.operation in attacker.refused else [useful, others[turn % len(others)]]


def choose_ends(turn: int) -> Sequence[bytes]:
    """`turn` is the number of the operation and the victim together."""
    return ENDS if FULL else (ENDS[turn % 2],)
