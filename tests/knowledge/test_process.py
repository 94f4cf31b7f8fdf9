"""The knowledge process: served, killed, restarted, overloaded; and what its clients see of it."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from knowledge.client import CONNECT_TIMEOUT_SECONDS, SEARCH_TIMEOUT_SECONDS, KnowledgeClient
from knowledge.errors import IndexBuilding, KnowledgeFailed, SearchUnavailable
from knowledge.index.interface import SearchScope
from knowledge.indexing import Splitter
from knowledge.lexicon import Lexicon
from knowledge.model_files import find_model, list_words
from knowledge.protocol import SearchRequest, encode_frame
from tests.knowledge.conftest import Knowledge, Serve
from tests.knowledge.documents import CHILD, ORGANISATION, STRANGER, new_document, whole_organisation

ROTATION = "Rotate a key by creating a second one, moving traffic to it, and revoking the first."
REFUNDS = "Customers get their money back within fourteen days."


def ask(query: str, scope: SearchScope | None = None) -> SearchRequest:
    return SearchRequest(query, scope or whole_organisation(), (), 10)


async def test_what_was_put_is_found_by_meaning_at_once(knowledge: Knowledge, splitter: Splitter) -> None:
    rotation = new_document(splitter, "Rotation", ROTATION)
    await knowledge.client.put([rotation, new_document(splitter, "Refunds", REFUNDS)])
    first, *_ = await knowledge.client.search(ask("replace my credential without downtime"))
    assert first.document_id == rotation.document_id
    assert first.passage_id == rotation.passages[0].passage_id
    assert 0 < first.score <= 1 and round(first.score, 3) == first.score


async def test_scope_holds_through_the_whole_process(knowledge: Knowledge, splitter: Splitter) -> None:
    await knowledge.client.put([new_document(splitter, "Rotation", ROTATION, group_ids=(ORGANISATION,))])
    assert await knowledge.client.search(ask(ROTATION, whole_organisation(STRANGER))) == []
    assert await knowledge.client.search(ask(ROTATION, SearchScope(ORGANISATION, CHILD))) == []


async def test_unchanged_content_is_not_embedded_again(knowledge: Knowledge, splitter: Splitter) -> None:
    long = "\n\n".join(
        f"## Rule {n}\n\n{ROTATION} {REFUNDS} Rule {n} says so, and so do the other rules." for n in range(4)
    )
    await knowledge.client.put([new_document(splitter, "Rules", long)])
    embedded = (await knowledge.client.stats()).embedded_texts
    await knowledge.client.put([new_document(splitter, "Rules", long, version=2)])
    assert (await knowledge.client.stats()).embedded_texts == embedded
    changed = new_document(splitter, "Rules", long.replace("Rule 3 says", "Rule 3 no longer says"), version=3)
    await knowledge.client.put([changed])
    stats = await knowledge.client.stats()
    assert stats.embedded_texts == embedded + 1
    assert stats.points == len(changed.passages) + 1
    assert await knowledge.client.versions() == {changed.document_id: 3}


async def test_an_older_version_never_overwrites_a_newer_one(knowledge: Knowledge, splitter: Splitter) -> None:
    newer = new_document(splitter, "Rules", ROTATION, version=5)
    await knowledge.client.put([newer])
    await knowledge.client.put([new_document(splitter, "Rules", REFUNDS, version=4)])
    assert await knowledge.client.versions() == {newer.document_id: 5}


async def test_deleted_documents_are_forgotten(knowledge: Knowledge, splitter: Splitter) -> None:
    rotation = new_document(splitter, "Rotation", ROTATION)
    await knowledge.client.put([rotation])
    await knowledge.client.delete([rotation.document_id])
    assert await knowledge.client.search(ask(ROTATION)) == []
    assert (await knowledge.client.stats()).points == 0


async def test_searches_overtake_a_long_ingestion(knowledge: Knowledge, splitter: Splitter) -> None:
    documents = [new_document(splitter, f"Page {n}", f"{n}. {ROTATION} {REFUNDS} " * 8) for n in range(60)]
    ingestion = asyncio.create_task(knowledge.client.put(documents))
    await asyncio.sleep(0)
    for n in range(10):
        await knowledge.client.search(ask(f"question number {n}"))
        assert not ingestion.done(), "the search has waited for what was sent before it"
    await ingestion


async def test_no_text_is_too_strange_to_search_for(knowledge: Knowledge, splitter: Splitter) -> None:
    await knowledge.client.put([new_document(splitter, "Rotation", ROTATION)])
    for strange in ("\x00", "\ud800 key", "🙂" * 3000, "the of", "{" * 5000, "   ", "%_\\'\"", "a" * 19_000):
        assert len(await knowledge.client.search(ask(strange))) <= 1
    assert len(await knowledge.client.search(ask("rotate a key"))) == 1


async def test_rubbish_finds_nothing(serve: Serve, splitter: Splitter, tmp_path: Path) -> None:
    async with serve(tmp_path / "index", lexicon=Lexicon((), list_words(find_model()))) as knowledge:
        await knowledge.client.put([new_document(splitter, "Rotation", ROTATION)])
        for rubbish in ("blorf gnarl", "hgfhgf ghgf", "zzzzz"):
            assert await knowledge.client.search(ask(rubbish)) == []
        # A word that is known, or of the language, or nothing but signs: the nearest there is.
        for sense in ("blorf traffic", "replace my credential without downtime", "???"):
            assert len(await knowledge.client.search(ask(sense))) == 1


async def test_a_mistyped_word_is_read_as_its_nearest(serve: Serve, splitter: Splitter, tmp_path: Path) -> None:
    async with serve(tmp_path / "index", lexicon=Lexicon(("refunds", "fourteen", "traffic"))) as knowledge:
        refunds, named = new_document(splitter, "Refunds", REFUNDS), new_document(splitter, "Fuorteen", "A band.")
        await knowledge.client.put([new_document(splitter, "Rotation", ROTATION), refunds])
        first, *_ = await knowledge.client.search(ask("fuorteen"))
        assert first.document_id == refunds.document_id
        # Somebody who may read a text with that very word means the word.
        await knowledge.client.put([named])
        first, *_ = await knowledge.client.search(ask("fuorteen"))
        assert first.document_id == named.document_id


async def test_many_requests_share_one_connection(knowledge: Knowledge, splitter: Splitter) -> None:
    await knowledge.client.put([new_document(splitter, "Rotation", ROTATION)])
    answers = await asyncio.gather(*(knowledge.client.search(ask(f"rotate {n}")) for n in range(50)))
    assert all(len(answer) == 1 for answer in answers)


async def test_an_index_survives_a_restart_of_its_process(serve: Serve, splitter: Splitter, tmp_path: Path) -> None:
    async with serve(tmp_path) as first:
        await first.client.put([new_document(splitter, "Rotation", ROTATION)])
        before = await first.client.stats()
    async with serve(tmp_path) as second:
        after = await second.client.stats()
        assert (after.index_id, after.points) == (before.index_id, before.points)
        assert len(await second.client.search(ask("rotate a key"))) == 1


async def test_half_an_index_answers_nothing_until_it_is_said_to_be_whole(
    serve: Serve, splitter: Splitter, tmp_path: Path
) -> None:
    async with serve(tmp_path, whole=False) as served:
        await served.client.put([new_document(splitter, "Rotation", ROTATION)])
        assert await served.client.ping() is False
        with pytest.raises(IndexBuilding) as refused:
            await served.client.search(ask("rotate a key"))
        assert refused.value.code == "search_unavailable" and refused.value.retry_after_seconds
        await served.client.mark_whole("another index")
        assert await served.client.ping() is False
        await served.client.mark_whole((await served.client.stats()).index_id)
        assert await served.client.ping() is True
        assert len(await served.client.search(ask("rotate a key"))) == 1
    async with serve(tmp_path, whole=False) as again:
        assert len(await again.client.search(ask("rotate a key"))) == 1


async def test_an_index_whose_files_are_taken_away_begins_anew(
    serve: Serve, splitter: Splitter, tmp_path: Path
) -> None:
    async with serve(tmp_path / "qdrant") as served:
        await served.client.put([new_document(splitter, "Rotation", ROTATION)])
        before = await served.client.stats()
        shutil.rmtree(tmp_path / "qdrant")
        after = await served.client.stats()
        assert after.index_id != before.index_id and not after.whole and after.points == 0
        with pytest.raises(IndexBuilding):
            await served.client.search(ask("rotate a key"))
        await served.client.put([new_document(splitter, "Rotation", ROTATION)])
        await served.client.mark_whole(after.index_id)
        assert len(await served.client.search(ask("rotate a key"))) == 1


async def test_a_failed_operation_is_told_apart_from_an_outage(knowledge: Knowledge) -> None:
    with pytest.raises(KnowledgeFailed):
        await knowledge.client._call("no such operation", {}, 1)  # pyright: ignore[reportPrivateUsage]
    await knowledge.client.ping()


async def test_an_absent_process_is_unavailable_at_once(tmp_path: Path) -> None:
    client = KnowledgeClient(tmp_path / "nobody.sock")
    with pytest.raises(SearchUnavailable) as refused:
        await client.search(ask("anything"))
    assert isinstance(refused.value.__cause__, FileNotFoundError), "it was waited for"


async def test_a_hanging_process_is_given_up_within_five_seconds() -> None:
    with TemporaryDirectory() as directory:
        socket_path = Path(directory) / "k.sock"

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_unix_server(swallow, str(socket_path))
        client = KnowledgeClient(socket_path)
        with pytest.raises(SearchUnavailable) as refused:
            await client.search(ask("anything"))
        assert isinstance(refused.value.__cause__, TimeoutError)
        assert CONNECT_TIMEOUT_SECONDS + SEARCH_TIMEOUT_SECONDS <= 5
        await client.close()
        server.close()
        await server.wait_closed()


async def test_a_client_that_speaks_nonsense_disturbs_nobody(knowledge: Knowledge) -> None:
    path = str(knowledge.client._socket_path)  # pyright: ignore[reportPrivateUsage]
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x02[]", encode_frame({"op": 3}), b"\x00"):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(nonsense)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    assert await knowledge.client.ping()


class KnowledgeProcess:
    """``python -m knowledge`` on a data directory of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.socket_path = data_dir / "k.sock"
        self.environment = os.environ | {
            "DATA_DIR": str(data_dir),
            "KNOWLEDGE_SOCKET": str(self.socket_path),
            "QDRANT_URL": "",
            "EMBEDDING_MODEL": "",
        }
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "knowledge"], env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def kill_and_restart(self) -> None:
        self.stop(signal.SIGKILL)
        self.process = self._spawn()

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
        return self.process.returncode

    def second_one(self) -> tuple[int, str]:
        """Exit code and last words of another process on the same directory."""
        other = self._spawn()
        _, errors = other.communicate(timeout=60)
        return other.returncode, errors.decode()


