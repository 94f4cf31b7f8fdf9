"""The documentation as a reader of one portal sees it."""

from portal.docs_site import find_page

HERE = "https://one.example"


def test_samples_and_answers_name_the_portal_they_are_read_in() -> None:
    quickstart, error = find_page("getting-started/quickstart", HERE), find_page("errors/not_found", HERE)
    assert quickstart is not None
    assert error is not None
    assert f'ONE_URL</span><span class="o">=</span><span class="s2">"{HERE}"' in quickstart.html
    assert f"{HERE}/docs/errors/not_found" in error.html
    assert "127.0.0.1:8000" not in quickstart.html + error.html


def test_navigation_names_errors_by_their_code_and_numbers_stay_in_one_piece() -> None:
    page = find_page("reference/plans-and-limits", HERE)
    assert page is not None
    assert "rate_limit_exceeded" in [link.title for section in page.navigation for link in section.links]
    assert "1\N{NO-BREAK SPACE}000\N{NO-BREAK SPACE}000" in page.html


def test_page_that_is_not_there_is_none() -> None:
    assert find_page("no/such/page", HERE) is None
