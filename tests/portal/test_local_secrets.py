"""Generated secrets: made once, the same for everybody who asks at once, readable by their owner only."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from portal.child_process import StartError
from portal.local_secrets import load_or_make_secrets, open_data_dir
from tests.parts import temporary_data_dir


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with temporary_data_dir() as data_dir:
        yield data_dir


def test_secrets_are_made_once_and_readable_by_their_owner_only(data_dir: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(load_or_make_secrets, [data_dir] * 16))
    assert len(found) == 1
    values = list(asdict(found.pop()).values())
    assert len(set(values)) == len(values)
    assert all(len(value) == 48 for value in values)
    assert stat.S_IMODE((data_dir / "secrets.json").stat().st_mode) == 0o600


def test_secrets_do_not_show_when_printed(data_dir: Path) -> None:
    secrets = load_or_make_secrets(data_dir)
    assert all(value not in repr(secrets) for value in asdict(secrets).values())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key_pepper": "only one"}'])
def test_broken_secrets_are_refused_not_replaced(data_dir: Path, content: str) -> None:
    (data_dir / "secrets.json").write_text(content)
    with pytest.raises(StartError, match="restore it from a backup"):
        load_or_make_secrets(data_dir)
    assert (data_dir / "secrets.json").read_text() == content


def test_data_dir_that_is_a_file_is_refused_in_one_line(data_dir: Path) -> None:
    (data_dir / "file").touch()
    with pytest.raises(StartError, match="not a directory"):
        open_data_dir(data_dir / "file")
    with pytest.raises(StartError, match="cannot be made"):
        open_data_dir(data_dir / "file" / "below")
