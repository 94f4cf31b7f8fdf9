"""The documentation's own rules: complete, consistent with the program, and every link leads somewhere."""

import json
import re
from collections import Counter
from functools import cache
from http import HTTPStatus
from typing import Any

import pytest
import yaml

from api.routes import openapi_document
from knowledge.code_blocks import CodeSample
from knowledge.markdown import code_fences, code_samples, fence_info, links
from ontology.errors import list_error_classes
from ontology.scopes import Scope
from portal.child_process import PROJECT_DIR
from tests.documentation import DocumentationPage, documentation_pages

SIX_LANGUAGES = ["curl", "Python", "JavaScript", "Go", "Ruby", "PHP"]
PORTAL_PATHS = {
    "/",
    "/docs",
    "/search",
    "/reference",
    "/sign-up",
    "/sign-in",
    "/events",
    "/keys",
    "/members",
    "/settings",
    "/documents",
    "/searches",
    "/troubleshoot",
    "/join",
    "/start",
    "/usage",
    "/openapi.json",
    "/health/live",
    "/health/ready",
}
GUIDE_PAGES_MIN, PATTERN_PAGES_MIN = 20, 12
ERROR_ALIASES, PATTERN_ALIASES_MIN = range(5, 11), 5
_ERRORS = {error.code: error for error in list_error_classes()}
_TYPED_COUNT = re.compile(
    r"\b(\d+|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-\w+)?)\s+"
    r"(?:\w+\s+){0,2}(?:thing|entity|connection|relationship|event)\s+types\b",
    re.IGNORECASE,
)
_CALL = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?\s]*)(?:\?[^`]*)?`")
_SCOPE = re.compile(r"`((?:entities|connections|events|knowledge|groups|people|api_keys|quota|webhooks):\w+)`")

pages = pytest.mark.parametrize("page", [pytest.param(p, id=p.name) for p in documentation_pages()])
error_pages = pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.name) for p in documentation_pages() if p.page.kind == "error"]
)
pattern_pages = pytest.mark.parametrize(
    "page", [pytest.param(p, id=p.name) for p in documentation_pages() if p.page.kind == "pattern"]
)


