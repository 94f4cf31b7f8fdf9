"""The schemas of the OpenAPI document: every body and answer by its public name, each field described."""

from collections.abc import Sequence
from typing import Any, cast

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.field_descriptions import COMMON_FIELDS, FIELDS
from api.operations import Operation
from ontology.nearest_names import NEAREST_MAX
from ontology.pagination import TOTAL_MAX
from ontology.vocabulary import CONNECTION_TYPES, FEATURE_SETS, GROUP_TYPES, THING_TYPES

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "A refusal (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "requestId", "errors", "troubleshoot"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "The page about this code."},
        "title": {"type": "string", "description": "What happened, the same for every refusal of this code."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What to do next."},
        "code": {"type": "string", "description": "What a program tells refusals apart by."},
        "requestId": {"type": "string", "description": "The id of this call, to search for or to report."},
        "errors": {
            "type": "array",
            "description": "Each place of the request that has to change; empty if none has.",
            "items": {
                "type": "object",
                "required": ["location", "message", "fix"],
                "additionalProperties": False,
                "properties": {
                    "location": {"type": "string", "description": "Where.", "examples": ["body.name"]},
                    "message": {"type": "string", "description": "What is wrong there."},
                    "fix": {"type": "string", "description": "What would be right."},
                    "did_you_mean": {
                        "type": "array",
                        "description": "The valid names or values nearest to the one sent, the likeliest first; "
                        "absent where none is near.",
                        "items": {"type": "string"},
                        "minItems": 1,
                        "maxItems": NEAREST_MAX,
                        "examples": [["course", "creator"]],
                    },
                },
            },
        },
        "troubleshoot": {"type": "string", "format": "uri", "description": "A page that explains this very call."},
        "next": {
            "type": "array",
            "description": "The operations that help further; absent where none is known.",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["operationId", "reference"],
                "additionalProperties": False,
                "properties": {
                    "operationId": {"type": "string", "description": "The operation.", "examples": ["createApiKey"]},
                    "reference": {"type": "string", "format": "uri", "description": "The page where it is tried."},
                },
            },
        },
    },
}


def refer_to(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name_schema(model)}"}


def name_schema(model: type[BaseModel]) -> str:
    """The contract's names: things are entities there, and nowhere else."""
    name = model.__name__.removesuffix("Fields")
    return name.replace("Thing", "Entity").replace("Knowledge", "Document")


def build_schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    bodies = {about.body for about in operations if about.body is not None}
    answers = {about.answer for about in operations if about.answer is not None}
    wanted = [(model, "validation") for model in bodies] + [(model, "serialization") for model in answers]
    wanted.sort(key=lambda pair: pair[0].__name__)
    mapping, definitions = models_json_schema(wanted, by_alias=True)  # pyright: ignore[reportArgumentType]
    names: dict[str, str] = {
        str(reference["$ref"]).rsplit("/", 1)[1]: name_schema(cast("type[BaseModel]", model))
        for (model, _), reference in mapping.items()
    }
    defined: dict[str, Any] = definitions.get("$defs", {})
    schemas = {names.get(name, name): _rename(schema, names) for name, schema in defined.items()}
    _close_vocabulary(schemas)
    schemas["Problem"] = _PROBLEM
    schemas["Pagination"] = {
        "type": "object",
        "description": "Where the list goes on.",
        "required": ["nextCursor", "hasMore"],
        "properties": {
            "nextCursor": {"type": ["string", "null"], "description": "Send it as `cursor` for the next page."},
            "hasMore": {"type": "boolean"},
            "totalCount": {
                "type": "integer",
                "description": "Rows of all pages together, where asked for; "
                f"{TOTAL_MAX} if there are that many or more.",
            },
        },
    }
    _describe_fields(schemas)
    return dict(sorted(schemas.items()))


def _rename(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        items: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        renamed = {key: _rename(item, names) for key, item in items.items()}
        if isinstance(renamed.get("$ref"), str):
            name = renamed["$ref"].rsplit("/", 1)[1]
            renamed["$ref"] = f"#/components/schemas/{names.get(name, name)}"
        if isinstance(renamed.get("title"), str):
            renamed.pop("title")
        return renamed
    if isinstance(value, list):
        return [_rename(item, names) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


def _close_vocabulary(schemas: dict[str, Any]) -> None:
    """The types a request may name are closed sets, which the vocabulary knows and the input models do not."""
    generic = [name for name, kind in THING_TYPES.items() if not kind.is_managed]
    for name in ("EntityCreate", "BatchCreate"):
        schemas[name]["properties"]["type"]["enum"] = generic
    relations = [name for name, kind in CONNECTION_TYPES.items() if not kind.is_managed]
    schemas["ConnectionCreate"]["properties"]["relationshipType"]["enum"] = relations
    schemas["FeaturesUpdate"]["properties"]["features"]["propertyNames"] = {"enum": list(FEATURE_SETS)}
    schemas["GroupCreate"]["properties"]["type"]["enum"] = list(GROUP_TYPES)


def _describe_fields(schemas: dict[str, Any]) -> None:
    """Where a field does not say itself what it means. One that is a reference is described where that leads."""
    for name, schema in schemas.items():
        for field, about in schema.get("properties", {}).items():
            text = FIELDS.get(f"{name}.{field}") or COMMON_FIELDS.get(field)
            if text and "$ref" not in about:
                about.setdefault("description", text)
