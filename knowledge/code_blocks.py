"""Code blocks of a page: what a fence's info string says, and the HTML of a block.

An info string is the language followed by options, for example ``python tab=Python`` (one tab of a group),
``json response=201`` (an answer) or ``bash norun`` (not executed by the tests). The HTML carries classes and
``data-`` attributes only: the site's content security policy allows no inline style or script.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import cast

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name  # pyright: ignore[reportUnknownVariableType]
from pygments.util import ClassNotFound

_LANGUAGE_NAMES = {
    "bash": "Shell",
    "console": "Terminal",
    "go": "Go",
    "html": "HTML",
    "http": "HTTP",
    "js": "JavaScript",
    "javascript": "JavaScript",
    "json": "JSON",
    "php": "PHP",
    "python": "Python",
    "ruby": "Ruby",
    "sh": "Shell",
    "sql": "SQL",
    "text": "Text",
    "toml": "TOML",
    "ts": "TypeScript",
    "typescript": "TypeScript",
    "yaml": "YAML",
}
_FORMATTER: "HtmlFormatter[str]" = HtmlFormatter(nowrap=True)


@dataclass(frozen=True)
class FenceInfo:
    """The options of one fence; ``tab`` and ``response`` are ``None`` when the author gave none."""

    language: str
    tab: str | None = None
    response: int | None = None
    run: bool = True

    @property
    def label(self) -> str:
        """What a reader sees above the block."""
        if self.response is not None:
            return f"Response {self.response}"
        return self.tab or _LANGUAGE_NAMES.get(self.language, self.language)


@dataclass(frozen=True)
class CodeSample:
    """One code block as the author wrote it. ``run`` is false for answers and for ``norun`` blocks."""

    language: str
    tab: str | None
    text: str
    run: bool
    response: int | None = None


def parse_info(info: str) -> FenceInfo:
    """Read a fence's info string; options nobody knows are ignored."""
    try:
        words = shlex.split(info)
    except ValueError:
        words = info.split()
    language = words[0].lower() if words and "=" not in words[0] else ""
    options: dict[str, str] = {}
    for word in words:
        name, _, value = word.partition("=")
        options[name] = value
    response = options.get("response", "")
    return FenceInfo(
        language=language,
        tab=options.get("tab") or None,
        response=int(response) if response.isascii() and response.isdigit() else None,
        run="norun" not in options and not response,
    )


def render_code_block(info: FenceInfo, text: str, *, with_label: bool = True) -> str:
    """One block: its label, the highlighted code, and a copy button that copies the text of ``code``."""
    label = escape(info.label)
    kind = "code-block code-response" if info.response is not None else "code-block"
    caption = f'<div class="code-label">{label}</div>' if with_label and label else ""
    return (
        f'<div class="{kind}">{caption}'
        '<button type="button" class="copy" data-copy aria-label="Copy code">Copy</button>'
        f'<pre class="highlight" tabindex="0"><code class="language-{escape(info.language or "text")}">'
        f"{_highlight(text, info.language)}</code></pre></div>\n"
    )


def render_tab_group(number: int, blocks: list[tuple[FenceInfo, str]]) -> str:
    """A group of tabs; the first is active.

    Every panel carries its own label, so the group reads well with all panels visible when scripts are off;
    the style sheet hides the tab list then, and else hides the labels and all panels but ``data-active``.
    """
    tabs: list[str] = []
    panels: list[str] = []
    for position, (info, text) in enumerate(blocks):
        name, label = f"tabs-{number}-{position}", escape(info.label)
        first = position == 0
        tabs.append(
            f'<button type="button" role="tab" id="{name}" aria-controls="{name}-panel" data-tab="{label}"'
            f' aria-selected="{str(first).lower()}" tabindex="{0 if first else -1}">{label}</button>'
        )
        panels.append(
            f'<div role="tabpanel" id="{name}-panel" aria-labelledby="{name}" data-tab="{label}"'
            f"{' data-active' if first else ''}>{render_code_block(info, text)}</div>\n"
        )
    return (
        '<div class="code-tabs" data-tabs>\n'
        f'<div class="code-tabs-list" role="tablist" aria-label="Language">{"".join(tabs)}</div>\n'
        f"{''.join(panels)}</div>\n"
    )


def _highlight(text: str, language: str) -> str:
    return highlight(text, _lexer(language), _FORMATTER)


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer:
    find = cast("Callable[..., Lexer]", get_lexer_by_name)
    try:
        return find(language, stripnl=False)
    except ClassNotFound:
        return find("text", stripnl=False)
