"""Splitting: passages follow headings, fit the model, and lose nothing but repetition."""

from itertools import pairwise

import pytest

from knowledge.markdown import parse_foreign
from knowledge.model_files import TokenCounter, find_model
from knowledge.passages import (
    PASSAGE_WORDS_TARGET,
    content_hash,
    embedded_text,
    first_sentences,
    split_page,
)

WINDOW = 256
FIFTY_WORDS = "Every key belongs to one group and carries scopes which say what it may do. " * 4


@pytest.fixture(scope="module")
def count_tokens() -> TokenCounter:
    return TokenCounter(find_model())


def test_passages_follow_headings_and_keep_their_path(count_tokens: TokenCounter) -> None:
    source = f"{FIFTY_WORDS}\n\n## Keys\n\n{FIFTY_WORDS}\n\n### Rotate\n\n{FIFTY_WORDS}\n\n## Groups\n\n{FIFTY_WORDS}"
    passages = split_page(parse_foreign(source, "Security"), count_tokens, WINDOW)
    assert [passage.heading_path for passage in passages] == [(), ("Keys",), ("Keys", "Rotate"), ("Groups",)]
    assert [passage.anchor for passage in passages] == ["", "keys", "rotate", "groups"]
    assert [passage.position for passage in passages] == [0, 1, 2, 3]
    assert embedded_text("Security", passages[2]).startswith("Security › Keys › Rotate\n")


def test_short_sections_are_glued_to_their_neighbour(count_tokens: TokenCounter) -> None:
    source = f"## One\n\nShort.\n\n## Two\n\n{FIFTY_WORDS}\n\n## Three\n\nAlso short."
    passages = split_page(parse_foreign(source, "t"), count_tokens, WINDOW)
    assert len(passages) == 1
    assert "Short." in passages[0].text and "Two" in passages[0].text and "Also short." in passages[0].text


@pytest.mark.parametrize(
    "source",
    [
        " ".join(f"Sentence number {n} says something about things." for n in range(400)),
        "word " * 3000,
        "x" * 5000,
        "é漢字🙂" * 800,
        "## " + "long heading " * 200 + "\n\n" + "word " * 600,
        "| a | b |\n|---|---|\n" + "| cell one | cell two |\n" * 200,
        "- item about keys\n" * 300,
    ],
)
def test_every_passage_fits_the_window(count_tokens: TokenCounter, source: str) -> None:
    passages = split_page(parse_foreign(source, "A title"), count_tokens, WINDOW)
    assert passages
    for passage in passages:
        assert count_tokens(embedded_text("A title", passage)) + 2 <= WINDOW


def test_long_sections_overlap_and_lose_no_sentence(count_tokens: TokenCounter) -> None:
    sentences = [f"Sentence {n} explains the rule numbered {n} in a few more words." for n in range(60)]
    passages = split_page(parse_foreign(" ".join(sentences), "t"), count_tokens, WINDOW)
    assert len(passages) > 1
    for sentence in sentences:
        assert any(sentence in passage.text for passage in passages)
    for earlier, later in pairwise(passages):
        assert earlier.text.split(". ")[-1].rstrip(".") in later.text
    assert all(len(passage.text.split()) <= PASSAGE_WORDS_TARGET + 20 for passage in passages)


def test_only_curl_and_the_response_stay_of_code_tabs(count_tokens: TokenCounter) -> None:
    source = (
        "```python tab=Python\nimport httpx\n```\n```bash tab=curl\ncurl -X POST\n```\n\n```json response=201\n{}\n```"
    )
    (passage,) = split_page(parse_foreign(source, "t"), count_tokens, WINDOW)
    assert "curl -X POST" in passage.text and "{}" in passage.text
    assert "httpx" not in passage.text


def test_the_first_sentences_are_those_of_the_prose() -> None:
    source = (
        "## A heading of many words\n\nNo.\n\nField `x` is missing here. It was expected.\n\n```\nsome code here\n```"
    )
    assert first_sentences(parse_foreign(source, "t"), 6) == ["Field x is missing here.", "It was expected."]
    assert first_sentences(parse_foreign(source, "t"), 1) == ["Field x is missing here."]


def test_an_empty_page_has_no_passages(count_tokens: TokenCounter) -> None:
    assert split_page(parse_foreign("\n\n", "t"), count_tokens, WINDOW) == []


def test_the_hash_follows_text_breadcrumb_and_model() -> None:
    assert content_hash("a\nb", "m") == content_hash("a\nb", "m")
    assert len({content_hash("a\nb", "m"), content_hash("a\nc", "m"), content_hash("a\nb", "n")}) == 3
