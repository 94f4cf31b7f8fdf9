"""Snippets show where a passage speaks of the query, as plain text."""

from knowledge.highlights import find_highlights, mark_words

TEXT = "A revoked key is refused. " + "Nothing else matters here. " * 20 + "Keys that expire answer 401."


def test_snippets_hold_the_matching_words_in_any_form() -> None:
    first, last = find_highlights(TEXT, "why was my key revoked")
    assert first.startswith("A revoked key") and "Keys that expire" in last


def test_no_match_gives_no_snippet() -> None:
    assert find_highlights(TEXT, "zebra") == []
    assert find_highlights(TEXT, "a") == []


def test_marks_join_to_the_text_and_need_no_trust() -> None:
    text = "<b>key</b> and (key"
    pieces = mark_words(text, "key (")
    assert "".join(piece for piece, _ in pieces) == text
    assert [piece for piece, marked in pieces if marked] == ["key", "key"]
