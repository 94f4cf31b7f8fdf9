"""Ids and rows the OpenAPI document shows as examples; one cast, so that they agree with one another."""

from typing import Any

_AT = 1_795_500_000_000
ORG = "group_01jd8kq3v5e9ra7t2m4xw6yz0c"
GROUP = "group_01jd8kt6x7f0sb8v3n5yz7a01d"
KEY = "thing_01jd8kq3wmk4n8p2r6t0v3x5z7"
ACCOUNT = "thing_01jd8kq3w0h2k6m9p3s7v1x4y8"
PERSON_ID = "person_01jd8kr5z9q2w4e6r8t0y2p4s6"
COURSE = "thing_01jd8m0a1c3e5g7j9m2p4r6t8v"
LESSON = "thing_01jd8m0b2d4f6h8k0n3q5s7v9x"
REQUEST = "req_0c3e5g7j9m2p4r6t8v1x3z5b"

WHOAMI: dict[str, Any] = {
    "organisation": {"_id": ORG, "name": "Riverside Academy", "handle": "k7m2x9q4ra", "plan": "starter"},
    "group": {"_id": ORG, "name": "Riverside Academy"},
    "key": {
        "_id": KEY,
        "name": "First key",
        "prefix": "gck4FxKW",
        "scopes": ["entities:read", "entities:write"],
        "expiresAt": None,
    },
    "actor": {"_id": ACCOUNT, "type": "service_account"},
}
FEATURES: dict[str, Any] = {
    "features": {
        "workflow": False,
        "blog": False,
        "courses": False,
        "portfolio": False,
        "shop": True,
        "community": False,
        "tokens": False,
        "contact": False,
    }
}
GROUP_CREATE: dict[str, Any] = {"name": "Evening school", "type": "business"}
GROUP_ROW: dict[str, Any] = {
    "_id": GROUP,
    "parentGroupId": ORG,
    "slug": "evening-school-4f1c2a",
    "name": "Evening school",
    "type": "business",
    "description": None,
    "metadata": {},
    "settings": {"visibility": "private", "joinPolicy": "invite_only"},
    "status": "active",
    "createdAt": _AT,
    "updatedAt": _AT,
    "archivedAt": None,
    "createdBy": ACCOUNT,
}
GROUP_UPDATE: dict[str, Any] = {"name": "Evening school at the river", "metadata": {"customerNumber": 4711}}
GROUP_STATISTICS: dict[str, Any] = {
    "groupId": GROUP,
    "subtree": True,
    "members": 3,
    "entities": 128,
    "connections": 240,
    "events": 1904,
    "knowledge": 12,
    "subGroups": 2,
}
PERSON: dict[str, Any] = {
    "_id": PERSON_ID,
    "groupId": ORG,
    "name": "Grace Hopper",
    "email": "grace@example.com",
    "role": "customer",
    "status": "active",
    "createdAt": _AT,
    "updatedAt": _AT,
    "createdBy": PERSON_ID,
}
PERSON_UPDATE: dict[str, Any] = {"name": "Grace B. Hopper", "role": "org_user"}
MEMBERSHIP: dict[str, Any] = {
    "personId": PERSON_ID,
    "groupId": ORG,
    "role": "customer",
    "permissions": [],
    "joinedAt": _AT,
    "invitedBy": ACCOUNT,
}
INVITATION_CREATE: dict[str, Any] = {"email": "grace@example.com", "role": "org_user"}
INVITATION: dict[str, Any] = {
    "_id": "invitation_01jd8kr1b3d5f7h9k1n3q5s7v9",
    "groupId": ORG,
    "email": "grace@example.com",
    "role": "org_user",
    "createdAt": _AT,
    "expiresAt": _AT + 7 * 86_400_000,
    "acceptedAt": None,
    "cancelledAt": None,
    "createdBy": ACCOUNT,
    "status": "pending",
}
NEW_INVITATION: dict[str, Any] = INVITATION | {"link": "https://one.example.com/join#" + "…"}
ENTITY_CREATE: dict[str, Any] = {
    "type": "course",
    "name": "Introduction to Botany",
    "properties": {"title": "Introduction to Botany", "price": 49, "currency": "EUR"},
    "status": "published",
}
ENTITY_UPDATE: dict[str, Any] = {"properties": {"price": 39}}
ENTITY_REPLACE: dict[str, Any] = {
    "name": "Introduction to Botany",
    "properties": {"title": "Introduction to Botany", "price": 49, "currency": "EUR"},
    "status": "published",
}
ENTITY: dict[str, Any] = {
    "_id": COURSE,
    "groupId": ORG,
    "type": "course",
    "name": "Introduction to Botany",
    "properties": {"title": "Introduction to Botany", "price": 49, "currency": "EUR"},
    "status": "published",
    "createdAt": _AT,
    "updatedAt": _AT,
    "deletedAt": None,
    "createdBy": ACCOUNT,
}
ENTITY_BATCH: dict[str, Any] = {
    "items": [
        {"type": "lesson", "name": "Mosses"},
        {"type": "lesson", "name": "Ferns", "status": "published"},
    ],
    "atomic": True,
}
ENTITY_BATCH_RESULT: dict[str, Any] = {
    "data": [{"index": 0, "status": 201, "entity": ENTITY}],
    "summary": {"total": 1, "success": 1, "failed": 0},
}
CONNECTION_CREATE: dict[str, Any] = {"relationshipType": "part_of", "fromId": LESSON, "toId": COURSE}
CONNECTION_UPDATE: dict[str, Any] = {"metadata": {"order": 3}, "strength": 0.8}
CONNECTION: dict[str, Any] = {
    "_id": "connection_01jd8m3x4z6b8d0f2h5k7n9q1s",
    "groupId": ORG,
    "relationshipType": "part_of",
    "metadata": {},
    "strength": None,
    "validFrom": None,
    "validTo": None,
    "createdAt": _AT,
    "updatedAt": _AT,
    "deletedAt": None,
    "createdBy": ACCOUNT,
    "fromId": LESSON,
    "toId": COURSE,
}
TRAVERSAL: dict[str, Any] = {"startId": COURSE, "direction": "in", "relationshipTypes": ["part_of"], "depth": 3}
GRAPH: dict[str, Any] = {
    "nodes": [
        {"_id": COURSE, "kind": "thing", "depth": 0, "type": "course", "name": "Introduction to Botany"},
        {"_id": LESSON, "kind": "thing", "depth": 1, "type": "lesson", "name": "Mosses"},
    ],
    "edges": [
        {
            "_id": "connection_01jd8m3x4z6b8d0f2h5k7n9q1s",
            "relationshipType": "part_of",
            "fromId": LESSON,
            "toId": COURSE,
            "strength": None,
            "validFrom": None,
            "validTo": None,
        }
    ],
    "truncated": False,
}
EVENT: dict[str, Any] = {
    "_id": "event_01jd8m0a1ef5h7k9n2q4s6v8x0",
    "groupId": ORG,
    "type": "thing_created",
    "actorId": ACCOUNT,
    "targetId": COURSE,
    "timestamp": _AT,
    "metadata": {"thingType": "course", "entityName": "Introduction to Botany", "status": "published"},
    "requestId": REQUEST,
    "keyId": KEY,
}
EVENT_FIGURE: dict[str, Any] = {
    "key": "GET /v1/entities/{entityId}",
    "count": 1204,
    "calls": 1204,
    "latencyP50Ms": 3.41,
    "latencyP95Ms": 9.87,
}
EVENT_CREATE: dict[str, Any] = {
    "type": "course_enrolled",
    "metadata": {"courseId": COURSE, "source": "newsletter"},
}
CUSTOM_EVENT: dict[str, Any] = EVENT | {
    "_id": "event_01jd8m6b2ef5h7k9n2q4s6v8x0",
    "type": "course_enrolled",
    "targetId": None,
    "metadata": EVENT_CREATE["metadata"],
}
API_KEY_CREATE: dict[str, Any] = {"name": "Dashboard", "preset": "read-only"}
API_KEY_UPDATE: dict[str, Any] = {
    "name": "Dashboard in the office",
    "rateLimit": {"requestsPerMinute": 30, "requestsPerDay": 5000},
    "allowedAddresses": ["203.0.113.0/24"],
}
API_KEY: dict[str, Any] = {
    "_id": KEY,
    "groupId": ORG,
    "applicationId": "thing_01jd8kq3vzg1j5m8p2r6t9w3x7",
    "name": "Dashboard",
    "prefix": "gck4FxKW",
    "scopes": ["entities:read", "events:read", "quota:view"],
    "rateLimit": None,
    "allowedAddresses": None,
    "allowedOrigins": None,
    "status": "active",
    "expiresAt": None,
    "rotatingUntil": None,
    "replacedBy": None,
    "lastUsedAt": None,
    "lastUsedIp": None,
    "lastUsedAgent": None,
    "createdAt": _AT,
    "revokedAt": None,
    "revokedReason": None,
    "createdBy": ACCOUNT,
}
APPLICATION_CREATE: dict[str, Any] = {"name": "Web shop", "description": "Sells courses to visitors"}
APPLICATION_UPDATE: dict[str, Any] = {"description": "Sells courses and books to visitors"}
APPLICATION: dict[str, Any] = {
    "_id": "thing_01jd8kq3vzg1j5m8p2r6t9w3x7",
    "groupId": ORG,
    "name": "Web shop",
    "description": "Sells courses to visitors",
    "serviceAccountId": ACCOUNT,
    "status": "active",
    "createdAt": _AT,
    "updatedAt": _AT,
    "archivedAt": None,
    "createdBy": ACCOUNT,
}
ROTATION_CREATE: dict[str, Any] = {"graceHours": 48, "scopes": ["entities:read"]}
ROTATED_KEY: dict[str, Any] = {
    "scopes": ["entities:read"],
    "replaces": "thing_01jd8kq3x7p2s5v8y1b4e6h9k0",
    "oldKeyUntil": _AT + 172_800_000,
}
ROTATION: dict[str, Any] = {
    "oldKeyId": "thing_01jd8kq3x7p2s5v8y1b4e6h9k0",
    "newKeyId": KEY,
    "startedAt": _AT,
    "until": _AT + 172_800_000,
    "oldKeyStatus": "rotating",
    "usedSinceStart": True,
    "lastUsedAt": _AT + 60_000,
    "lastUsedIp": "203.0.113.9",
    "lastUsedAgent": "python-httpx/0.28.1",
}
LEAK_REPORT: dict[str, Any] = {
    "key": "org_k7m2x9q4ra_key_…",
    "url": "https://github.com/acme/shop/blob/main/.env",
}
LEAK: dict[str, Any] = {
    "keyId": KEY,
    "name": "Dashboard",
    "prefix": "gck4FxKW",
    "status": "revoked",
    "expiresAt": None,
    "revokedAt": _AT,
}
QUOTA: dict[str, Any] = {
    "plan": "starter",
    "limits": {
        "requestsPerMinute": 60,
        "requestsPerDay": 10000,
        "maxGroupsPerOrg": 10,
        "maxEntitiesPerGroup": 1000,
    },
    "usage": {"requestsThisMinute": 3, "requestsToday": 41, "groups": 2, "entities": 17},
}
USAGE: dict[str, Any] = {
    "total": 48210,
    "thisMonth": 9120,
    "last7Days": 2304,
    "figures": [
        {"key": "2026-11-26", "calls": 401, "errors": 3},
        {"key": "2026-11-27", "calls": 122, "errors": 0},
    ],
}
KEY_USAGE: dict[str, Any] = {
    "keyId": KEY,
    "groupId": ORG,
    "name": "Dashboard",
    "prefix": "gck4FxKW",
    "status": "active",
    "total": 48210,
    "thisMonth": 9120,
    "last7Days": 2304,
}
DOCUMENT_CREATE: dict[str, Any] = {
    "title": "Refund policy",
    "text": "# Refunds\n\nA course is refunded in full within 14 days.",
    "visibility": "subtree",
}
DOCUMENT: dict[str, Any] = {
    "_id": "knowledge_01jd8m5a6c8e0g3j5m7p9r2t4v",
    "groupId": ORG,
    "kind": "page",
    "title": "Refund policy",
    "format": "markdown",
    "externalId": None,
    "url": None,
    "visibility": "subtree",
    "labels": [],
    "version": 1,
    "createdAt": _AT,
    "updatedAt": _AT,
    "deletedAt": None,
    "createdBy": ACCOUNT,
    "specificationId": None,
    "status": "pending",
}
DOCUMENT_BATCH: dict[str, Any] = {
    "items": [
        {"title": "Refunds", "text": "# Refunds\n\nWithin 14 days.", "externalId": "handbook/refunds.md"},
    ]
}
DOCUMENT_BATCH_RESULT: dict[str, Any] = {
    "data": [{"index": 0, "status": 201, "change": "created", "document": DOCUMENT}],
    "summary": {"total": 1, "success": 1, "failed": 0},
}
UPLOAD_RESULT: dict[str, Any] = {
    "data": [
        {
            "name": "handbook/refunds.md",
            "status": 201,
            "change": "created",
            "document": DOCUMENT | {"externalId": "handbook/refunds.md"},
        }
    ],
    "summary": {"total": 1, "success": 1, "failed": 0},
}
SEARCH: dict[str, Any] = {"query": "my key stopped working", "limit": 3}
ASK: dict[str, Any] = {"question": "how do I rotate a key"}
HIT: dict[str, Any] = {
    "kind": "error",
    "documentId": "knowledge_01jd8kq4a6c8e0g3j5m7p9r2t4",
    "externalId": "errors/expired_api_key",
    "title": "The API key has expired",
    "headingPath": ["How to fix it"],
    "url": "/docs/errors/expired_api_key#how-to-fix-it",
    "text": "Create a new key on the keys page; an expired key cannot be extended.",
    "highlights": ["key"],
    "score": 0.912,
    "method": None,
    "path": None,
    "operationId": None,
}
LOGGED_SEARCH: dict[str, Any] = {
    "_id": "search_01jd8m4c1e3g5j7m9p1r3t5v7x",
    "groupId": GROUP,
    "actorId": PERSON_ID,
    "purpose": "search",
    "source": "portal",
    "query": "refund after the course has begun",
    "kinds": [],
    "hits": 10,
    "bestScore": 0.912,
    "found": True,
    "openedDocumentId": "knowledge_01jd8kq4a6c8e0g3j5m7p9r2t4",
    "openedRank": 1,
    "timestamp": _AT,
}
SEARCH_TERMS: dict[str, Any] = {
    "query": "gift vouchers",
    "searches": 14,
    "notFound": 14,
    "opened": 0,
    "people": 5,
    "bestScore": 0.874,
    "lastSearchedAt": _AT,
}
ANSWER: dict[str, Any] = {
    "answered": True,
    "method": "extracted",
    "text": "Create a new key on the keys page; an expired key cannot be extended. [1]",
    "parts": [
        {
            "kind": "sentence",
            "text": "Create a new key on the keys page; an expired key cannot be extended.",
            "language": None,
            "citations": [1],
            "related": False,
        }
    ],
    "citations": [
        {
            "number": 1,
            **{name: HIT[name] for name in ("kind", "documentId", "externalId", "title", "headingPath", "url", "text")},
        }
    ],
    "nearest": [],
    "request": None,
    "note": None,
}
TROUBLESHOOT: dict[str, Any] = {
    "message": "400 invalid_request: body.nmae is not known here",
    "request": {"method": "POST", "path": "/v1/entities", "body": {"type": "course", "nmae": "Botany"}},
}
DIAGNOSIS: dict[str, Any] = {
    "code": "invalid_request",
    "cause": "The request has invalid fields or parameters. Correct each place named in `errors`.",
    "errors": [],
    "call": None,
    "nearestSuccess": None,
    "differences": [],
    "operationId": "createEntity",
    "basis": "request",
    "patch": [{"op": "move", "from": "/body/nmae", "path": "/body/name"}],
    "request": {"method": "POST", "path": "/v1/entities", "query": {}, "body": {"type": "course", "name": "Botany"}},
    "curl": 'curl -sS -X POST "$ONE_URL"/v1/entities …',
    "data": [HIT],
    "note": None,
}
SUGGEST: dict[str, Any] = {"task": "enrol a learner in a course", "limit": 3}
SUGGESTIONS: dict[str, Any] = {
    "context": ["createEntity"],
    "data": [
        {
            "kind": "endpoint",
            "documentId": "knowledge_01jd8kq4a6c8e0g3j5m7p9r2t4",
            "externalId": "createConnection",
            "title": "Create a connection",
            "headingPath": [],
            "url": "/reference/createConnection",
            "text": "`POST /v1/connections`: connections.",
            "highlights": [],
            "score": 0.64,
            "method": "POST",
            "path": "/v1/connections",
            "operationId": "createConnection",
            "source": "others",
            "after": ["createEntity"],
            "parameters": [
                {
                    "place": "body",
                    "name": "fromId",
                    "type": "thing id or person id or group id",
                    "required": True,
                    "description": "A thing, a person, or for some types a group.",
                    "choices": [],
                    "recent": [{"id": "thing_01jd8kq3v5e9ra7t2m4xw6yz0c", "label": "Introduction to Botany"}],
                }
            ],
        }
    ],
}
TYPE: dict[str, Any] = {
    "name": "note",
    "dimension": "things",
    "category": "core_composition",
    "summary": "Short text",
    "policy": "generic",
    "feature": None,
    "enabled": True,
    "schema": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "note",
        "type": "object",
        "properties": {"content": {"type": ["string", "null"]}},
        "additionalProperties": True,
    },
    "count": 17,
}
