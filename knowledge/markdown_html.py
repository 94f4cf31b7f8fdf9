"""The HTML of pages. Nothing of a source is passed on as markup, and images come from this site only."""

import re
from collections.abc import Iterator, MutableMapping, Sequence
from html import escape
from itertools import takewhile
from typing import Any, cast

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from knowledge.code_blocks import FenceInfo, render_code_block, render_tab_group
from knowledge.markdown import Page, fence_info, get_parser, plain_text, read_tokens

_LOCAL = re.compile(r"(?:/(?![/\\])|#)[\w/.#?=&%+-]*$", re.ASCII)
_CITATION = re.compile(r"\[([0-9]{1,3})\]")
_EXTERNAL = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


def render_html(page: Page) -> str:
    """The page's body as HTML; the title is left to the surrounding template. Safe to insert unescaped."""
    return _render(page.tokens)


def render_strict(source: str) -> str:
    """Markdown that a program wrote: as above, but without headings and images, and links of this site only.

    `[1]` in its text becomes a link to the first source.
    """
    tokens = [token for token in read_tokens(source) if token.type != "front_matter"]
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.type, token.tag, token.attrs = token.type.replace("heading", "paragraph"), "p", {}
        if token.type == "inline":
            token.children = [kept for child in _only_local(token.children or []) for kept in _mark_citations(child)]
    return _render(tokens)


def _only_local(children: Sequence[Token]) -> Iterator[Token]:
    """The tokens without images, and without links that lead elsewhere; their words stay."""
    open_links: list[bool] = []
    for child in children:
        if child.type == "image":
            yield Token("text", "", 0, content=child.content)
        elif child.type == "link_open":
            open_links.append(bool(_LOCAL.match(str(child.attrGet("href") or ""))))
            if open_links[-1]:
                yield child
        elif child.type != "link_close" or (open_links and open_links.pop()):
            yield child


def _mark_citations(child: Token) -> Iterator[Token]:
    if child.type != "text":
        yield child
        return
    for place, part in enumerate(_CITATION.split(child.content)):
        if place % 2:
            link = f'<a class="answer-mark" href="#ask-source-{part}" aria-label="Source {part}">{part}</a>'
            yield Token("html_inline", "", 0, content=link)
        elif part:
            yield Token("text", "", 0, content=part)


def _render(tokens: Sequence[Token]) -> str:
    return _Renderer().render(tokens, get_parser().options, {})


class _Renderer(RendererHTML):
    """The site's HTML for what the standard renderer leaves plain."""

    def fence(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return render_code_block(fence_info(tokens[idx]), tokens[idx].content)

    def code_block(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        return render_code_block(FenceInfo(language=""), tokens[idx].content, with_label=False)

    def code_tabs(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        blocks = [(fence_info(token), token.content) for token in tokens[idx].children or ()]
        return render_tab_group(cast("int", tokens[idx].meta["number"]), blocks)

    def heading_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        tag, anchor = tokens[idx].tag, escape(str(tokens[idx - 2].attrGet("id")))
        link = f'<a class="heading-anchor" href="#{anchor}" aria-label="Link to this section">#</a>'
        return f" {link}</{tag}>\n"

    def table_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """A region that can be scrolled by keyboard, so it needs a name of its own: its place and its columns."""
        number = sum(token.type == "table_open" for token in tokens[: idx + 1])
        head = takewhile(lambda token: token.type != "thead_close", tokens[idx:])
        columns = ", ".join(plain_text(token) for token in head if token.type == "inline")
        name = escape(f"Table {number}: {columns}")
        return f'<div class="table-scroll" role="region" aria-label="{name}" tabindex="0"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        return "</table></div>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        if _EXTERNAL.match(str(tokens[idx].attrGet("href") or "").replace("\\", "/")):
            tokens[idx].attrSet("rel", "noopener noreferrer nofollow")
        return self.renderToken(tokens, idx, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]) -> str:
        """Only images of this site: a remote one would tell a stranger who reads the page."""
        source = str(tokens[idx].attrGet("src") or "")
        if not source.startswith("/static/"):
            return escape(tokens[idx].content)
        return f'<img src="{escape(source)}" alt="{escape(tokens[idx].content)}" loading="lazy">'
