"""Settings that must not reach production, each refused with one clear line before anything starts.

The names of the settings are in the lines; their values never are.
"""

import ipaddress
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import psycopg

from ontology.settings import DEVELOPMENT_PEPPER, DEVELOPMENT_SECRET, TRUE_WORDS

ENVIRONMENTS = ("development", "test", "production")
SECRET_LENGTH_MIN = 32
DISTINCT_CHARACTERS_MIN = 12
CONNECT_SECONDS = 10
WELL_KNOWN_PASSWORDS = frozenset(
    {"", "postgres", "password", "changeme", "change-me", "secret", "admin", "one", "redis"}
)


def is_production(env: Mapping[str, str]) -> bool:
    return env.get("ENVIRONMENT", "").strip() == "production"


def find_unknown_environment(env: Mapping[str, str]) -> Iterator[str]:
    """A misspelt ENVIRONMENT would switch every check off."""
    given = env.get("ENVIRONMENT", "").strip()
    if given and given not in ENVIRONMENTS:
        yield f"ENVIRONMENT must be one of {', '.join(ENVIRONMENTS)}"


def find_unsafe_settings(env: Mapping[str, str]) -> list[str]:
    """One line for each setting that is unsafe in production; empty means go ahead.

    Asks the database about its role only when the settings themselves are in order.
    """
    found = [line for check in SETTING_CHECKS for line in check(env)]
    return found or list(_check_database_role(env))


def _check_secrets(env: Mapping[str, str]) -> Iterator[str]:
    for name in ("KEY_PEPPER", "SECRET_KEY"):
        value = env.get(name, "").strip()
        if not value:
            yield f"{name} is not set"
        elif value in (DEVELOPMENT_PEPPER, DEVELOPMENT_SECRET):
            yield f"{name} is the development default"
        elif len(value) < SECRET_LENGTH_MIN:
            yield f"{name} must have at least {SECRET_LENGTH_MIN} characters"
        elif len(set(value)) < DISTINCT_CHARACTERS_MIN:
            yield f"{name} is too regular; generate it at random"
    pepper = env.get("KEY_PEPPER", "").strip()
    if pepper and pepper == env.get("SECRET_KEY", "").strip():
        yield "KEY_PEPPER and SECRET_KEY must differ"


def _check_debug(env: Mapping[str, str]) -> Iterator[str]:
    if env.get("DEBUG", "").strip().lower() in TRUE_WORDS:
        yield "DEBUG must be off: error pages would show source and settings"


def _check_public_url(env: Mapping[str, str]) -> Iterator[str]:
    url = urlsplit(env.get("PUBLIC_URL", "").strip())
    if not url.hostname:
        yield "PUBLIC_URL is not set"
        return
    if url.scheme != "https":
        yield "PUBLIC_URL must begin with https://"
    if url.hostname == "localhost" or _is_loopback(url.hostname):
        yield "PUBLIC_URL names this machine only; it must be the address that callers use"
    if url.username or url.password or url.query or url.fragment or url.path not in ("", "/"):
        yield "PUBLIC_URL must be scheme and host only"


def _check_database_urls(env: Mapping[str, str]) -> Iterator[str]:
    url, owner_url = env.get("DATABASE_URL", "").strip(), env.get("DATABASE_OWNER_URL", "").strip()
    if not url:
        yield "DATABASE_URL is not set; the embedded database is for development"
        return
    if not owner_url:
        yield "DATABASE_OWNER_URL is not set: migrations need the role that owns the tables, the program another"
    elif unquote(urlsplit(url).username or "") == unquote(urlsplit(owner_url).username or ""):
        yield "DATABASE_URL and DATABASE_OWNER_URL name the same role; the program must not own its tables"
    if unquote(urlsplit(url).username or "") == "postgres":
        yield "DATABASE_URL uses the role postgres, a superuser by custom"
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
        yield from _check_password(name, env)


def _check_redis_url(env: Mapping[str, str]) -> Iterator[str]:
    if not env.get("REDIS_URL", "").strip():
        yield "REDIS_URL is not set; the embedded Redis is for development"
    else:
        yield from _check_password("REDIS_URL", env)


def _check_password(name: str, env: Mapping[str, str]) -> Iterator[str]:
    url = urlsplit(env.get(name, "").strip())
    if not url.scheme:
        return
    password = unquote(url.password or "") or "".join(parse_qs(url.query).get("password", []))
    if password.lower() in WELL_KNOWN_PASSWORDS or password == unquote(url.username or ""):
        yield f"{name} has no password, or a well-known one"


def _check_qdrant(env: Mapping[str, str]) -> Iterator[str]:
    url = urlsplit(env.get("QDRANT_URL", "").strip())
    if not url.scheme:
        return
    if not env.get("QDRANT_API_KEY", "").strip():
        yield "QDRANT_URL is set without QDRANT_API_KEY: that server answers anybody"
    if url.scheme == "http" and not _is_private(url):
        yield "QDRANT_URL must be https:// beyond a private network: the key would travel in the clear"


