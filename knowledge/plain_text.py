"""Plain text as a page: every paragraph as it was written, no character of it taken for markup."""

import re

from markdown_it.token import Token

from knowledge.markdown import SOURCE_CHARACTERS_MAX, Page

_PARAGRAPHS = re.compile(r"\n[ \t]*\n")


def parse_plain_text(source: str, title: str) -> Page:
    """A page without headings; nothing in the text is refused."""
    tokens: list[Token] = []
    for paragraph in _PARAGRAPHS.split(source[:SOURCE_CHARACTERS_MAX]):
        if words := " ".join(paragraph.split()):
            text = Token("text", "", 0, content=words)
            tokens += [
                Token("paragraph_open", "p", 1, block=True),
                Token("inline", "", 0, content=words, children=[text], block=True),
                Token("paragraph_close", "p", -1, block=True),
            ]
    return Page(title, "", "", 0, "page", (), (), tuple(tokens))
