"""The documentation pages as tests see them: parsed once, with where they lie and where they are served."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from knowledge.markdown import Page, code_samples, flat_headings, parse_page
from portal.child_process import PROJECT_DIR

DOCS_DIR = PROJECT_DIR / "content" / "docs"


@dataclass(frozen=True)
class DocumentationPage:
    """One file of `content/docs`; `name` is its path without the ending, `url` where the portal serves it."""

    name: str
    path: Path
    source: str
    page: Page

    @property
    def url(self) -> str:
        stem = self.name.removesuffix("index").strip("/")
        return f"/docs/{stem}".rstrip("/")

    @property
    def folder(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def is_index(self) -> bool:
        return self.path.stem == "index"

    @property
    def anchors(self) -> frozenset[str]:
        return frozenset(heading.anchor for heading in flat_headings(self.page.headings))

    def script(self, language: str, tab: str) -> str:
        """What a reader types who copies every sample of one language from top to bottom; empty if there is none."""
        samples = [s for s in code_samples(self.page) if s.run and s.language == language and s.tab in (tab, None)]
        return "\n".join(sample.text for sample in samples)


@cache
def documentation_pages() -> tuple[DocumentationPage, ...]:
    """Every page, in the order of their names."""
    pages: list[DocumentationPage] = []
    for path in sorted(DOCS_DIR.rglob("*.md")):
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(DOCS_DIR).with_suffix("").as_posix()
        pages.append(DocumentationPage(name, path, source, parse_page(source)))
    return tuple(pages)
