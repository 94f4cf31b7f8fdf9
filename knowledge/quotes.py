"""What may be quoted from a document: its sentences as they stand, the rows of its tables, and its code blocks whole.

A passage is cut for the model, with the lines of its code run together; a quotation comes from the document itself,
from the part that the passage covers. Sentences that speak to a program instead of a reader are never quoted.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from markdown_it.token import Token

from knowledge.document_formats import parse_document
from knowledge.highlights import STOP_WORDS
from knowledge.markdown import Page, PageInvalid, code_fences, fence_info, parse_page, plain_text
from knowledge.words import split_identifiers

# Longer ones are quoted from their passage: parsing must not hold a process up.
SOURCE_CHARACTERS_MAX = 60_000
# Bytes: a character of a script with thousands of them says as much as three letters.
SENTENCE_BYTES_MIN, SENTENCE_CHARACTERS_MAX = 20, 500
CODE_LINES_MAX = 30
NEARNESS_WEIGHT, WORDS_WEIGHT = 0.75, 0.25

_SENTENCE_END = re.compile(r"(?<=[.!?؟])\s+(?=[\"'(`]|[^\W_a-z])|(?<=[。！？])|\n+")
_WORD = re.compile(r"[^\W_]{2,}")
_FOREIGN_ADDRESS = re.compile(r"(?:https?:|ftp:|data:|javascript:)?//[^\s]|\bwww\.|javascript:|data:", re.IGNORECASE)
# Who is spoken to is a program, or what is spoken of are its answers. In words of English: no list is complete, so what
# is quoted is never acted on either.
_PROGRAM = r"(?:assistant|language model|chat ?bot|ai model|ai agent|llm|gpt)"
_TO_A_PROGRAM = re.compile(
    r"\b(?:ignore|disregard|forget|override|bypass|stop following|do not follow)\b.{0,40}"
    r"\b(?:instruction|prompt|rule|guideline|above|previous|prior|question)"
    r"|\b(?:system|developer) (?:prompt|message|instruction)"
    r"|\bnew (?:instruction|order|task)s?\s*:"
    r"|\byou are (?:now |an? )?(?:ai|assistant|chatgpt|language model)|\bas an? (?:ai|language model)\b"
    rf"|\b{_PROGRAM}s?\b.{{0,60}}"
    r"\b(?:must|should|always|never|reply|answer|say|output|print|pretend|tell|ask|recommend|cite)"
    rf"|\b(?:dear|hey|hello|note to the|to the|to any) {_PROGRAM}"
    r"|\b(?:answer|reply|respond|output)\b.{0,30}\b(?:only|with exactly|the following|every question|nothing but)"
    r"|\b(?:reply|respond) to (?:all |any |every )?question"
    r"|\b(?:begin|start|end|finish)\b.{0,20}\b(?:each|every|all|your)\b.{0,10}\b(?:answer|reply|replies|response)"
    r"|\b(?:do not|don't) (?:answer|reply|respond|quote|cite)\b|\bnever (?:quote|cite)\b"
    r"|\b(?:say|print|output)\b.{0,40}\binstead\b"
    r"|\bmust be told\b|\bpretend\b|\byou must (?:act|behave|answer|reply|respond|say|output|print)\b"
    r"|<\|?(?:system|im_start|im_end|assistant)|\[/?inst\]|^(?:system|assistant|user)\s*:",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quote:
    """One sentence, one row of a table, or one code block with its language; `place` is its number in the document.

    `pictured` is what stands in one paragraph with a picture from elsewhere.
    """

    place: int
    text: str
    language: str | None = None
    pictured: bool = False
    is_row: bool = False


def list_quotes(source: str, format: str, title: str, passage: str, *, of_platform: bool) -> list[Quote]:
    """What a passage covers of its document, in reading order; of a document that cannot be parsed, the passage."""
    quotes = list(_read(source, format, title, of_platform, _squeeze(passage)))
    if not quotes:
        quotes = [Quote(number, sentence) for number, sentence in enumerate(split_sentences(passage))]
    return [
        quote
        for quote in quotes
        if (
            is_quotable(quote.text) and (of_platform or not quote.pictured)
            if quote.language is None
            else of_platform or not _FOREIGN_ADDRESS.search(quote.text)
        )
    ]


def split_sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]


def is_quotable(sentence: str) -> bool:
    """Whether it says something to a reader: no scrap, question, address elsewhere or order to a program."""
    if len(sentence.encode()) < SENTENCE_BYTES_MIN or len(sentence) > SENTENCE_CHARACTERS_MAX:
        return False
    if sentence.endswith(("?", "？", "؟")):
        return False
    return not (_TO_A_PROGRAM.search(sentence) or _FOREIGN_ADDRESS.search(sentence))


def score_sentences(question: str, sentences: Sequence[str], cosines: Sequence[float]) -> list[float]:
    """How well each answers: by meaning, and by the share of the question's words that it holds."""
    wanted = _stems(question)
    return [
        NEARNESS_WEIGHT * cosine + WORDS_WEIGHT * (len(wanted & _stems(sentence)) / len(wanted) if wanted else 0.0)
        for sentence, cosine in zip(sentences, cosines, strict=True)
    ]


