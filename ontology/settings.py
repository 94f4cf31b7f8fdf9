"""Settings by environment, read once at start; `.env.example` documents each with its unit."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Keys and cursors made with these are worthless; `python -m portal check` refuses them in production.
DEVELOPMENT_PEPPER = "development-pepper-not-for-production"
DEVELOPMENT_SECRET = "development-secret-not-for-production"  # noqa: S105 - refused in production
UNIX_SOCKET_PATH_MAX = 100
TRUE_WORDS = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the program was started with; never changes while it runs."""

    environment: str = "development"
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = "http://127.0.0.1:8000"
    data_dir: Path = Path(".data")
    web_processes: int = 1
    database_url: str = ""
    database_owner_url: str = ""
    database_pool_size: int = 10
    redis_url: str = ""
    qdrant_url: str = ""
    qdrant_api_key: str = ""
    knowledge_socket: Path = Path(".data/knowledge.sock")
    key_pepper: str = DEVELOPMENT_PEPPER
    secret_key: str = DEVELOPMENT_SECRET
    embedding_model: str = ""
    generator_url: str = ""
    generator_model: str = ""
    generator_key: str = ""
    generator_seconds: int = 20
    trusted_proxies: tuple[str, ...] = ()
    github_public_keys: Path | None = None
    debug: bool = False
    log_level: str = "info"

    @property
    def is_production(self) -> bool:
        return self.environment == "production"

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """Read every setting; an empty variable counts as absent.

        Raises:
            ValueError: a number is not a number; the message names the variable.
        """

        def text(name: str, default: str) -> str:
            return env.get(name, "").strip() or default

        def number(name: str, default: int, lowest: int, highest: int) -> int:
            given = text(name, str(default))
            if not (given.isascii() and given.isdigit() and lowest <= int(given) <= highest):
                raise ValueError(f"{name} must be a whole number from {lowest} to {highest}, not {given!r}")
            return int(given)

        port = number("PORT", 8000, 1, 65535)
        data_dir = Path(text("DATA_DIR", ".data")).absolute()
        return cls(
            environment=text("ENVIRONMENT", "development"),
            host=text("HOST", "127.0.0.1"),
            port=port,
            public_url=text("PUBLIC_URL", f"http://127.0.0.1:{port}").rstrip("/"),
            data_dir=data_dir,
            web_processes=number("WEB_PROCESSES", 1, 1, 64),
            database_url=text("DATABASE_URL", ""),
            database_owner_url=text("DATABASE_OWNER_URL", text("DATABASE_URL", "")),
            database_pool_size=number("DATABASE_POOL_SIZE", 10, 1, 200),
            redis_url=text("REDIS_URL", ""),
            qdrant_url=text("QDRANT_URL", ""),
            qdrant_api_key=text("QDRANT_API_KEY", ""),
            knowledge_socket=Path(text("KNOWLEDGE_SOCKET", str(data_dir / "knowledge.sock"))),
            key_pepper=text("KEY_PEPPER", DEVELOPMENT_PEPPER),
            secret_key=text("SECRET_KEY", DEVELOPMENT_SECRET),
            embedding_model=text("EMBEDDING_MODEL", ""),
            generator_url=text("GENERATOR_URL", "").rstrip("/"),
            generator_model=text("GENERATOR_MODEL", ""),
            generator_key=text("GENERATOR_KEY", ""),
            generator_seconds=number("GENERATOR_SECONDS", 20, 1, 120),
            trusted_proxies=tuple(p.strip() for p in text("TRUSTED_PROXIES", "").split(",") if p.strip()),
            github_public_keys=Path(text("GITHUB_PUBLIC_KEYS", "")) if text("GITHUB_PUBLIC_KEYS", "") else None,
            debug=text("DEBUG", "").lower() in TRUE_WORDS,
            log_level=text("LOG_LEVEL", "info").lower(),
        )
