"""Pages cut into passages: what is embedded, matched and shown as a result.

A section (the text under one heading) is the natural answer to a question, so passages follow headings: short
sections are glued to their neighbour, long ones cut between sentences with an overlap. Of a group of code
tabs only curl stays, since six languages say the same thing six times.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from markdown_it.token import Token

from knowledge.markdown import Page, code_fences, fence_info, plain_text
from knowledge.words import count_words

PASSAGE_WORDS_TARGET = 140
OVERLAP_WORDS = 30
GLUED_BELOW_WORDS = 25
SPECIAL_TOKENS = 2
BREADCRUMB_CHARACTERS_MAX = 160
CODE_LINES_MAX = 12
SENTENCE_WORDS_MIN, SENTENCE_WORDS_MAX = 3, 40
TITLE_SEPARATOR = " › "

_SENTENCE_END = re.compile(r"(?<=[.!?:؟])\s+(?=[\"'(`]|[^\W_a-z])|(?<=[。！？])|\n+")

CountTokens = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Passage:
    """One piece of a page. ``heading_path`` leads from the page's outermost heading to the passage's own."""

    position: int
    heading_path: tuple[str, ...]
    anchor: str
    text: str


@dataclass(slots=True)
class _Section:
    heading_path: tuple[str, ...]
    anchor: str
    blocks: list[str]

    @property
    def words(self) -> int:
        return sum(map(count_words, self.blocks))


def split_page(page: Page, count_tokens: CountTokens, window_tokens: int) -> list[Passage]:
    """The passages of a page, in reading order; each fits the model's window together with its breadcrumb."""
    passages: list[Passage] = []
    for section in _glue(_sections(page)):
        breadcrumb = breadcrumb_of(page.title, section.heading_path)
        budget = window_tokens - SPECIAL_TOKENS - count_tokens(breadcrumb)
        for text in _cut(section.blocks, count_tokens, budget):
            passages.append(Passage(len(passages), section.heading_path, section.anchor, text))
    return passages


def first_sentences(page: Page, most: int) -> list[str]:
    """The first sentences of the page's prose, in reading order; neither scraps nor those of absurd length."""
    sentences: list[str] = []
    for position, token in enumerate(page.tokens):
        if token.type == "inline" and page.tokens[position - 1].type != "heading_open":
            parts = (part.strip() for part in _SENTENCE_END.split(plain_text(token)))
            sentences += [part for part in parts if SENTENCE_WORDS_MIN <= count_words(part) <= SENTENCE_WORDS_MAX]
        if len(sentences) >= most:
            break
    return sentences[:most]


def breadcrumb_of(title: str, heading_path: Sequence[str]) -> str:
    """Title and heading path on one line; it precedes the passage in what is embedded."""
    parts = [part for part in (title, *heading_path) if part]
    return TITLE_SEPARATOR.join(dict.fromkeys(parts))[:BREADCRUMB_CHARACTERS_MAX]


def embedded_text(title: str, passage: Passage) -> str:
    """What the model reads of a passage."""
    return f"{breadcrumb_of(title, passage.heading_path)}\n{passage.text}"


def content_hash(embedded: str, model: str) -> str:
    """Equal exactly when the vector would be: text with title and breadcrumb, and the model."""
    return sha256(f"{model}\0{embedded}".encode()).hexdigest()


def _sections(page: Page) -> list[_Section]:
    path: list[tuple[int, str]] = []
    sections = [_Section((), "", [])]
    tokens = page.tokens
    for position, token in enumerate(tokens):
        if token.type == "heading_open":
            level, text = int(token.tag[1]), plain_text(tokens[position + 1])
            path = [entry for entry in path if entry[0] < level] + [(level, text)]
            sections.append(_Section(tuple(name for _, name in path), str(token.attrGet("id")), []))
        elif block := _block_text(tokens, position):
            sections[-1].blocks.append(block)
    return [section for section in sections if section.blocks]


