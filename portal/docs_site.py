"""The documentation as a site: pages in their sections, each with its neighbours. Read once per process."""

import re
from dataclasses import dataclass, replace
from functools import cache
from html import escape

from markupsafe import Markup

from knowledge.markdown import Page, flat_headings, parse_page
from knowledge.markdown_html import render_html
from knowledge.sources import DOCS_DIR

SECTIONS = {
    "getting-started": "Getting started",
    "concepts": "Concepts",
    "guides": "Guides",
    "patterns": "Patterns",
    "reference": "Tables and formats",
    "errors": "Errors",
}
TAB_GROUP = "code_tabs"
# Where samples and answers say the portal is; a reader gets the address of the portal he reads them in.
_WRITTEN_ADDRESS = re.compile(r"(?<=[\"'])http://127\.0\.0\.1:8000")
_CELL = re.compile(r"<td>[^<]*")
_THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}(?!\d))")


@dataclass(frozen=True, slots=True)
class NavLink:
    title: str
    url: str
    current: bool = False


@dataclass(frozen=True, slots=True)
class NavSection:
    title: str
    links: tuple[NavLink, ...]


@dataclass(frozen=True, slots=True)
class ContentsLink:
    level: int
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class DocsPage:
    """One page of the documentation with its place in the whole."""

    title: str
    description: str
    html: Markup
    section_title: str
    navigation: tuple[NavSection, ...]
    contents: tuple[ContentsLink, ...]
    previous: NavLink | None
    next: NavLink | None


@dataclass(frozen=True, slots=True)
class _Entry:
    slug: str
    section: str
    page: Page

    @property
    def url(self) -> str:
        return f"/docs/{self.slug}" if self.slug else "/docs"


@cache
def _entries() -> dict[str, _Entry]:
    """All pages by slug, in reading order."""
    found: list[_Entry] = []
    for path in DOCS_DIR.rglob("*.md"):
        parts = path.relative_to(DOCS_DIR).with_suffix("").parts
        section = parts[0] if len(parts) > 1 else ""
        slug = "/".join(parts).removesuffix("index").removesuffix("/")
        found.append(_Entry(slug, section, parse_page(path.read_text(encoding="utf-8"))))
    places = {name: place for place, name in enumerate(["", *SECTIONS])}
    found.sort(key=lambda entry: (places[entry.section], entry.slug.count("/"), entry.page.order, entry.slug))
    return {entry.slug: entry for entry in found}


def count_pages(section: str) -> int:
    return sum(1 for entry in _entries().values() if entry.section == section)


def list_urls() -> list[str]:
    """The address of every page, in reading order."""
    return [entry.url for entry in _entries().values()]


def find_page(slug: str, public_url: str) -> DocsPage | None:
    """The page at `/docs/<slug>`, or None; its samples name `public_url`."""
    entries = _entries()
    entry = entries.get(slug)
    if entry is None:
        return None
    order = list(entries)
    place = order.index(slug)
    before = entries[order[place - 1]] if place else None
    after = entries[order[place + 1]] if place + 1 < len(order) else None
    return DocsPage(
        title=entry.page.title,
        description=entry.page.description,
        html=_html(slug, public_url),
        section_title=SECTIONS.get(entry.section, "Documentation"),
        navigation=_navigation(slug),
        contents=tuple(
            ContentsLink(heading.level, heading.text, heading.anchor)
            for heading in flat_headings(entry.page.headings)
            if heading.level in (2, 3)
        ),
        previous=NavLink(before.page.title, before.url) if before else None,
        next=NavLink(after.page.title, after.url) if after else None,
    )


def first_sample(slug: str) -> Markup:
    """The first group of code tabs of a page, for the home page to show."""
    page = _entries()[slug].page
    tabs = next(token for token in page.tokens if token.type == TAB_GROUP)
    return Markup(render_html(replace(page, tokens=(tabs,))))  # noqa: S704 - the renderer escapes


@cache
def _html(slug: str, public_url: str) -> Markup:
    address = escape(public_url)
    html = _WRITTEN_ADDRESS.sub(lambda _: address, render_html(_entries()[slug].page))
    # A number in a narrow column of a table stays in one piece.
    html = _CELL.sub(lambda cell: _THOUSANDS.sub("\N{NO-BREAK SPACE}", cell[0]), html)
    return Markup(html)  # noqa: S704 - the renderer escapes


def _navigation(current: str) -> tuple[NavSection, ...]:
    entries = list(_entries().values())
    first = [entry for entry in entries if not entry.section]
    sections = [NavSection("Overview", _links(first, current))]
    for name, title in SECTIONS.items():
        inside = [entry for entry in entries if entry.section == name]
        if inside:
            sections.append(NavSection(title, _links(inside, current)))
    return tuple(sections)


def _links(entries: list[_Entry], current: str) -> tuple[NavLink, ...]:
    """An error's title begins with its code, which says enough in a narrow column."""
    return tuple(
        NavLink(
            entry.page.title.partition(":")[0] if entry.page.kind == "error" else entry.page.title,
            entry.url,
            entry.slug == current,
        )
        for entry in entries
    )
