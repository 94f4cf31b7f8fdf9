"""A language model that writes answers: any endpoint of the OpenAI chat form, named by the settings.

It has no tools, sees nothing but what is handed in, and is given little time. What it writes is read as a stream,
whether the server streams or not, and never believed: see `claims`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from ontology.settings import Settings

CHARACTERS_MAX = 8_000
BYTES_MAX = 1_000_000
TOKENS_MAX = 800
CONNECT_SECONDS = 3.0
_WORTH_ANOTHER_TRY = frozenset({429, 500, 502, 503, 504})

Message = dict[str, str]


class GeneratorFailed(Exception):
    """No answer in time, or none that can be read. `reason` is for the log and names no content."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _TryAgain(Exception):
    """Failed before anything was received."""


@dataclass(frozen=True, slots=True)
class Generator:
    """Where the model answers; `seconds_max` bounds a whole answer, both tries included."""

    url: str
    model: str
    key: str = ""
    seconds_max: float = 20.0

    async def write(self, messages: Sequence[Message]) -> AsyncGenerator[str]:
        """The answer in pieces. A request that fails before the first piece is repeated once.

        Raises:
            GeneratorFailed: at any time; pieces that came before are then worth nothing.
        """
        ends = asyncio.get_running_loop().time() + self.seconds_max
        timeout = httpx.Timeout(self.seconds_max, connect=CONNECT_SECONDS)
        async with httpx.AsyncClient(timeout=timeout, follow_redirects=False) as client:
            for attempt in (1, 2):
                pieces = self._request(client, messages)
                try:
                    async for piece in _until(pieces, ends):
                        yield piece
                except _TryAgain as failure:
                    if attempt == 2:
                        raise GeneratorFailed(str(failure)) from failure
                else:
                    return
                finally:
                    await pieces.aclose()

    async def _request(self, client: httpx.AsyncClient, messages: Sequence[Message]) -> AsyncGenerator[str]:
        headers = {"authorization": f"Bearer {self.key}"} if self.key else {}
        body = {
            "model": self.model,
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": TOKENS_MAX,
            "stream": True,
        }
        began = False
        try:
            async with client.stream("POST", f"{self.url}/chat/completions", json=body, headers=headers) as answer:
                if answer.status_code != 200:
                    failure = f"status {answer.status_code}"
                    raise _TryAgain(failure) if answer.status_code in _WORTH_ANOTHER_TRY else GeneratorFailed(failure)
                read = _read_stream if "event-stream" in answer.headers.get("content-type", "") else _read_whole
                written = 0
                async for piece in read(answer):
                    began = True
                    written += len(piece)
                    if written > CHARACTERS_MAX:
                        raise GeneratorFailed("the answer is too long")
                    yield piece
                if not written:
                    raise GeneratorFailed("the answer is empty")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = type(error).__name__
            raise GeneratorFailed(failure) if began else _TryAgain(failure) from error


def find_generator(settings: Settings) -> Generator | None:
    """The generator of the settings; None means answers are extracted."""
    if not settings.generator_url:
        return None
    return Generator(
        settings.generator_url, settings.generator_model, settings.generator_key, settings.generator_seconds
    )


async def _until(pieces: AsyncGenerator[str], ends: float) -> AsyncGenerator[str]:
    """The pieces, as long as there is time."""
    while True:
        try:
            async with asyncio.timeout_at(ends):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise GeneratorFailed("it took too long") from error
        yield piece


async def _read_stream(answer: httpx.Response) -> AsyncGenerator[str]:
    """The pieces of `data:` lines; lines of other kinds, and what is no JSON, are not for us."""
    seen = 0
    ended = False
    async for line in answer.aiter_lines():
        seen += len(line)
        if seen > BYTES_MAX:
            raise GeneratorFailed("the answer is too long")
        name, _, data = line.partition(":")
        if name != "data":
            continue
        if data.strip() == "[DONE]":
            return
        found = _find_piece(data, "delta")
        ended = ended or found.ended
        if found.text:
            yield found.text
    if not ended:
        raise GeneratorFailed("the answer broke off")


async def _read_whole(answer: httpx.Response) -> AsyncGenerator[str]:
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > BYTES_MAX:
            raise GeneratorFailed("the answer is too long")
    if text := _find_piece(body.decode(errors="replace"), "message").text:
        yield text


@dataclass(frozen=True, slots=True)
class _Piece:
    text: str
    ended: bool


def _find_piece(data: str, name: str) -> _Piece:
    """The text of the first choice.

    Raises:
        GeneratorFailed: the server says that it failed, or speaks otherwise.
    """
    try:
        found: Any = json.loads(data)
        if "error" in found:
            raise GeneratorFailed("the server reports an error")
        if not found["choices"]:
            return _Piece("", False)
        choice: Any = found["choices"][0]
        text: Any = choice[name].get("content")
        return _Piece(text if isinstance(text, str) else "", choice.get("finish_reason") is not None)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise GeneratorFailed("the answer cannot be read") from error