def _block_text(tokens: Sequence[Token], position: int) -> str:
    """The plain text a token adds to its section; containers add nothing, their contents do."""
    token = tokens[position]
    if token.type == "inline" and tokens[position - 1].type != "heading_open":
        return plain_text(token)
    if token.type == "code_block":
        return _trim_code(token.content)
    fences = code_fences(token)
    if not fences:
        return ""
    curl = [fence for fence in fences if (fence_info(fence).tab or "").lower() == "curl"]
    return _trim_code((curl or fences)[0].content)


def _trim_code(code: str) -> str:
    lines = [line.rstrip() for line in code.strip().splitlines() if line.strip()]
    if len(lines) > CODE_LINES_MAX:
        lines = [*lines[:CODE_LINES_MAX], "…"]
    return "\n".join(lines)


def _glue(sections: Sequence[_Section]) -> list[_Section]:
    """Join every short section to the one after it, the last to the one before."""
    glued: list[_Section] = []
    for section in sections:
        if glued and glued[-1].words < GLUED_BELOW_WORDS:
            _append(glued[-1], section)
        else:
            glued.append(_Section(section.heading_path, section.anchor, list(section.blocks)))
    if len(glued) > 1 and glued[-1].words < GLUED_BELOW_WORDS:
        last = glued.pop()
        _append(glued[-1], last)
    return glued


def _append(section: _Section, following: _Section) -> None:
    if following.heading_path:
        section.blocks.append(following.heading_path[-1])
    section.blocks.extend(following.blocks)


def _cut(blocks: Sequence[str], count_tokens: CountTokens, budget: int) -> Iterator[str]:
    """Texts of about the target length, each within the budget; a cut falls between sentences."""
    pending: list[str] = []
    pending_words, pending_tokens, fresh = 0, 0, False
    for piece in _pieces(blocks, count_tokens, budget):
        words, tokens = count_words(piece), count_tokens(piece)
        full = pending_words + words > PASSAGE_WORDS_TARGET or pending_tokens + tokens > budget
        if fresh and full:
            yield _join(pending)
            pending = _overlap(pending, count_tokens, budget - tokens)
            pending_words = sum(map(count_words, pending))
            pending_tokens = sum(count_tokens(kept) for kept in pending)
        pending.append(piece)
        pending_words, pending_tokens, fresh = pending_words + words, pending_tokens + tokens, True
    if fresh:
        yield _join(pending)


def _join(pieces: Sequence[str]) -> str:
    return " ".join(pieces).replace("\n ", "\n").strip()


def _overlap(pieces: Sequence[str], count_tokens: CountTokens, budget: int) -> list[str]:
    """The last sentences of about thirty words, as far as they leave room for what comes next."""
    kept: list[str] = []
    words, tokens = 0, 0
    for piece in reversed(pieces):
        words, tokens = words + count_words(piece), tokens + count_tokens(piece)
        if words > OVERLAP_WORDS * 3 // 2 or tokens > budget:
            break
        kept.insert(0, piece)
        if words >= OVERLAP_WORDS:
            break
    return kept


def _pieces(blocks: Sequence[str], count_tokens: CountTokens, budget: int) -> Iterator[str]:
    """Sentences and code lines; one that alone exceeds the budget is cut between words."""
    for block in blocks:
        sentences = [part for part in _SENTENCE_END.split(block) if part.strip()]
        for number, sentence in enumerate(sentences):
            end = "\n" if number == len(sentences) - 1 else ""
            if count_tokens(sentence) <= budget:
                yield sentence.strip() + end
            else:
                yield from _cut_words(sentence, count_tokens, budget)


def _cut_words(sentence: str, count_tokens: CountTokens, budget: int) -> Iterator[str]:
    """A text without sentence ends, cut by halves until each part fits; a huge word is cut inside."""
    if count_tokens(sentence) <= budget or len(sentence) <= budget:
        yield sentence
        return
    middle = sentence.rfind(" ", 1, len(sentence) // 2 + 1)
    middle = middle if middle > 0 else len(sentence) // 2
    yield from _cut_words(sentence[:middle].strip(), count_tokens, budget)
    yield from _cut_words(sentence[middle:].strip(), count_tokens, budget)
