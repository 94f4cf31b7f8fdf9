"""Query parameters and path ids: each named once, each checked, none ignored."""

from typing import Annotated, Any
from urllib.parse import parse_qsl
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ontology.errors import Flaw, InvalidId, InvalidRequest
from ontology.ids import decode_id
from ontology.pagination import CURSOR_LENGTH_MAX, LIMIT_DEFAULT, LIMIT_MAX
from ontology.records import Record

PARAMETERS_MAX = 50


def _read_integer(value: Any) -> Any:
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) < 19):
            raise PydanticCustomError("integer", "must be a whole number")
        return int(value)
    return value


def _read_boolean(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise PydanticCustomError("boolean", "must be `true` or `false`")
        return value == "true"
    return value


QueryInteger = Annotated[int, BeforeValidator(_read_integer)]
QueryBoolean = Annotated[bool, BeforeValidator(_read_boolean), WithJsonSchema({"type": "boolean"})]
QueryText = Annotated[str, Field(min_length=1, max_length=200)]


class NoQuery(Record):
    """An operation without query parameters."""

    model_config = ConfigDict(extra="forbid")  # pyright: ignore[reportAssignmentType]


class Query(Record):
    """Base of an operation's query parameters; an unknown one is an error."""

    model_config = ConfigDict(  # pyright: ignore[reportAssignmentType]
        alias_generator=Record.model_config.get("alias_generator"), populate_by_name=False, extra="forbid"
    )


class DryRunQuery(Query):
    """A write that can be tried first."""

    dry_run: Annotated[QueryBoolean, Field(description="Check everything, answer what would be, change nothing.")] = (
        False
    )


class PageQuery(Query):
    """A list's page."""

    limit: Annotated[QueryInteger, Field(ge=1, le=LIMIT_MAX, description="Rows in the page.")] = LIMIT_DEFAULT
    cursor: (
        Annotated[str, Field(max_length=CURSOR_LENGTH_MAX, description="`nextCursor` of the page before.")] | None
    ) = None


def parse_query(text: bytes) -> dict[str, str]:
    """Names and values of a query string.

    Raises:
        InvalidRequest: a repeated name, bytes that are not UTF-8, or a NUL.
    """
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARAMETERS_MAX)
    except UnicodeDecodeError:
        raise InvalidRequest(flaws=[Flaw("query", "is not UTF-8", "percent-encode UTF-8 bytes")]) from None
    except ValueError:
        flaw = Flaw("query", f"has more than {PARAMETERS_MAX} parameters", "send fewer")
        raise InvalidRequest(flaws=[flaw]) from None
    found: dict[str, str] = {}
    for name, value in pairs:
        place = f"query.{name[:60]}"
        if name in found:
            raise InvalidRequest(flaws=[Flaw(place, "stands twice", "send each parameter once")])
        if "\x00" in name or "\x00" in value:
            raise InvalidRequest(flaws=[Flaw(place.replace("\x00", ""), "holds a NUL character", "leave it out")])
        found[name] = value
    return found


def parse_path_id(name: str, kind: str, value: str) -> UUID:
    """Raises: InvalidId when malformed or of another kind."""
    try:
        return decode_id(value, kind)[1]
    except ValueError as error:
        raise InvalidId(flaws=[Flaw(f"path.{name}", str(error), "use an id exactly as the API returned it")]) from None