@cache
def operations() -> dict[str, tuple[str, str]]:
    """Method and path by operation id."""
    document: dict[str, Any] = openapi_document("http://127.0.0.1:8000")
    return {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


def find_broken_link(page: DocumentationPage, target: str) -> str | None:
    """Why a link of a page leads nowhere, or None."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None if target.startswith("https://") else "is neither internal nor https"
    path, _, anchor = target.partition("#")
    path = path.partition("?")[0]
    by_url = {other.url: other for other in documentation_pages()}
    if path.startswith("/reference/"):
        return None if path.removeprefix("/reference/") in operations() else "names no operation"
    if path in ("", *by_url):
        aim = by_url[path] if path else page
        return None if not anchor or anchor in aim.anchors else f"{aim.name} has no heading `{anchor}`"
    return None if path in PORTAL_PATHS else "names no page"


def prose(page: DocumentationPage) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.source, flags=re.MULTILINE | re.DOTALL)


def test_every_error_code_has_one_page_and_every_error_page_a_code() -> None:
    found = Counter(page.path.stem for page in documentation_pages() if page.page.kind == "error")
    assert found == Counter(list(_ERRORS))
    in_folder = {page.path.stem for page in documentation_pages() if page.folder == "errors" and not page.is_index}
    assert in_folder == set(_ERRORS)


def test_there_are_enough_guides_and_patterns() -> None:
    kinds = Counter(page.page.kind for page in documentation_pages() if not page.is_index)
    assert kinds["page"] >= GUIDE_PAGES_MIN
    assert kinds["pattern"] >= PATTERN_PAGES_MIN


@pages
def test_page_says_what_it_is(page: DocumentationPage) -> None:
    front_matter = yaml.safe_load(page.source.split("---\n")[1])
    assert {"title", "description", "section", "order", "kind"} <= set(front_matter)
    assert page.page.title
    assert 20 <= len(page.page.description) <= 200
    assert page.folder in ("", page.page.section)


def test_titles_and_places_in_the_order_are_unique() -> None:
    titles = Counter(page.page.title for page in documentation_pages())
    assert [title for title, count in titles.items() if count > 1] == []
    places = Counter((page.page.section, page.page.order) for page in documentation_pages())
    assert [place for place, count in places.items() if count > 1] == []


@pages
def test_links_lead_somewhere(page: DocumentationPage) -> None:
    broken = {target: why for target in links(page.page) if (why := find_broken_link(page, target))}
    assert broken == {}


@pages
def test_calls_and_scopes_that_are_named_exist(page: DocumentationPage) -> None:
    known = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in operations().values()}
    known |= {("GET", path) for path in PORTAL_PATHS}
    named = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in _CALL.findall(prose(page))}
    assert {call for call in named - known if "…" not in call[1]} == set()
    assert set(_SCOPE.findall(prose(page))) <= {scope.value for scope in Scope}


def test_the_page_about_scopes_has_every_operation_beside_its_scope() -> None:
    (page,) = [page for page in documentation_pages() if page.url == "/docs/reference/scopes"]
    told = {
        name: scope
        for scope, names in re.findall(r"^\| `(\w+:\w+)` \|(.+)\|$", page.source, re.MULTILINE)
        for name in re.findall(r"\(/reference/(\w+)\)", names)
    }
    rows = Counter(re.findall(r"^\| `(\w+:\w+)` \|", page.source, re.MULTILINE))
    assert max(rows.values()) == 1
    document: dict[str, Any] = openapi_document("http://127.0.0.1:8000")
    asked = {
        operation["operationId"]: operation["x-required-scope"]
        for methods in document["paths"].values()
        for operation in methods.values()
    }
    assert told == {name: scope for name, scope in asked.items() if scope is not None}
    (free,) = re.findall(r"^(.+) work with every key\.$", page.source, re.MULTILINE)
    assert set(re.findall(r"\(/reference/(\w+)\)", free)) == {name for name, scope in asked.items() if scope is None}


def test_the_page_about_errors_has_every_code_beside_its_status() -> None:
    (page,) = [page for page in documentation_pages() if page.url == "/docs/reference/error-format"]
    told = [
        (code, int(status))
        for status, codes in re.findall(r"^\| (\d{3}) \| (.+) \|$", page.source, re.MULTILINE)
        for code in re.findall(r"\(/docs/errors/(\w+)\)", codes)
    ]
    assert sorted(told) == sorted((code, error.status) for code, error in _ERRORS.items())


@pages
def test_no_page_types_a_number_of_types(page: DocumentationPage) -> None:
    """The vocabulary grows; its size is computed wherever it is shown."""
    assert _TYPED_COUNT.findall(prose(page)) == []


@pages
def test_tab_groups_have_all_six_languages(page: DocumentationPage) -> None:
    groups = [[fence_info(fence).tab for fence in code_fences(t)] for t in page.page.tokens if t.type == "code_tabs"]
    assert [group for group in groups if group != SIX_LANGUAGES] == []


@pattern_pages
def test_pattern_has_samples_aliases_and_what_a_reader_expects(page: DocumentationPage) -> None:
    assert {sample.tab for sample in code_samples(page.page)} >= set(SIX_LANGUAGES)
    assert len(page.page.aliases) >= PATTERN_ALIASES_MIN
    headings = [heading.text for heading in page.page.headings]
    assert headings[0] == "When to use it"
    assert headings[-2:] == ["What you get", "Next steps"]


@error_pages
def test_error_page_has_samples_aliases_and_what_a_reader_expects(page: DocumentationPage) -> None:
    error = _ERRORS[page.path.stem]
    assert page.page.title.startswith(f"{error.code}: ")
    assert str(error.status) in page.page.description
    assert len(page.page.aliases) in ERROR_ALIASES
    headings = [heading.text for heading in page.page.headings]
    assert headings == ["What happened", "Why", "How to fix it", "Example", "Related"]
    assert {sample.tab for sample in code_samples(page.page)} >= set(SIX_LANGUAGES)


@pages
def test_answers_are_json_and_problems_match_their_class(page: DocumentationPage) -> None:
    for sample in code_samples(page.page):
        if sample.response is None or sample.language != "json":
            continue
        answer = json.loads(sample.text)
        assert HTTPStatus(sample.response)
        if sample.response >= HTTPStatus.BAD_REQUEST:
            check_problem(sample, answer)


def check_problem(sample: CodeSample, answer: dict[str, Any]) -> None:
    error = _ERRORS[answer["code"]]
    assert (answer["title"], answer["status"]) == (error.title, error.status)
    assert sample.response == error.status
    assert answer["type"].endswith(f"/docs/errors/{error.code}")


@error_pages
def test_error_page_shows_its_own_problem(page: DocumentationPage) -> None:
    samples = [json.loads(s.text) for s in code_samples(page.page) if s.response is not None]
    assert page.path.stem in {answer["code"] for answer in samples}


def test_the_proofs_of_the_promises_are_there() -> None:
    page = next(page for page in documentation_pages() if page.name == "reference/promises")
    named = re.findall(r"`(tests/[\w/.]+|make \w+)`", page.source)
    makefile = (PROJECT_DIR / "Makefile").read_text()
    assert len(named) >= 10
    for proof in named:
        command = proof.removeprefix("make ")
        assert f"\n{command}: " in makefile if command != proof else (PROJECT_DIR / proof).is_file(), proof
