"""The client of a language model, against a real HTTP server: streaming and not, failing, slow, and lying."""

import threading
import time

import pytest

from knowledge.generator import CHARACTERS_MAX, Generator, GeneratorFailed
from tests.knowledge.chat_server import Chat, running_chat

MESSAGES = [{"role": "user", "content": "question"}]


async def write(chat: Chat, seconds: float = 10) -> str:
    generator = Generator(chat.url, "small", "sesame", seconds)
    return "".join([piece async for piece in generator.write(MESSAGES)])


@pytest.mark.parametrize("streamed", [True, False])
async def test_what_the_server_says_arrives_streamed_or_whole(streamed: bool) -> None:
    with running_chat(Chat("Keys are rotated. [1]\n\nReally.", streamed)) as chat:
        assert await write(chat) == chat.says
        assert chat.keys == ["Bearer sesame"]
        assert chat.heard[0]["model"] == "small" and chat.heard[0]["messages"] == MESSAGES


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_failure_is_tried_once_more(status: int) -> None:
    with running_chat(Chat("Yes.", statuses=[status])) as chat:
        assert await write(chat) == "Yes."
        assert len(chat.heard) == 2


async def test_there_is_no_third_try() -> None:
    with running_chat(Chat("Yes.", statuses=[500, 500])) as chat:
        with pytest.raises(GeneratorFailed, match="status 500"):
            await write(chat)
        assert len(chat.heard) == 2


@pytest.mark.parametrize("status", [301, 401, 404, 422])
async def test_a_refusal_is_final(status: int) -> None:
    with running_chat(Chat("Yes.", statuses=[status])) as chat:
        with pytest.raises(GeneratorFailed, match=str(status)):
            await write(chat)
        assert len(chat.heard) == 1


async def test_a_slow_server_is_given_up_in_time() -> None:
    with running_chat(Chat("Yes.", slow=threading.Event())) as chat:
        began = time.monotonic()
        with pytest.raises(GeneratorFailed):
            await write(chat, seconds=0.5)
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"{", b'{"choices":[]}', b'{"choices":[null]}', b'{"error":{}}', b"\xff" * 50, b"[" * 9999],
)
async def test_what_cannot_be_read_is_a_failure(raw: bytes) -> None:
    with running_chat(Chat(raw=raw)) as chat, pytest.raises(GeneratorFailed):
        await write(chat)


async def test_an_answer_that_breaks_off_is_a_failure() -> None:
    with running_chat(Chat("Half an ans", ends=False)) as chat, pytest.raises(GeneratorFailed, match="broke off"):
        await write(chat)


async def test_an_answer_without_end_is_cut() -> None:
    with running_chat(Chat("x" * (CHARACTERS_MAX + 100))) as chat, pytest.raises(GeneratorFailed, match="too long"):
        await write(chat)


async def test_nobody_there_is_a_failure() -> None:
    with running_chat(Chat("Yes.")) as chat:
        address = chat.url
    with pytest.raises(GeneratorFailed):
        await write(Chat(url=address))
