"""What other organisations have stored, written straight to the tables, each behind its own wall."""

from dataclasses import dataclass

import psycopg

from benchmarks.program import RunningProgram


@dataclass(frozen=True)
class Others:
    """How many there are, and what they store together; each thing has an event."""

    organisations: int
    things: int
    keys: int
    calls: int


def store_others(program: RunningProgram, others: Others) -> None:
    """Store it, a hundred organisations to a transaction, and have Postgres count its rows."""
    share = {
        "things": others.things // others.organisations,
        "keys": others.keys // others.organisations,
        "calls": others.calls // others.organisations,
    }
    url = program.installation.settings.database_owner_url
    with psycopg.connect(url, autocommit=True) as connection:
        for number in range(others.organisations):
            with connection.transaction():
                org_id = connection.execute("SELECT uuidv7()").fetchone()
                assert org_id is not None
                values = share | {"org": org_id[0], "number": number}
                connection.execute(
                    "SELECT set_config('app.org_id', %(org)s::text, true), set_config('app.group_id', %(org)s::text, "
                    "true), set_config('app.duty', 'request_log', true), set_config('synchronous_commit', 'off', true)",
                    values,
                )
                for statement in _STATEMENTS:
                    connection.execute(statement, values)
        connection.execute("VACUUM ANALYZE")


_GROUP = b"""
INSERT INTO groups
    (org_id, id, slug, name, type, metadata, settings, status, created_at, updated_at, created_by, handle, plan)
VALUES (%(org)s, %(org)s, 'other', 'Other ' || %(number)s, 'organization', '{}', '{}', 'active', now(), now(), 'other',
    'other-' || %(number)s, 'pro')
"""
_CLOSURE = (
    b"INSERT INTO group_closure (org_id, ancestor_id, descendant_id, depth) VALUES (%(org)s, %(org)s, %(org)s, 0)"
)
_THINGS = b"""
INSERT INTO things
    (org_id, id, group_id, type, name, properties, status, created_at, updated_at, deleted_at, created_by)
SELECT %(org)s, uuidv7(), %(org)s, (ARRAY['course', 'lesson', 'video', 'podcast', 'blog_post'])[n %% 5 + 1],
    'Thing number ' || n, jsonb_build_object('title', 'Thing number ' || n, 'price', n %% 100, 'currency', 'EUR'),
    (ARRAY['draft', 'active', 'published'])[n %% 3 + 1], now(), now(), CASE WHEN n %% 10 = 7 THEN now() END, 'other'
FROM generate_series(1, %(things)s) AS n
"""
_EVENTS = b"""
INSERT INTO events (org_id, id, group_id, type, actor_id, target_id, timestamp, metadata, request_id)
SELECT %(org)s, uuidv7(), %(org)s, 'thing_created', 'other', 'thing_' || n, now(), '{"thingType": "course"}',
    'req_' || n
FROM generate_series(1, %(things)s) AS n
"""
_KEYS = b"""
WITH made AS (
    INSERT INTO things
        (org_id, id, group_id, type, name, properties, status, created_at, updated_at, created_by)
    SELECT %(org)s, uuidv7(), %(org)s, 'api_key', 'Key ' || n, '{"scopes": ["read"]}', 'active', now(), now(), 'other'
    FROM generate_series(1, %(keys)s) AS n
    RETURNING id
)
INSERT INTO api_key_secrets (org_id, digest, group_id, key_id)
SELECT %(org)s, sha256(id::text::bytea), %(org)s, id FROM made
"""
_CALLS = b"""
INSERT INTO request_log (org_id, id, group_id, type, actor_id, target_id, timestamp, metadata, request_id)
SELECT %(org)s, uuidv7(at - now()), %(org)s, 'api_request_made', 'other', NULL, at,
    jsonb_build_object('endpoint', '/v1/entities', 'method', 'GET', 'statusCode', CASE WHEN n %% 20 = 0 THEN 404 ELSE
        200 END, 'latency', n %% 50, 'payloadSize', 900, 'ipAddress', '203.0.113.7', 'userAgent', 'other/1.0'),
    'req_' || n
FROM generate_series(1, %(calls)s) AS n, LATERAL (SELECT now() - n * interval '40 days' / %(calls)s AS at) AS moments
"""
_STATEMENTS = (_GROUP, _CLOSURE, _THINGS, _EVENTS, _KEYS, _CALLS)
