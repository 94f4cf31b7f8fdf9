"""The floor: what the web framework and server cost without any program. All shares are shares of its requests."""

from litestar import Litestar, get


@get("/floor")
async def floor() -> dict[str, str]:
    """As little as a handler can do."""
    return {"status": "ok"}


def create_app() -> Litestar:
    """With nothing that the framework does not do by itself."""
    return Litestar([floor], openapi_config=None, logging_config=None)
