"""HTML that people wrote, and HTML that was made to hurt."""

from time import process_time

import pytest

from knowledge.html_text import SOURCE_CHARACTERS_MAX, HtmlInvalid, parse_html, read_html_title
from knowledge.markdown import Page

PAGE = """<!doctype html><html><head><title>Cats &amp; dogs</title><style>p { color: red }</style></head>
<body><script>if (1 < 2) alert("<p>")</script><nav><p>Menu</p></nav>
<!-- <p>not shown</p> --><h1>Title</h1><p>Text with <b>bold</b> and <a href="javascript:alert(1)" onclick="x">a link</a>
<h2 id="own">Own anchor</h2><ul><li>one<li>two</ul><h2>Same</h2><pre>x &lt; 1
  y</pre><h2>Same</h2><table><tr><th>a</th><td>b</td></tr></table>1 < 2<br/>last<footer>imprint</footer>"""


def _read(page: Page) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for position, token in enumerate(page.tokens):
        if token.type == "inline":
            opening = page.tokens[position - 1]
            found.append((opening.tag, f"{token.content}#{opening.attrs['id']}" if opening.attrs else token.content))
        elif token.type == "code_block":
            found.append(("pre", token.content))
    return found


def test_headings_paragraphs_and_code_are_read_and_nothing_else() -> None:
    assert _read(parse_html(PAGE, "Title")) == [
        ("p", "Text with bold and a link"),
        ("h2", "Own anchor#own"),
        ("p", "one"),
        ("p", "two"),
        ("h2", "Same#same"),
        ("pre", "x < 1\n  y"),
        ("h2", "Same#same-2"),
        ("p", "a b"),
        ("p", "1 < 2"),
        ("p", "last"),
    ]
    assert read_html_title(PAGE) == "Cats & dogs"


def test_a_value_may_hold_the_sign_that_ends_a_tag() -> None:
    assert _read(
        parse_html("""<p class="[&>li]:mt-0" title='a > b' data-x=1>text<img alt="x > y"> goes on""", "T")
    ) == [("p", "text goes on")]


def test_of_a_page_that_names_its_main_part_nothing_else_is_read() -> None:
    around = "<header>Home Prices</header>{}<div>We use cookies</div>"
    assert _read(parse_html(around.format("<main id=a><p>text</main>"), "T")) == [("p", "text")]
    assert ("p", "Home Prices") in _read(parse_html(around.format("<main>a</main><main>b</main>"), "T"))


def test_navigation_that_is_never_closed_does_not_hide_the_page() -> None:
    assert _read(parse_html("<nav>menu<p>text", "T")) == [("p", "menu"), ("p", "text")]
    assert _read(parse_html("a<script>never closed<p>text", "T")) == [("p", "a")]


@pytest.mark.parametrize(
    "piece",
    [
        *("<div>", "<b id=1>", "<!--", "<", "<!", "<a", "<svg>", "<nav>", "<nav></nav ", "<h1>a</h1>", "<pre>", "&"),
        *("&#x", "<nav></nav <nav></nav ", "<table>x", "<a title='", "<a><p>", "<select><option>", "<script>"),
        *("<main>", "</main>", "<a ='", '<a =">"', "<a = ="),
    ],
)
def test_reading_takes_time_in_proportion_to_the_length(piece: str) -> None:
    source = (piece * (SOURCE_CHARACTERS_MAX // len(piece)))[:SOURCE_CHARACTERS_MAX]
    began = process_time()
    parse_html(source, "T")
    assert process_time() - began < 20


def test_a_page_without_end_is_refused() -> None:
    with pytest.raises(HtmlInvalid, match="500 000 characters"):
        parse_html("x" * (SOURCE_CHARACTERS_MAX + 1), "T")
