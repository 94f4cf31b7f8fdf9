"""Pages: what is parsed, what is rendered, and what never gets through."""

import time

import pytest

from knowledge.code_blocks import CodeSample
from knowledge.markdown import PageInvalid, code_samples, links, parse_foreign, parse_page
from knowledge.markdown_html import render_html

PAGE = """---
title: Keys
description: How keys work
section: concepts
order: 3
kind: page
aliases: ["my key stopped working", "401"]
---
# Keys

See [errors](/docs/errors) and [the standard](https://example.org/spec).

> **Warning** Never commit a key.

## Create a key

```bash tab=curl
curl "$ONE_URL/v1/api-keys" -d '{"name": "<ci>"}'
```
```python tab=Python
import httpx
```

```json response=201
{"key": "org_acme_key_1"}
```

## Create a key

### Details

```bash norun
rm -rf /
```
"""


def test_front_matter_becomes_fields() -> None:
    page = parse_page(PAGE)
    assert (page.title, page.section, page.order, page.kind) == ("Keys", "concepts", 3, "page")
    assert page.aliases == ("my key stopped working", "401")


def test_title_falls_back_to_first_heading() -> None:
    assert parse_page("# Hello *world*\n\nText").title == "Hello world"


@pytest.mark.parametrize(
    "matter", ["title: [", "- a", "title: 3", "kind: novel", "order: first", "aliases: one", "a: &a [*a]"]
)
def test_bad_front_matter_is_refused_but_never_in_foreign_documents(matter: str) -> None:
    source = f"---\n{matter}\n---\ntext\n"
    if matter != "a: &a [*a]":
        with pytest.raises(PageInvalid):
            parse_page(source)
    assert parse_foreign(source, "Theirs").title == "Theirs"


def test_heading_anchors_are_unique_and_nested() -> None:
    first, second = parse_page(PAGE).headings
    assert (first.anchor, second.anchor) == ("create-a-key", "create-a-key-2")
    assert [child.text for child in second.children] == ["Details"]


def test_samples_come_in_order_with_language_tab_and_whether_they_run() -> None:
    assert code_samples(parse_page(PAGE)) == [
        CodeSample("bash", "curl", 'curl "$ONE_URL/v1/api-keys" -d \'{"name": "<ci>"}\'\n', run=True),
        CodeSample("python", "Python", "import httpx\n", run=True),
        CodeSample("json", None, '{"key": "org_acme_key_1"}\n', run=False, response=201),
        CodeSample("bash", None, "rm -rf /\n", run=False),
    ]


def test_links_are_listed() -> None:
    assert links(parse_page(PAGE)) == ["/docs/errors", "https://example.org/spec"]


def test_html_has_tabs_callout_copy_buttons_and_no_inline_style() -> None:
    html = render_html(parse_page(PAGE))
    assert html.count('role="tab"') == html.count('role="tabpanel"') == 2
    assert html.count("data-copy") == 4
    assert '<aside class="callout callout-warning"' in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "&lt;ci&gt;" in html
    assert "style=" not in html and "<h1" not in html


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "![x](https://tracker.example/p.png)",
        '<img src=x onerror="alert(1)">',
        "```html\n</code><script>alert(1)</script>\n```",
        '```bash tab="<script>"\nx\n```',
        "[x](data:text/html;base64,AAAA)",
        '<div hx-get="/sign-out">x</div>',
    ],
)
def test_nothing_active_or_remote_is_rendered(source: str) -> None:
    html = render_html(parse_foreign(source, "t"))
    for forbidden in ("<script", "<img", 'href="javascript', 'href="data', "<div hx"):
        assert forbidden not in html


@pytest.mark.parametrize("hostile", ["[" * 400_000, ("[a" * 300 + "\n\n") * 600, "> " * 200_000, "*a_b" * 90_000])
def test_hostile_documents_are_parsed_in_bounded_time(hostile: str) -> None:
    started = time.process_time()
    render_html(parse_foreign(hostile[:400_000], "t"))
    assert time.process_time() - started < 15


def test_every_table_has_a_name_of_its_own() -> None:
    table = "| Plan | Price |\n|---|---|\n| pro | 1 |\n"
    html = render_html(parse_foreign(f"{table}\n\n{table}", "Prices"))
    assert 'aria-label="Table 1: Plan, Price"' in html
    assert 'aria-label="Table 2: Plan, Price"' in html
