"""The filter `q`: words that the name or the texts of a thing hold, or begin with.

Texts are indexed as Postgres reads them: `k10@example.org` and `v1.2.3` are one word, `POT-20-1` is `pot`, `-20` and
`-1`. So Postgres reads what was typed, too. What is only half typed reads differently (`k10@exam`, `it-sec`): each
word is also looked for as one, and in its parts.
"""

import re
from functools import reduce

from sqlalchemy import ColumnElement, Text, cast, false, func, literal
from sqlalchemy.dialects.postgresql import TSQUERY

from ontology.errors import Flaw, InvalidRequest

# The index is read for everything that begins with a word, which costs much where the word is a letter.
WORDS_MAX = 16
_PART = re.compile(r"[^\W_]+")
_AROUND = "<>()[]{}\"',;:!?"


def match_text(search: ColumnElement[str], q: str) -> ColumnElement[bool]:
    """Every word of `q` occurs, at least as the beginning of one; a text without a word is found nowhere.

    Raises:
        InvalidRequest: more than `WORDS_MAX` words; those within a word (`AB-12`) count.
    """
    if len(_PART.findall(q)) > WORDS_MAX:
        flaw = Flaw("query.q", f"has more than {WORDS_MAX} words", f"look for {WORDS_MAX} words at most")
        raise InvalidRequest(flaws=[flaw])
    words = [_match_word(word) for word in q.split() if _PART.search(word)]
    if not words:
        return false()
    return search.op("@@")(reduce(lambda some, more: some.op("&&")(more), words))


def _match_word(word: str) -> ColumnElement[str]:
    """As Postgres reads it, its last part perhaps half typed; as one; or its parts anywhere."""
    read = func.nullif(cast(func.phraseto_tsquery("simple", word), Text), "") + ":*"
    whole = word.rpartition("://")[2].strip(_AROUND)
    # A number behind a hyphen is indexed with it, and is a word without it to who looks for it.
    ones = [whole, f"-{whole}"] if whole[:1].isdigit() else [whole]
    as_one = cast(func.lower(literal(" | ".join(f"{_quote(one)}:*" for one in ones))), TSQUERY)
    parts = func.to_tsquery("simple", " & ".join(f"'{part}':*" for part in _PART.findall(word)))
    return func.coalesce(cast(read, TSQUERY), cast("", TSQUERY)).op("||")(as_one).op("||")(parts)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
