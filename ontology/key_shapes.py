"""The forms of an API key: what a caller sends, what it is shown, and when the key was last used.

The key itself is a thing of type `api_key`; its HMAC lies in a table no door returns (`ontology/key_secrets.py`).
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator
from pydantic import Field as PydanticField
from sqlalchemy import BigInteger, ForeignKeyConstraint, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from ontology.addresses import normalise_origin, parse_network
from ontology.ids import GroupId, ThingId, decode_id
from ontology.key_bounds import find_end
from ontology.records import WHOLE, Input, Moment, Record, TenantRow, Timestamp, parse_moment, to_epoch_ms
from ontology.scopes import Preset, Scope
from ontology.thing_rows import Status, Thing

ALLOWED_MAX = 50


class KeyUse(TenantRow, table=True):
    """When and from where a key was last used, and how often; the worker writes it from the request log.

    `day_calls` has its calls by day (UTC), as `{"2026-11-27": 12}`, of the 31 days up to the newest.
    """

    __tablename__ = "api_key_uses"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        ForeignKeyConstraint(["org_id", "group_id"], ["groups.org_id", "groups.id"]),
        ForeignKeyConstraint(["org_id", "key_id"], ["things.org_id", "things.id"]),
    )
    key_id: UUID = Field(primary_key=True, sa_type=Uuid)
    group_id: UUID = Field(sa_type=Uuid)
    last_used_at: datetime = Field(sa_type=Timestamp)
    last_used_ip: str | None = Field(default=None, sa_type=Text)
    last_used_agent: str | None = Field(default=None, sa_type=Text)
    requests: int = Field(default=0, sa_type=BigInteger)
    day_calls: dict[str, int] = Field(default_factory=dict, sa_type=JSONB, sa_column_kwargs={"server_default": "{}"})


def _check_network(text: str) -> str:
    return str(parse_network(text))


AllowedAddresses = Annotated[
    list[Annotated[str, PydanticField(min_length=2, max_length=50), AfterValidator(_check_network)]],
    PydanticField(min_length=1, max_length=ALLOWED_MAX, examples=[["203.0.113.0/24", "2001:db8::/48"]]),
]


AllowedOrigins = Annotated[
    list[Annotated[str, PydanticField(min_length=8, max_length=300), AfterValidator(normalise_origin)]],
    PydanticField(min_length=1, max_length=ALLOWED_MAX, examples=[["https://app.example.com"]]),
]


KeyName = Annotated[str, PydanticField(min_length=1, max_length=200, pattern=r"\S", examples=["Dashboard"])]


ScopeList = Annotated[
    list[Annotated[Scope, PydanticField(strict=False)]], PydanticField(min_length=1, max_length=len(Scope))
]


class RateLimit(Input):
    """A key's own limits, within the plan's."""

    requests_per_minute: Annotated[int, PydanticField(ge=1, le=1_000_000, examples=[30]), WHOLE]
    requests_per_day: Annotated[int, PydanticField(ge=1, le=100_000_000, examples=[5000]), WHOLE]


class ApiKeyCreate(Input):
    """A key to create: never wider than the key that creates it, in scope, group, limits or life."""

    name: KeyName
    scopes: ScopeList | None = PydanticField(
        default=None,
        description="What it may do; give these or a preset.",
        examples=[["entities:read", "events:read"]],
    )
    preset: Annotated[Preset, PydanticField(strict=False)] | None = PydanticField(
        default=None, description="A named set of scopes instead of a list."
    )
    group_id: GroupId | None = PydanticField(
        default=None,
        description="The group it reaches from; else the application's, if one is named, or the creating key's own.",
    )
    expires_at: Moment | None = PydanticField(default=None, description="When it stops working.")
    rate_limit: RateLimit | None = PydanticField(default=None, description="Its own limits, within the plan's.")
    application_id: ThingId | None = PydanticField(
        default=None, description="The application it belongs to; else that of the creating key."
    )
    allowed_addresses: AllowedAddresses | None = PydanticField(
        default=None, description="The only addresses and networks (CIDR) it works from; else it works from anywhere."
    )
    allowed_origins: AllowedOrigins | None = PydanticField(
        default=None,
        description="The only values of the header `Origin` it works with. Browsers set it; programs can set any.",
    )


class ApiKeyUpdate(Input):
    """A JSON Merge Patch (RFC 7396): what is absent stays, what may be null is taken away by null."""

    name: KeyName | None = PydanticField(default=None, description="Its new name; it always has one.")
    scopes: ScopeList | None = PydanticField(
        default=None, description="Fewer scopes than it has now; a key never gains one."
    )
    rate_limit: RateLimit | None = PydanticField(
        default=None, description="Its own limits, within the plan's; null leaves only the plan's."
    )
    allowed_addresses: AllowedAddresses | None = PydanticField(
        default=None, description="The only addresses and networks (CIDR) it works from; null allows all."
    )
    allowed_origins: AllowedOrigins | None = PydanticField(
        default=None, description="The only values of the header `Origin` it works with; null allows all."
    )


class ApiKey(Record):
    """The public form of a key; its last use is the worker's to write."""

    shows_more_than_its_row: ClassVar[bool] = True
    id: ThingId = PydanticField(serialization_alias="_id")
    group_id: GroupId
    application_id: ThingId | None
    name: str
    prefix: str
    scopes: list[str]
    rate_limit: dict[str, int] | None
    allowed_addresses: list[str] | None
    allowed_origins: list[str] | None
    status: str
    expires_at: Moment | None
    rotating_until: Moment | None
    replaced_by: ThingId | None
    last_used_at: Moment | None
    last_used_ip: str | None
    last_used_agent: str | None
    created_at: Moment
    updated_at: Moment = PydanticField(exclude=True)
    revoked_at: Moment | None
    revoked_reason: str | None
    created_by: str


class NewApiKey(ApiKey):
    """A key just created: the only time its text is shown."""

    key: str


def describe_key(key: Thing, use: KeyUse | None, now: datetime) -> ApiKey:
    """The public form; its end is computed here, not stored."""
    properties = key.properties
    application, successor = properties.get("applicationId"), properties.get("replacedBy")
    return ApiKey.model_construct(
        id=key.id,
        group_id=key.group_id,
        application_id=decode_id(application)[1] if application else None,
        name=key.name,
        prefix=properties["prefix"],
        scopes=properties["scopes"],
        rate_limit=properties.get("rateLimit"),
        allowed_addresses=properties.get("allowedAddresses"),
        allowed_origins=properties.get("allowedOrigins"),
        status=describe_status(key.status, properties, now),
        expires_at=_read_moment(properties, "expiresAt"),
        rotating_until=_read_moment(properties, "rotatingUntil"),
        replaced_by=decode_id(successor)[1] if successor else None,
        last_used_at=use.last_used_at if use else None,
        last_used_ip=use.last_used_ip if use else None,
        last_used_agent=use.last_used_agent if use else None,
        created_at=key.created_at,
        updated_at=key.updated_at,
        revoked_at=_read_moment(properties, "revokedAt"),
        revoked_reason=properties.get("revokedReason"),
        created_by=key.created_by,
    )


def describe_status(status: str, properties: Mapping[str, Any], now: datetime) -> str:
    """A key's state as its thing's state and its ends make it."""
    end = find_end(properties)
    if status != Status.ACTIVE:
        return "revoked"
    if end is not None and end <= to_epoch_ms(now):
        return "expired"
    return "rotating" if properties.get("replacedBy") else "active"


def _read_moment(properties: Mapping[str, Any], name: str) -> datetime | None:
    value = properties.get(name)
    return parse_moment(value) if value else None
