"""HTML as a page: its headings, paragraphs and code, and nothing that runs, styles or leads around the site.

What comes out is plain text, so nothing has to be made harmless, only left out. The source is walked once from its
beginning to its end and no tree is built: sanitisers and tree builders alike take quadratic time, or gigabytes, for
some thousand nested tags.
"""

import re
from collections.abc import Iterator
from html import unescape

from markdown_it.token import Token

from knowledge.markdown import Page, heading_tree, slug

SOURCE_CHARACTERS_MAX = 500_000
TITLE_CHARACTERS_MAX = 500
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    (
        *("p", "div", "section", "article", "main", "header", "aside", "blockquote", "ul", "ol", "dl", "li", "dt"),
        *("dd", "table", "tr", "caption", "figure", "figcaption", "details", "summary", "address", "br", "hr", "body"),
    )
)
_CELLS = frozenset(("td", "th"))
# Not for readers; what follows one that is never closed is lost, as it would be in a browser.
_SILENT = frozenset(("script", "style", "template", "noscript", "iframe", "object", "svg", "math", "title", "textarea"))
# Not what the page is about; one that is never closed is taken for a mistake.
_AROUND = frozenset(("nav", "footer", "select", "button"))
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,500})<", re.IGNORECASE)
_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]*)")
_ID = re.compile(r"\sid\s*=\s*[\"']?([\w.:-]{1,200})")
# Where a tag ends: a value in quotes may hold the sign that ends one.
_TAG_END = re.compile(r"[^>=]*+(?:=\s*+(?:\"[^\"]*+\"|'[^']*+')?+[^>=]*+)*+>")
_MAIN = re.compile(r"<main\b", re.IGNORECASE)
_MAIN_END = re.compile(r"</main\b", re.IGNORECASE)
_CLOSINGS = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in _SILENT | _AROUND}


class HtmlInvalid(ValueError):
    """The source cannot be read as a page; the message says why."""


def parse_html(source: str, title: str) -> Page:
    """The headings, paragraphs and code of the source; a first heading that repeats the title is left out.

    Raises:
        HtmlInvalid: it is too long.
    """
    check_html(source)
    reader = _Reader()
    for text, tag in _scan(_find_main(source)):
        if text:
            reader.read_text(unescape(text))
        if tag:
            reader.read_tag(tag)
    tokens = reader.finish()
    if tokens and tokens[0].tag == "h1" and tokens[1].content == title:
        del tokens[:3]
    return Page(title, "", "", 0, "page", (), heading_tree(tokens), tuple(tokens))


def read_html_title(source: str) -> str:
    """What a browser's tab would show; empty where the source does not say."""
    found = _TITLE.search(source[:20_000])
    return " ".join(unescape(found[1]).split())[:TITLE_CHARACTERS_MAX] if found else ""


def check_html(source: str) -> None:
    """Raises: HtmlInvalid."""
    if len(source) > SOURCE_CHARACTERS_MAX:
        raise HtmlInvalid(f"has more than {SOURCE_CHARACTERS_MAX:,} characters".replace(",", " "))


def _find_main(source: str) -> str:
    """The part that the source calls its main one, where it names just one; else the whole."""
    beginnings, endings = list(_MAIN.finditer(source)), list(_MAIN_END.finditer(source))
    if len(beginnings) == len(endings) == 1 and beginnings[0].start() < endings[0].start():
        return source[beginnings[0].start() : endings[0].start()]
    return source


def _scan(source: str) -> Iterator[tuple[str, str]]:
    """Pieces of text, each with what stands between the angle brackets that end it, in linear time."""
    position, unclosed = 0, set[str]()
    while (start := source.find("<", position)) >= 0:
        if source.startswith("<!--", start):
            yield source[position:start], ""
            end = source.find("-->", start + 4)
            position = end + 3 if end >= 0 else len(source)
            continue
        name = _NAME.match(source, start + 1)
        if name is None and source[start + 1 : start + 2] not in ("!", "?"):
            yield source[position : start + 1], ""
            position = start + 1
            continue
        closed = _TAG_END.match(source, start)
        if closed is None:
            break
        end = closed.end() - 1
        yield source[position:start], source[start + 1 : end] if name else ""
        position = end + 1
        element = name[1].lower() if name and source[start + 1] != "/" else ""
        if element in _CLOSINGS and element not in unclosed and source[end - 1] != "/":
            closing = _CLOSINGS[element].search(source, position)
            if closing is not None and (end := source.find(">", closing.end())) >= 0:
                position = end + 1
            elif element in _SILENT:
                return
            else:
                unclosed.add(element)
    yield source[position:], ""


class _Reader:
    """Collects tokens as the Markdown parser makes them; text outside of any block is a paragraph too."""

    def __init__(self) -> None:
        self._tokens: list[Token] = []
        self._text: list[str] = []
        self._heading: tuple[str, str] | None = None
        self._in_code = False
        self._anchors: dict[str, int] = {}

    def read_tag(self, tag: str) -> None:
        """What stood between angle brackets: `h2 id="x"`, `/p`."""
        found = _NAME.match(tag)
        name, opens = found[1].lower() if found else "", not tag.startswith("/")
        if name in _CELLS:
            self._text.append(" ")
        elif name == "br" and (self._in_code or self._heading):
            self._text.append("\n" if self._in_code else " ")
        elif name == "pre":
            self._flush()
            self._in_code = opens
        elif name in _HEADINGS:
            self._flush()
            identity = _ID.search(tag)
            self._heading = (name, identity[1] if identity else "") if opens else None
        elif name in _BLOCKS and not self._in_code and not self._heading:
            self._flush()

    def read_text(self, text: str) -> None:
        self._text.append(text)

    def finish(self) -> list[Token]:
        self._flush()
        return self._tokens

    def _flush(self) -> None:
        """What was collected becomes a heading, a block of code or a paragraph."""
        raw = "".join(self._text)
        self._text.clear()
        heading, self._heading = self._heading, None
        if self._in_code:
            if raw.strip():
                self._tokens.append(Token("code_block", "code", 0, content=raw, block=True))
            return
        words = " ".join(raw.split())
        if not words:
            return
        tag = heading[0] if heading else "p"
        kind = "heading" if heading else "paragraph"
        opening = Token(f"{kind}_open", tag, 1, block=True)
        if heading:
            opening.attrSet("id", self._anchor(heading[1] or slug(words)))
        text = Token("text", "", 0, content=words)
        inline = Token("inline", "", 0, content=words, children=[text], block=True)
        self._tokens += [opening, inline, Token(f"{kind}_close", tag, -1, block=True)]

    def _anchor(self, wanted: str) -> str:
        number = self._anchors[wanted] = self._anchors.get(wanted, 0) + 1
        return wanted if number == 1 else f"{wanted}-{number}"
