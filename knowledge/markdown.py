"""Markdown pages: parsed once into a frozen :class:`Page`, from which HTML, samples and passages are made.

Raw HTML in the source is text, so the same functions serve the project's own pages and foreign documents. The web
process imports this module: it must stay free of the model.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import yaml
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.front_matter import front_matter_plugin

from knowledge.code_blocks import CodeSample, FenceInfo, parse_info

SOURCE_CHARACTERS_MAX = 500_000
BRACKETS_PER_PARAGRAPH_MAX = 60
PAGE_KINDS = ("page", "error", "pattern")
CALLOUTS = ("note", "tip", "important", "warning", "caution", "danger")

_FRONT_MATTER_CHARACTERS_MAX = 10_000
_NOT_A_WORD = re.compile(r"[^\w]+")


class PageInvalid(ValueError):
    """The source cannot be read as a page; the message says which part."""


@dataclass(frozen=True)
class Heading:
    """One heading; ``children`` are the headings nested below it."""

    level: int
    text: str
    anchor: str
    children: tuple["Heading", ...] = ()


@dataclass(frozen=True)
class Page:
    """A parsed page. ``headings`` is a tree; ``tokens`` is what rendering and splitting walk, front matter
    and the heading that repeats the title left out."""

    title: str
    description: str
    section: str
    order: int
    kind: str
    aliases: tuple[str, ...]
    headings: tuple[Heading, ...]
    tokens: tuple[Token, ...]


def parse_page(source: str) -> Page:
    """Parse Markdown with optional front matter; without it the first heading of level one is the title.

    Raises:
        PageInvalid: the front matter is not a mapping of the known fields, or the source is too long.
    """
    tokens = read_tokens(source)
    matter: dict[str, object] = {}
    if tokens and tokens[0].type == "front_matter":
        matter = _read_front_matter(tokens.pop(0).content)
    first = _leading_title(tokens)
    if first and matter.get("title") in (None, first):
        matter["title"] = first
        del tokens[:3]
    kind = _text(matter, "kind") or "page"
    if kind not in PAGE_KINDS:
        raise PageInvalid(f"front matter: kind is one of {', '.join(PAGE_KINDS)}")
    return Page(
        title=_text(matter, "title"),
        description=_text(matter, "description"),
        section=_text(matter, "section"),
        order=_integer(matter, "order"),
        kind=kind,
        aliases=_texts(matter, "aliases"),
        headings=heading_tree(tokens),
        tokens=tuple(tokens),
    )


def parse_foreign(source: str, title: str) -> Page:
    """Parse Markdown that someone else wrote: nothing in it is refused, and front matter says nothing to us."""
    tokens = read_tokens(source)
    if tokens and tokens[0].type == "front_matter":
        del tokens[0]
    if _leading_title(tokens) == title:
        del tokens[:3]
    return Page(title, "", "", 0, "page", (), heading_tree(tokens), tuple(tokens))


def code_samples(page: Page) -> list[CodeSample]:
    """Every code block in order, as the author wrote it."""
    samples: list[CodeSample] = []
    for token in page.tokens:
        for fence in code_fences(token):
            info = fence_info(fence)
            samples.append(CodeSample(info.language, info.tab, fence.content, info.run, info.response))
    return samples


def code_fences(token: Token) -> list[Token]:
    """The fences a token stands for: itself, the tabs of a group, or none."""
    if token.type == "code_tabs":
        return token.children or []
    return [token] if token.type == "fence" else []


def links(page: Page) -> list[str]:
    """Every link target in order, as written; for the test that finds broken ones."""
    targets: list[str] = []
    for token in page.tokens:
        for child in token.children or ():
            if child.type == "link_open":
                targets.append(str(child.attrGet("href") or ""))
    return targets


def flat_headings(headings: Sequence[Heading]) -> Iterator[Heading]:
    """The headings of a tree in reading order."""
    for heading in headings:
        yield heading
        yield from flat_headings(heading.children)


def fence_info(token: Token) -> FenceInfo:
    """The parsed info string of a ``fence`` token."""
    return parse_info(token.info)


def plain_text(inline: Token) -> str:
    """The words of an ``inline`` token, without markup and link targets."""
    words: list[str] = []
    for child in inline.children or ():
        if child.type in {"text", "code_inline", "text_special"}:
            words.append(child.content)
        elif child.type in {"softbreak", "hardbreak"}:
            words.append(" ")
        elif child.type == "image":
            words.append(child.content)
    return "".join(words).strip()


def slug(text: str) -> str:
    """The anchor of a heading: its words in lower case, joined by hyphens."""
    return _NOT_A_WORD.sub("-", text.lower()).strip("-_") or "section"


@lru_cache(maxsize=1)
def get_parser() -> MarkdownIt:
    """Markdown as this site reads it: no raw HTML, no addresses made into links."""
    parser = MarkdownIt("js-default", {"html": False, "linkify": False})
    parser.use(front_matter_plugin)
    parser.core.ruler.before("inline", "bracket_storms", _calm_brackets)
    parser.core.ruler.push("heading_anchors", _mark_headings)
    parser.core.ruler.push("callouts", _mark_callouts)
    parser.core.ruler.push("code_tabs", _group_tabs)
    return parser


def _calm_brackets(state: StateCore) -> None:
    """Escape the brackets of a paragraph that has absurdly many: matching them takes quadratic time."""
    for token in state.tokens:
        if token.type == "inline" and token.content.count("[") > BRACKETS_PER_PARAGRAPH_MAX:
            token.content = token.content.replace("\\", "").replace("[", "\\[")


def _mark_headings(state: StateCore) -> None:
    """Give every heading an anchor that is unique in its page."""
    taken: set[str] = set()
    for position, token in enumerate(state.tokens):
        if token.type != "heading_open":
            continue
        stem = slug(plain_text(state.tokens[position + 1]))
        anchor, number = stem, 1
        while anchor in taken:
            number += 1
            anchor = f"{stem}-{number}"
        taken.add(anchor)
        token.attrSet("id", anchor)


def _mark_callouts(state: StateCore) -> None:
    """Turn ``> **Note** text`` into a callout: an ``aside`` that begins with its label."""
    open_quotes: list[bool] = []
    for position, token in enumerate(state.tokens):
        if token.type == "blockquote_open":
            label = _callout_label(state.tokens[position + 1 : position + 3])
            open_quotes.append(label is not None)
            if label is not None:
                token.tag = "aside"
                token.attrs = {"class": f"callout callout-{label}", "role": "note"}
        elif token.type == "blockquote_close" and open_quotes.pop():
            token.tag = "aside"


def _callout_label(following: Sequence[Token]) -> str | None:
    if [token.type for token in following] != ["paragraph_open", "inline"]:
        return None
    children = [child for child in following[1].children or () if child.type != "text" or child.content]
    if len(children) < 3 or children[0].type != "strong_open" or children[2].type != "strong_close":
        return None
    label = children[1].content.strip().rstrip(":.").lower()
    if label not in CALLOUTS:
        return None
    children[0].attrSet("class", "callout-label")
    return label


def _group_tabs(state: StateCore) -> None:
    """Replace neighbouring ``tab=`` fences by one ``code_tabs`` token that has them as children."""
    grouped: list[Token] = []
    number = 0
    for token in state.tokens:
        if token.type != "fence" or fence_info(token).tab is None:
            grouped.append(token)
        elif grouped and grouped[-1].type == "code_tabs" and grouped[-1].children is not None:
            grouped[-1].children.append(token)
        else:
            number += 1
            grouped.append(Token("code_tabs", "", 0, children=[token], block=True, meta={"number": number}))
    state.tokens = grouped


def heading_tree(tokens: Sequence[Token]) -> tuple[Heading, ...]:
    flat = [
        Heading(int(token.tag[1]), plain_text(tokens[position + 1]), str(token.attrGet("id")))
        for position, token in enumerate(tokens)
        if token.type == "heading_open"
    ]
    return _nest(flat)


def _nest(flat: list[Heading]) -> tuple[Heading, ...]:
    nested: list[Heading] = []
    position = 0
    while position < len(flat):
        end = position + 1
        while end < len(flat) and flat[end].level > flat[position].level:
            end += 1
        head = flat[position]
        nested.append(Heading(head.level, head.text, head.anchor, _nest(flat[position + 1 : end])))
        position = end
    return tuple(nested)


def read_tokens(source: str) -> list[Token]:
    """What rendering and splitting walk.

    Raises:
        PageInvalid: it is too long.
    """
    if len(source) > SOURCE_CHARACTERS_MAX:
        raise PageInvalid(f"a page has at most {SOURCE_CHARACTERS_MAX} characters")
    return get_parser().parse(source.replace("\r\n", "\n"))


def _leading_title(tokens: Sequence[Token]) -> str:
    if tokens and tokens[0].type == "heading_open" and tokens[0].tag == "h1":
        return plain_text(tokens[1])
    return ""


def _read_front_matter(source: str) -> dict[str, object]:
    if len(source) > _FRONT_MATTER_CHARACTERS_MAX:
        raise PageInvalid(f"front matter has at most {_FRONT_MATTER_CHARACTERS_MAX} characters")
    try:
        matter: object = yaml.safe_load(source)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PageInvalid("front matter is not valid YAML") from error
    if matter is None:
        return {}
    if not isinstance(matter, dict):
        raise PageInvalid("front matter is a mapping of names to values")
    return {str(name): value for name, value in cast("dict[object, object]", matter).items()}


def _text(matter: dict[str, object], name: str) -> str:
    value = matter.get(name, "")
    if not isinstance(value, str):
        raise PageInvalid(f"front matter: {name} is text")
    return value.strip()


def _integer(matter: dict[str, object], name: str) -> int:
    value = matter.get(name, 0)
    if not isinstance(value, int):
        raise PageInvalid(f"front matter: {name} is a whole number")
    return value


def _texts(matter: dict[str, object], name: str) -> tuple[str, ...]:
    value: object = matter.get(name) or []
    if not isinstance(value, list):
        raise PageInvalid(f"front matter: {name} is a list of texts")
    return tuple(str(entry).strip() for entry in cast("list[object]", value))