def _check_generator(env: Mapping[str, str]) -> Iterator[str]:
    url = urlsplit(env.get("GENERATOR_URL", "").strip())
    if not env.get("GENERATOR_URL", "").strip():
        return
    if url.scheme not in ("http", "https") or not url.hostname:
        yield "GENERATOR_URL must be an address that begins with http:// or https://"
    elif url.scheme == "http" and not _is_private(url):
        yield "GENERATOR_URL must be https:// beyond a private network: passages would travel in the clear"
    if url.username or url.password or url.query or url.fragment:
        yield "GENERATOR_URL must be an address only; its key belongs into GENERATOR_KEY"
    if not env.get("GENERATOR_MODEL", "").strip():
        yield "GENERATOR_URL is set without GENERATOR_MODEL: name the model that shall answer"


def _check_trusted_proxies(env: Mapping[str, str]) -> Iterator[str]:
    for given in env.get("TRUSTED_PROXIES", "").split(","):
        proxy = given.strip()
        if not proxy:
            continue
        try:
            network = ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            yield "TRUSTED_PROXIES must be addresses or networks, without wildcards or names"
            return
        if network.prefixlen < (8 if network.version == 4 else 16):
            yield "TRUSTED_PROXIES trusts a network so wide that any caller could forge its address"
            return


def _check_data_dir(env: Mapping[str, str]) -> Iterator[str]:
    data_dir = Path(env.get("DATA_DIR", "").strip() or ".data")
    with suppress(OSError):
        if data_dir.stat().st_mode & stat.S_IWOTH:
            yield "DATA_DIR can be written by everybody"
    with suppress(OSError):
        if (data_dir / "secrets.json").stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield "DATA_DIR/secrets.json can be read by others than its owner"


def _check_host(env: Mapping[str, str]) -> Iterator[str]:
    """A listener beyond loopback is meant to stand behind a proxy, which alone says who calls."""
    host = env.get("HOST", "").strip() or "127.0.0.1"
    if host != "localhost" and not _is_loopback(host) and not env.get("TRUSTED_PROXIES", "").strip():
        yield "HOST listens beyond this machine without TRUSTED_PROXIES: name the proxy that ends https"


def _check_database_role(env: Mapping[str, str]) -> Iterator[str]:
    """What the catalogue says of the role, whatever its name promises."""
    try:
        with psycopg.connect(env["DATABASE_URL"].strip(), connect_timeout=CONNECT_SECONDS) as connection:
            row = connection.execute(ROLE_QUERY).fetchone()
    except (psycopg.Error, ValueError) as error:
        yield f"DATABASE_URL cannot be used: {type(error).__name__}"
        return
    assert row is not None
    is_superuser, bypasses, owns_tables, owns_database, can_become_owner, can_make_roles = row
    if is_superuser:
        yield "DATABASE_URL connects as a superuser, which no row-level security binds"
    if bypasses:
        yield "DATABASE_URL connects as a role with BYPASSRLS"
    if owns_tables:
        yield "DATABASE_URL connects as the owner of tables; it must own nothing"
    if owns_database:
        yield "DATABASE_URL connects as the owner of the database; it must own nothing"
    if can_become_owner and not is_superuser:
        yield "DATABASE_URL connects as a member of a role that owns tables or has BYPASSRLS"
    if can_make_roles and not is_superuser:
        yield "DATABASE_URL connects as a role that may make roles or databases"


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _is_private(url: SplitResult) -> bool:
    """A name without a dot resolves inside a private network only."""
    host = url.hostname or ""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_private
    return "." not in host


SETTING_CHECKS: tuple[Callable[[Mapping[str, str]], Iterator[str]], ...] = (
    _check_secrets,
    _check_debug,
    _check_public_url,
    _check_database_urls,
    _check_redis_url,
    _check_qdrant,
    _check_generator,
    _check_trusted_proxies,
    _check_data_dir,
    _check_host,
)

ROLE_QUERY = """
SELECT me.rolsuper,
       me.rolbypassrls,
       EXISTS (SELECT FROM pg_class t WHERE t.relowner = me.oid AND t.relkind IN ('r', 'p')),
       EXISTS (SELECT FROM pg_database d WHERE d.datdba = me.oid AND d.datname = current_database()),
       EXISTS (
           SELECT FROM pg_roles other
           WHERE other.oid <> me.oid AND pg_has_role(me.oid, other.oid, 'MEMBER')
             AND (other.rolsuper OR other.rolbypassrls OR EXISTS (
                 SELECT FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
                 WHERE t.relowner = other.oid AND n.nspname = 'public'))
       ),
       me.rolcreaterole OR me.rolcreatedb
FROM pg_roles me
WHERE me.rolname = current_user
"""
