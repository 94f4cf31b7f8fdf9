"""The known names nearest to one that is not known, for refusals that ask what was meant.

Names are compared without case and separators by the similarity of Ratcliff and Obershelp (`difflib`). Its cost is
quadratic, so a name meets only the few that share most pairs of letters with it, and one longer than any known name
meets none: whatever is sent, a question costs well under a millisecond.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from heapq import nlargest

SIMILARITY_MIN = 0.6
# Of the pairs of letters that two names have together, those they share, each counted once: 0 to 0.5.
SHARE_MIN = 0.15
# A known name that the one sent begins with is near too, if it is not too short: `desc` for `descending`.
BEGINNING_MIN = 3
NEAREST_MAX = 3
COMPARED_MAX = 4
NAME_LENGTH_MAX = 60
_SEPARATORS = re.compile(r"[\W_]+")


def find_nearest_names(name: str, known: Sequence[str], limit: int = NEAREST_MAX) -> tuple[str, ...]:
    """At most `limit` of the known names, the likeliest first; none where nothing is near.

    Of known names that differ in case and separators only, the first stands for all.
    """
    plain = _plain(name[: NAME_LENGTH_MAX + 1])
    if not plain or len(name) > NAME_LENGTH_MAX:
        return ()
    pairs = _pair_letters(plain)
    shares = ((len(pairs & one.pairs) / (len(pairs) + len(one.pairs)), one) for one in _prepare(tuple(known)))
    matcher = SequenceMatcher(b=plain, autojunk=False)
    rated: list[tuple[float, str]] = []
    for _, one in nlargest(COMPARED_MAX, (pair for pair in shares if pair[0] >= SHARE_MIN), key=_measure):
        matcher.set_seq1(one.plain)
        if matcher.quick_ratio() >= SIMILARITY_MIN and (similarity := matcher.ratio()) >= SIMILARITY_MIN:
            rated.append((similarity, one.name))
        elif plain.startswith(one.plain) and len(one.plain) >= BEGINNING_MIN:
            rated.append((SIMILARITY_MIN, one.name))
    return tuple(found for _, found in nlargest(limit, rated, key=_measure))


def ask_back(near: Sequence[str]) -> str:
    """The names as a question: ``did you mean `a` or `b`?``"""
    *others, last = [f"`{name}`" for name in near]
    return f"did you mean {', '.join(others)}{' or ' if others else ''}{last}?"


@dataclass(frozen=True, slots=True)
class _Known:
    name: str
    plain: str
    pairs: frozenset[str]


@lru_cache(maxsize=256)
def _prepare(known: tuple[str, ...]) -> tuple[_Known, ...]:
    names = {_plain(name): name for name in reversed(known)}
    return tuple(_Known(name, plain, _pair_letters(plain)) for plain, name in names.items())


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()


def _pair_letters(plain: str) -> frozenset[str]:
    """Neighbouring letters, with marks where the name begins and ends."""
    marked = f"^{plain}$"
    return frozenset(marked[position : position + 2] for position in range(len(marked) - 1))


def _measure(pair: tuple[float, object]) -> float:
    return pair[0]
