"""Every regular expression of the program reads any text in a time that grows as the text does, and no faster.

Each is fed with what its own parts make when they are repeated behind the beginning of a match: what a match that
fails late, or from many places, takes longest to give up. Measured is processor time, which other work on the machine
does not change, and compared is the growth, which its speed does not change.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import api
import knowledge
import ontology
import portal
import worker
from tests.growth import is_linear

# Warnings of the standard library tell nothing else than that these are where they are.
_parser: Any = importlib.import_module("re._parser")

PACKAGES = (api, knowledge, ontology, portal, worker)
# They start a program when they are imported, or need what only its own process has.
LEFT_OUT = ("__main__", "knowledge.index", "portal.web_process")
TOKENS_MAX = 5
# Never searched for, but held against one text from its beginning.
ANCHORED = {"knowledge.markdown_html._LOCAL 0", "knowledge.queries._ID_SEGMENT 0", "knowledge.queries._FILE 0"}
ANCHORED |= {"ontology.usage_patterns._OPERATION 0", "knowledge.answerability._ASKS 0"}
ANCHORED |= {"knowledge.html_text._TAG_END 0", "knowledge.words._PAGE_FILE 0"}
PREFIXES_MAX = 6
# A list of many words has many, of which each works as the next.
PUMPS_MAX = 120


def _modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(part in found.name for part in LEFT_OUT):
                yield importlib.import_module(found.name)


def _patterns() -> dict[str, re.Pattern[Any]]:
    """Every compiled pattern that a module names, also within a tuple or a table."""
    found: dict[int, tuple[str, re.Pattern[Any]]] = {}
    for module in _modules():
        for name, value in vars(module).items():
            many: Any = (
                value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else (value,)
            )
            for number, pattern in enumerate(many):
                if isinstance(pattern, re.Pattern):
                    found.setdefault(id(pattern), (f"{module.__name__}.{name} {number}", pattern))
    return dict(found.values())


def _tokens(parsed: Any) -> list[str]:
    """A text for each part of a pattern, which together are one that matches, more or less."""
    tokens: list[str] = []
    for operation, argument in parsed:
        name = str(operation)
        if name == "LITERAL":
            tokens.append(chr(argument))
        elif name == "NOT_LITERAL":
            tokens.append("b" if argument == ord("a") else "a")
        elif name == "ANY":
            tokens.append("a")
        elif name == "IN":
            tokens.append(_one_of(argument))
        elif name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            tokens.extend(_tokens(argument[2]))
        elif name in ("SUBPATTERN", "ATOMIC_GROUP"):
            tokens.extend(_tokens(argument[-1] if name == "SUBPATTERN" else argument))
        elif name == "BRANCH":
            for branch in argument[1]:
                tokens.extend(_tokens(branch))
    return tokens


def _one_of(members: list[tuple[Any, Any]]) -> str:
    (first, value), *_ = members
    name = str(first)
    if name == "NEGATE":
        shut = {chr(each) for kind, each in members if str(kind) == "LITERAL"}
        return next(sign for sign in "a b-[(" if sign not in shut)
    if name == "RANGE":
        return chr(value[0])
    if name == "CATEGORY":
        return {"CATEGORY_SPACE": " ", "CATEGORY_DIGIT": "1"}.get(str(value), "a")
    return chr(value)


def _attacks(pattern: re.Pattern[Any]) -> Iterator[tuple[str, str]]:
    """What stands at the beginning, and what is repeated behind it."""
    tokens = _tokens(_parser.parse(pattern.pattern, pattern.flags))
    pumps = {
        "".join(tokens[start : start + length]) for start in range(len(tokens)) for length in range(1, TOKENS_MAX + 1)
    }
    pumps |= {f"\n{pump}" for pump in list(pumps)[:10]} | {" ", "\n", "a"}
    prefixes = {"".join(tokens[:length]) for length in range(PREFIXES_MAX)}
    chosen = sorted(pumps)[:: 1 + len(pumps) // PUMPS_MAX]
    return ((prefix, pump) for pump in chosen for prefix in sorted(prefixes))


def _holds(pattern: re.Pattern[Any], prefix: str, pump: str, *, anchored: bool = False) -> bool:
    def read(length: int) -> None:
        text = prefix + pump * (length // len(pump)) + "\x01"
        subject: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
        pattern.match(subject)
        for _ in () if anchored else pattern.finditer(subject):
            pass

    return is_linear(read)


PATTERNS = _patterns()


def test_there_are_patterns_to_be_judged() -> None:
    assert len(PATTERNS) > 40
    assert PATTERNS.keys() >= ANCHORED


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_no_pattern_takes_longer_than_its_text_is_long(name: str) -> None:
    pattern, anchored = PATTERNS[name], name in ANCHORED
    assert [attack for attack in _attacks(pattern) if not _holds(pattern, *attack, anchored=anchored)] == []


@pytest.mark.parametrize("pattern", [r"\[([^\]]*)\]", r"a+b", r"[\[(]\w+=[^\n]*[\])]\s*$"])
def test_a_pattern_that_does_is_found(pattern: str) -> None:
    compiled = re.compile(pattern, re.MULTILINE)
    assert not all(_holds(compiled, *attack) for attack in _attacks(compiled))