def count_shared_words(question: str, text: str) -> int:
    """How many words of the question the text has, endings apart."""
    return len(_stems(question) & _stems(text))


def _read(source: str, format: str, title: str, of_platform: bool, covered: str) -> Iterator[Quote]:
    """What the covered part of the document has."""
    page = _parse(source, format, title, of_platform)
    if page is None:
        return
    places = count()
    for position, token in enumerate(page.tokens):
        for text, cells, pictured in _read_rows(page.tokens, position) if token.type == "table_open" else ():
            if _squeeze(cells) in covered:
                yield Quote(next(places), text, pictured=pictured, is_row=True)
        for text, language, pictured in _read_token(page.tokens, position, token):
            if _squeeze(text)[:300] in covered:
                yield Quote(next(places), text, language, pictured)


def _read_rows(tokens: Sequence[Token], start: int) -> Iterator[tuple[str, str, bool]]:
    """Each row of the table that begins there: with the names of its columns, its cells alone, whether pictured."""
    names, cells, pictured = list[str](), list[str](), False
    for token in islice(tokens, start, None):
        if token.type == "inline":
            cells.append(plain_text(token))
            pictured = pictured or _is_pictured(token)
        elif token.type == "tr_close":
            if names:
                yield _name_cells(names, cells), "".join(cells), pictured
            names, cells, pictured = names or cells, [], False
        elif token.type == "table_close":
            return


def _name_cells(names: Sequence[str], cells: Sequence[str]) -> str:
    """`Standard; weight: 15 kg; price: 6 EUR`; where there are but two columns, `Standard: 15 kg`."""
    if len(cells) == 2:
        return ": ".join(cells)
    return "; ".join(
        [*cells[:1], *(f"{name}: {cell}" for name, cell in zip(names[1:], cells[1:], strict=False) if cell)]
    )


def _parse(source: str, format: str, title: str, of_platform: bool) -> Page | None:
    if len(source) > SOURCE_CHARACTERS_MAX:
        return None
    try:
        return parse_page(source) if of_platform else parse_document(source, format, title)
    except PageInvalid:
        return None


def _read_token(tokens: Sequence[Token], position: int, token: Token) -> Iterator[tuple[str, str | None, bool]]:
    if token.type == "inline":
        # A cell of a table says nothing without its row, and a heading nothing by itself.
        if position and tokens[position - 1].type not in ("heading_open", "td_open", "th_open"):
            for sentence in split_sentences(plain_text(token)):
                yield sentence, None, _is_pictured(token)
        return
    fences = code_fences(token)
    if fences:
        curl = [fence for fence in fences if (fence_info(fence).tab or "").lower() == "curl"]
        fence = (curl or fences)[0]
        if fence.content.count("\n") <= CODE_LINES_MAX and not _TO_A_PROGRAM.search(fence.content):
            yield fence.content.rstrip("\n"), fence_info(fence).language, False


def _is_pictured(inline: Token) -> bool:
    return any(
        child.type == "image" and _FOREIGN_ADDRESS.search(str(child.attrs.get("src", "")))
        for child in inline.children or ()
    )


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _stems(text: str) -> frozenset[str]:
    """Words without their endings, so that *revoke* meets *revoked*; none of those that every text has."""
    words = _WORD.findall(split_identifiers(text).lower())
    return frozenset(word[: max(3, len(word) - 2)] for word in words if word not in STOP_WORDS)
