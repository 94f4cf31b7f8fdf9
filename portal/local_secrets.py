"""Secrets of an installation that was given none, made once and kept in `DATA_DIR/secrets.json` (mode 0600).

Losing the file loses every API key (the pepper) and the embedded database's passwords, so it belongs in
backups.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from time import monotonic, sleep

from portal.child_process import StartError


def _new_secret() -> str:
    return secrets.token_urlsafe(36)


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    """Each 48 characters that need no quoting in a URL."""

    key_pepper: str = field(default_factory=_new_secret, repr=False)
    secret_key: str = field(default_factory=_new_secret, repr=False)
    postgres_password: str = field(default_factory=_new_secret, repr=False)
    owner_password: str = field(default_factory=_new_secret, repr=False)
    app_password: str = field(default_factory=_new_secret, repr=False)
    redis_password: str = field(default_factory=_new_secret, repr=False)


def open_data_dir(data_dir: Path) -> None:
    """Make DATA_DIR. Other users may pass through it (the database may run as `nobody`) but not list it.

    Raises:
        StartError: it cannot be made or written.
    """
    try:
        if not data_dir.exists():
            data_dir.mkdir(parents=True)
            data_dir.chmod(0o711)
    except OSError as error:
        raise StartError(f"DATA_DIR {data_dir} cannot be made: {error.strerror}") from None
    if not (data_dir.is_dir() and os.access(data_dir, os.W_OK | os.X_OK)):
        raise StartError(f"DATA_DIR {data_dir} is not a directory that this user can write")


def load_or_make_secrets(data_dir: Path) -> LocalSecrets:
    """The secrets of this DATA_DIR; two processes that start at once get the same ones.

    Raises:
        StartError: the file is unreadable, or missing beside a database that was made with it.
    """
    path = data_dir / "secrets.json"
    with file_lock(data_dir / "secrets.lock", seconds=10):
        if not path.exists():
            if (data_dir / "postgres").exists():
                raise StartError(f"{path} is missing but its database exists: restore the file from a backup")
            _write_secrets(path, LocalSecrets())
        return _read_secrets(path)


@contextmanager
def file_lock(path: Path, seconds: float) -> Generator[None]:
    """Hold an exclusive lock that the kernel releases when this process dies, however it dies.

    Raises:
        BlockingIOError: another process held it for `seconds`.
    """
    deadline = monotonic() + seconds
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() >= deadline:
                    raise
                sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _write_secrets(path: Path, made: LocalSecrets) -> None:
    """Write completely or not at all."""
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(made), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _read_secrets(path: Path) -> LocalSecrets:
    try:
        read = json.loads(path.read_text())
        return LocalSecrets(**{item.name: str(read[item.name]) for item in fields(LocalSecrets)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StartError(f"{path} cannot be read ({type(error).__name__}): restore it from a backup") from None
