"""What this installation runs on: the operator's servers where a URL names one, embedded parts for the rest.

Every command assembles its environment here, so that `register` before the first start, the program, and its child
processes agree on database, Redis and secrets.
"""

import hashlib
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep

from ontology.settings import UNIX_SOCKET_PATH_MAX, Settings
from portal.child_process import StartError
from portal.embedded_postgres import (
    APP_ROLE,
    OWNER_ROLE,
    EmbeddedPostgres,
    embedded_postgres,
    find_running_postgres,
    running_postgres,
)
from portal.embedded_redis import EmbeddedRedis, embedded_redis
from portal.local_secrets import LocalSecrets, file_lock, load_or_make_secrets, open_data_dir

COMMAND_WAIT_SECONDS = 120.0
SECRET_SETTINGS = ("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "SECRET_KEY")


@dataclass(frozen=True, slots=True)
class Installation:
    """The parts to start here (None: a server of the operator's) and the environment that names all of them."""

    data_dir: Path
    env: Mapping[str, str]
    postgres: EmbeddedPostgres | None
    redis: EmbeddedRedis | None

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.env)


def assemble_installation(given: Mapping[str, str]) -> Installation:
    """Read the environment, and make DATA_DIR and secrets if it leaves anything to us. Starts nothing.

    Raises:
        StartError: a setting or DATA_DIR is unusable; the message names it.
    """
    try:
        settings = Settings.from_environment(given)
    except ValueError as error:
        raise StartError(str(error)) from None
    data_dir = settings.data_dir.resolve()
    open_data_dir(data_dir)
    env = {**given, "DATA_DIR": str(data_dir), "KNOWLEDGE_SOCKET": str(_short_socket(settings.knowledge_socket))}
    installation = Installation(data_dir, env, postgres=None, redis=None)
    if all(given.get(name, "").strip() for name in SECRET_SETTINGS):
        return installation
    return _with_local_parts(installation, settings, load_or_make_secrets(data_dir))


@contextmanager
def reachable_database(installation: Installation) -> Generator[Settings]:
    """Settings whose database answers: the one that runs, or the embedded one run for the length of the block.

    Commands take turns, so none stops a server which another has found running.
    """
    postgres = installation.postgres
    if postgres is None:
        yield installation.settings
        return
    with ExitStack() as stack:
        stack.enter_context(file_lock(installation.data_dir / "command.lock", COMMAND_WAIT_SECONDS))
        try:
            server = stack.enter_context(running_postgres(postgres, lock_seconds=0))
        except BlockingIOError:
            server = _wait_for_running_postgres(postgres)
        yield Settings.from_environment({**installation.env, **_database_urls(server)})


def _with_local_parts(installation: Installation, settings: Settings, secrets: LocalSecrets) -> Installation:
    env, data_dir = dict(installation.env), installation.data_dir
    postgres = None if settings.database_url else embedded_postgres(data_dir, secrets)
    redis = None if settings.redis_url else embedded_redis(data_dir, secrets)
    if postgres is not None:
        env |= _database_urls(postgres)
    if redis is not None:
        env["REDIS_URL"] = redis.url
    env["KEY_PEPPER"] = env.get("KEY_PEPPER", "").strip() or secrets.key_pepper
    env["SECRET_KEY"] = env.get("SECRET_KEY", "").strip() or secrets.secret_key
    return replace(installation, env=env, postgres=postgres, redis=redis)


def _database_urls(postgres: EmbeddedPostgres) -> dict[str, str]:
    return {"DATABASE_URL": postgres.url(APP_ROLE), "DATABASE_OWNER_URL": postgres.url(OWNER_ROLE)}


def _wait_for_running_postgres(postgres: EmbeddedPostgres) -> EmbeddedPostgres:
    """Another process holds the cluster: wait until the server it starts is ready."""
    deadline = monotonic() + COMMAND_WAIT_SECONDS
    while monotonic() < deadline:
        if found := find_running_postgres(postgres.data_dir, postgres.secrets):
            return found
        sleep(0.1)
    raise StartError("the database of this DATA_DIR is being started by another process but does not get ready")


def _short_socket(wanted: Path) -> Path:
    """`wanted`, or where its path is too long for a socket, one in a private directory for temporary files."""
    wanted = wanted.absolute()
    if len(os.fsencode(wanted)) <= UNIX_SOCKET_PATH_MAX:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"one-{os.getuid()}-{digest}"
    directory.mkdir(mode=0o700, exist_ok=True)
    found = directory.lstat()
    if directory.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StartError(f"{directory} belongs to somebody else; set KNOWLEDGE_SOCKET to a path of your own")
    return directory / "knowledge.sock"