@pytest.fixture
def process() -> Iterator[KnowledgeProcess]:
    with TemporaryDirectory(prefix="one-") as directory:
        started = KnowledgeProcess(Path(directory))
        yield started
        if started.process.poll() is None:
            started.stop(signal.SIGKILL)


async def until_ready(client: KnowledgeClient) -> None:
    """Wait for the process; a condition, with the test's timeout as its limit."""
    while True:
        try:
            await client.ping()
            return
        except SearchUnavailable:
            await asyncio.sleep(0.1)


async def test_a_killed_process_loses_nothing_and_its_client_reconnects(
    process: KnowledgeProcess, splitter: Splitter
) -> None:
    client = KnowledgeClient(process.socket_path)
    await until_ready(client)
    assert stat.S_IMODE(process.socket_path.stat().st_mode) == 0o600
    await client.put([new_document(splitter, "Rotation", ROTATION)])
    before = await client.stats()
    await client.mark_whole(before.index_id)

    process.kill_and_restart()
    with pytest.raises(SearchUnavailable):
        await client.search(ask("rotate"))
    await until_ready(client)

    after = await client.stats()
    assert (after.index_id, after.points) == (before.index_id, before.points)
    assert len(await client.search(ask("rotate a key"))) == 1

    code, errors = await asyncio.to_thread(process.second_one)
    assert code == 1 and "another process owns the index" in errors and "Traceback" not in errors
    await client.ping()
    await client.close()
    assert await asyncio.to_thread(process.stop, signal.SIGTERM) == 0
    assert not process.socket_path.exists()


def test_a_web_process_never_loads_the_model() -> None:
    """What portal and worker import of this package stays clear of torch and of the vector engine."""
    modules = "knowledge.search, knowledge.markdown, knowledge.highlights, knowledge.ingestion"
    heavy = "{'torch', 'sentence_transformers', 'transformers', 'qdrant_edge', 'qdrant_client', 'numpy'}"
    code = f"import sys, {modules}; sys.exit(str(sorted({heavy} & set(sys.modules)) or ''))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.stderr.strip() == ""
