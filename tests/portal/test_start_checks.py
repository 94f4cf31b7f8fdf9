"""Unsafe production settings: each is refused with one line that names the setting and not its value."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from portal.embedded_postgres import APP_ROLE, OWNER_ROLE
from portal.start_checks import find_unknown_environment, find_unsafe_settings
from tests.parts import Parts, portal_environment, run_portal, temporary_data_dir

DEVELOPMENT_PEPPER = "development-pepper-not-for-production"
SHARED_SECRET = "nZr4T9qWb2LxY7vKc1MdF6hGj3PsA8eU"


@pytest.fixture
def safe(parts: Parts, database: str, tmp_path: Path) -> dict[str, str]:
    """A production environment with nothing to object to."""
    return {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": "https://portal.example",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": parts.postgres.url(APP_ROLE, database),
        "DATABASE_OWNER_URL": parts.postgres.url(OWNER_ROLE, database),
        "REDIS_URL": parts.redis_url,
        "KEY_PEPPER": secrets.token_urlsafe(36),
        "SECRET_KEY": secrets.token_urlsafe(36),
    }


def test_safe_settings_are_accepted(safe: dict[str, str]) -> None:
    assert find_unsafe_settings(safe) == []
    assert run_portal(_whole_environment(safe), "check").returncode == 0


UNSAFE = [
    ({"KEY_PEPPER": ""}, "KEY_PEPPER is not set"),
    ({"KEY_PEPPER": DEVELOPMENT_PEPPER}, "KEY_PEPPER is the development default"),
    ({"KEY_PEPPER": "short"}, "KEY_PEPPER must have at least 32 characters"),
    ({"KEY_PEPPER": "ab" * 20}, "KEY_PEPPER is too regular"),
    ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
    ({"SECRET_KEY": "development-secret-not-for-production"}, "SECRET_KEY is the development default"),
    ({"SECRET_KEY": SHARED_SECRET, "KEY_PEPPER": SHARED_SECRET}, "KEY_PEPPER and SECRET_KEY must differ"),
    ({"DEBUG": "yes"}, "DEBUG must be off"),
    ({"PUBLIC_URL": ""}, "PUBLIC_URL is not set"),
    ({"PUBLIC_URL": "http://portal.example"}, "PUBLIC_URL must begin with https://"),
    ({"PUBLIC_URL": "https://127.0.0.1"}, "PUBLIC_URL names this machine only"),
    ({"PUBLIC_URL": "https://user:pw@portal.example/path"}, "PUBLIC_URL must be scheme and host only"),
    ({"DATABASE_URL": ""}, "DATABASE_URL is not set"),
    ({"DATABASE_URL": "postgresql://one_app@db/one"}, "DATABASE_URL has no password"),
    ({"DATABASE_URL": "postgresql://one_app:postgres@db/one"}, "DATABASE_URL has no password, or a well-known one"),
    ({"DATABASE_URL": f"postgresql://postgres:{SHARED_SECRET}@db/one"}, "DATABASE_URL uses the role postgres"),
    ({"DATABASE_OWNER_URL": ""}, "DATABASE_OWNER_URL is not set"),
    ({"DATABASE_OWNER_URL": f"postgresql://one_app:{SHARED_SECRET}@db/one"}, "name the same role"),
    ({"REDIS_URL": ""}, "REDIS_URL is not set"),
    ({"REDIS_URL": "redis://cache:6379/0"}, "REDIS_URL has no password"),
    ({"QDRANT_URL": "http://qdrant:6333"}, "QDRANT_URL is set without QDRANT_API_KEY"),
    ({"QDRANT_URL": "http://qdrant.example:6333", "QDRANT_API_KEY": "x"}, "QDRANT_URL must be https://"),
    ({"TRUSTED_PROXIES": "*"}, "TRUSTED_PROXIES must be addresses or networks"),
    ({"TRUSTED_PROXIES": "10.0.0.1, 0.0.0.0/0"}, "TRUSTED_PROXIES trusts a network so wide"),
    ({"TRUSTED_PROXIES": "::/0"}, "TRUSTED_PROXIES trusts a network so wide"),
    ({"HOST": "0.0.0.0"}, "HOST listens beyond this machine without TRUSTED_PROXIES"),
    ({"DATABASE_URL": "postgresql://one_app:kJ2mQ9xT4v@127.0.0.1:1/one"}, "DATABASE_URL cannot be used"),
]


@pytest.mark.parametrize(("change", "line"), UNSAFE, ids=[line for _, line in UNSAFE])
def test_unsafe_setting_is_refused_by_name(safe: dict[str, str], change: Mapping[str, str], line: str) -> None:
    found = find_unsafe_settings({**safe, **change})
    assert len(found) == 1
    assert line in found[0]
    assert "\n" not in found[0]
    assert SHARED_SECRET not in found[0]


def test_readable_secrets_and_writable_data_dir_are_refused(safe: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secrets.json").touch(mode=0o644)
    tmp_path.chmod(0o777)
    assert find_unsafe_settings(safe) == [
        "DATA_DIR can be written by everybody",
        "DATA_DIR/secrets.json can be read by others than its owner",
    ]


ROLES = [
    ("SUPERUSER", "connects as a superuser"),
    ("BYPASSRLS", "connects as a role with BYPASSRLS"),
    ("CREATEROLE", "may make roles or databases"),
    (f"IN ROLE {OWNER_ROLE}", "connects as a member of a role that owns tables"),
]


@pytest.mark.parametrize(("attributes", "line"), ROLES, ids=[attributes for attributes, _ in ROLES])
def test_powerful_database_role_is_refused_whatever_its_name(
    parts: Parts, database: str, safe: dict[str, str], attributes: str, line: str
) -> None:
    with _database_role(parts, database, attributes) as url:
        found = find_unsafe_settings({**safe, "DATABASE_URL": url})
    assert len(found) == 1
    assert line in found[0]


def test_owner_of_table_and_database_is_refused(parts: Parts, database: str, safe: dict[str, str]) -> None:
    with _database_role(parts, database, "") as url, psycopg.connect(parts.superuser_url(database)) as connection:
        connection.execute("CREATE TABLE owned_by_stranger ()")
        connection.execute("ALTER TABLE owned_by_stranger OWNER TO stranger")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO stranger").format(sql.Identifier(database)))
        connection.commit()
        found = find_unsafe_settings({**safe, "DATABASE_URL": url})
        connection.execute("DROP TABLE owned_by_stranger")
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO postgres").format(sql.Identifier(database)))
    assert found == [
        "DATABASE_URL connects as the owner of tables; it must own nothing",
        "DATABASE_URL connects as the owner of the database; it must own nothing",
    ]


@pytest.mark.parametrize("given", ["prod", "Production", "live"])
def test_misspelt_environment_does_not_switch_the_checks_off(given: str) -> None:
    assert list(find_unknown_environment({"ENVIRONMENT": given})) != []
    with temporary_data_dir() as data_dir:
        finished = run_portal(portal_environment(data_dir, ENVIRONMENT=given), "run")
    assert finished.returncode == 1
    assert finished.stderr == "refused: ENVIRONMENT must be one of development, test, production\n"


def test_production_refuses_to_start_and_says_every_reason_on_a_line() -> None:
    with temporary_data_dir() as data_dir:
        env = portal_environment(data_dir, ENVIRONMENT="production", DEBUG="1")
        for command in ("run", "check"):
            finished = run_portal(env, command)
            assert finished.returncode == 1
            assert finished.stdout == ""
            lines = finished.stderr.splitlines()
            assert all(line.startswith("refused: ") for line in lines)
            assert len(lines) == 6
        assert list(data_dir.iterdir()) == []


@contextmanager
def _database_role(parts: Parts, database: str, attributes: str) -> Iterator[str]:
    """The URL of a role `stranger` with those attributes, gone again afterwards."""
    with psycopg.connect(parts.superuser_url(database), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{SHARED_SECRET}' {attributes}")
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO stranger").format(sql.Identifier(database)))
        try:
            yield parts.postgres.url(APP_ROLE, database).replace(
                f"{APP_ROLE}:{parts.postgres.secrets.app_password}", f"stranger:{SHARED_SECRET}"
            )
        finally:
            connection.execute("DROP OWNED BY stranger")
            connection.execute("DROP ROLE stranger")


def _whole_environment(safe: Mapping[str, str]) -> dict[str, str]:
    return {**portal_environment(Path(safe["DATA_DIR"])), **safe}
