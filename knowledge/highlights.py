"""Where a passage speaks of the query: short pieces of its text around the matching words, as plain text."""

import re

SNIPPETS_MAX = 3
SNIPPET_CHARACTERS = 160
_WORD = re.compile(r"\w{3,}")
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """about and any are but can did does for from get has have how into its not our out that the their them
        then there this was what when where which who why will with you your""",
    )
)


def find_highlights(text: str, query: str) -> list[str]:
    """At most three pieces of the text, in its order; empty when no word of the query occurs."""
    pattern = _pattern(query)
    if pattern is None:
        return []
    snippets: list[str] = []
    covered = 0
    for match in pattern.finditer(text):
        if match.start() < covered:
            continue
        start = _word_start(text, max(covered, match.start() - SNIPPET_CHARACTERS // 3))
        end = _word_end(text, min(len(text), start + SNIPPET_CHARACTERS))
        snippets.append(" ".join(text[start:end].split()))
        covered = end
        if len(snippets) == SNIPPETS_MAX:
            break
    return snippets


def mark_words(text: str, query: str) -> list[tuple[str, bool]]:
    """The text in pieces, each with whether it matches the query; joined they are the text again."""
    pattern = _pattern(query)
    pieces: list[tuple[str, bool]] = []
    position = 0
    for match in pattern.finditer(text) if pattern else ():
        if match.start() > position:
            pieces.append((text[position : match.start()], False))
        pieces.append((match[0], True))
        position = match.end()
    if position < len(text):
        pieces.append((text[position:], False))
    return pieces


def _pattern(query: str) -> re.Pattern[str] | None:
    """Words of the query with any ending, so that *revoke* finds *revoked* and *keys* finds *key*."""
    words = {word.lower() for word in _WORD.findall(query[:500])} - STOP_WORDS
    stems = sorted({re.escape(word[: max(3, len(word) - 2)]) for word in words}, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(stems)})\w{{0,5}}\b", re.IGNORECASE) if stems else None


def _word_start(text: str, position: int) -> int:
    space = text.find(" ", position)
    return space + 1 if position > 0 and 0 <= space - position < 20 else position


def _word_end(text: str, position: int) -> int:
    space = text.rfind(" ", 0, position)
    return space if position < len(text) and position - space < 20 else position
