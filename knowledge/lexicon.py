"""What the words of a query are: known, mistyped, or nobody's.

A word is mistyped when nothing its asker may read holds it: such a word finds nothing by itself, so another reading of
it takes nothing away. It is read as a word that begins alike and is as good as equal: `pagniation` as `pagination`,
`kyes` as `keys`. Short words with another letter in them are left alone, since they are names as often as mistakes
(`SAML`). The last word may be one that is still being typed: `pagi` is read as `pagination` too.

A query of which no word is one of the language either (`asdf`) is rubbish: the nearest text to it is no answer.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from ontology.nearest_names import find_nearest_names

# Longer queries have enough right words.
QUERY_WORDS_MAX = 12
LETTERS_MIN = 4
# By which of two words in a row of letters so much is shared: one letter of five too many, two of twelve wrong.
LIKENESS_MIN = 0.85
_WORD = re.compile(r"[^\W\d_]+")
_CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^()\n]*\)", re.DOTALL)


def read_vocabulary(directory: Path) -> tuple[str, ...]:
    """The words of the documentation's prose and of the phrases by which its pages are found, most frequent first."""
    seen: Counter[str] = Counter()
    for path in sorted(directory.rglob("*.md")):
        prose = _CODE.sub(" ", path.read_text(encoding="utf-8"))
        seen.update(word for word in map(str.lower, _WORD.findall(prose)) if len(word) >= LETTERS_MIN)
    return tuple(word for word, _ in seen.most_common())


class Lexicon:
    """The words of the documentation, most frequent first, and those of the language; without any it does nothing."""

    def __init__(self, vocabulary: Sequence[str] = (), language: Collection[str] = frozenset()) -> None:
        self._words = frozenset(vocabulary)
        self._language = language
        beginnings = {word[0] for word in vocabulary}
        self._by_beginning = {letter: tuple(w for w in vocabulary if w[0] == letter) for letter in beginnings}

    def correct(self, text: str, is_known: Callable[[str], bool]) -> str:
        """The text with its mistyped words put right; `is_known` tells of a word that is not in the vocabulary."""
        if len(text.split()) > QUERY_WORDS_MAX:
            return text
        end = len(text.rstrip())

        def read(found: re.Match[str]) -> str:
            word = found[0].lower()
            if len(word) < LETTERS_MIN or word in self._words:
                return found[0]
            nearest = self._find_nearest(word, is_typed=found.end() == end)
            return found[0] if nearest is None or is_known(word) else nearest

        return _WORD.sub(read, text)

    def is_rubbish(self, text: str) -> bool:
        """Whether none of its words is one; never without a language, nor of a text without words."""
        words = _WORD.findall(text.lower())
        return bool(self._language and words) and not any(
            word in self._language or word in self._words for word in words
        )

    def _find_nearest(self, word: str, *, is_typed: bool) -> str | None:
        words = self._by_beginning.get(word[0], ())
        for near in find_nearest_names(word, words):
            if _is_alike(word, near):
                return near
        return next((other for other in words if other.startswith(word)), None) if is_typed else None


def _is_alike(word: str, other: str) -> bool:
    likeness = SequenceMatcher(None, word, other, autojunk=False).ratio()
    return likeness >= LIKENESS_MIN or sorted(word) == sorted(other)
