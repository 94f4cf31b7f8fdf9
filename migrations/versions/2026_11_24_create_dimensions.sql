CREATE TABLE events (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    group_id UUID NOT NULL,
    type TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    target_id TEXT,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    metadata JSONB NOT NULL,
    request_id TEXT,
    CONSTRAINT pk_events PRIMARY KEY (id)
);

CREATE INDEX ix_events_org_id_actor_id_id ON events (org_id, actor_id, id);

CREATE INDEX ix_events_org_id_group_id_id ON events (org_id, group_id, id);

CREATE INDEX ix_events_org_id_id ON events (org_id, id);

CREATE INDEX ix_events_org_id_request_id ON events (org_id, request_id);

CREATE INDEX ix_events_org_id_target_id_id ON events (org_id, target_id, id);

CREATE INDEX ix_events_org_id_type_id ON events (org_id, type, id);

CREATE TABLE group_closure (
    org_id UUID NOT NULL,
    ancestor_id UUID NOT NULL,
    descendant_id UUID NOT NULL,
    depth INTEGER NOT NULL,
    CONSTRAINT pk_group_closure PRIMARY KEY (org_id, ancestor_id, descendant_id)
);

CREATE TABLE groups (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    parent_group_id UUID,
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    type TEXT NOT NULL,
    description TEXT,
    metadata JSONB NOT NULL,
    settings JSONB NOT NULL,
    status TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    archived_at TIMESTAMP WITH TIME ZONE,
    created_by TEXT NOT NULL,
    handle TEXT,
    plan TEXT,
    custom_limits JSONB,
    CONSTRAINT pk_groups PRIMARY KEY (id),
    CONSTRAINT uq_groups_org_id_id UNIQUE (org_id, id),
    CONSTRAINT uq_groups_org_id_slug UNIQUE (org_id, slug),
    CONSTRAINT uq_groups_handle UNIQUE (handle),
    CONSTRAINT fk_groups_org_id_parent_group_id FOREIGN KEY(org_id, parent_group_id) REFERENCES groups (org_id, id)
);

CREATE INDEX ix_groups_org_id_parent_group_id_id ON groups (org_id, parent_group_id, id);

CREATE TABLE idempotency_records (
    org_id UUID NOT NULL,
    key_id UUID NOT NULL,
    idempotency_key TEXT NOT NULL,
    group_id UUID NOT NULL,
    fingerprint BYTEA NOT NULL,
    status INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    body BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_records PRIMARY KEY (org_id, key_id, idempotency_key)
);

CREATE INDEX ix_idempotency_records_created_at ON idempotency_records (created_at);

CREATE TABLE request_log (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    group_id UUID NOT NULL,
    type TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    target_id TEXT,
    timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
    metadata JSONB NOT NULL,
    request_id TEXT,
    CONSTRAINT pk_request_log PRIMARY KEY (id, timestamp)
)
 PARTITION BY RANGE (timestamp);

CREATE INDEX ix_request_log_org_id_id ON request_log (org_id, id);

CREATE INDEX ix_request_log_org_id_request_id ON request_log (org_id, request_id);

CREATE INDEX ix_request_log_org_id_target_id_id ON request_log (org_id, target_id, id);

CREATE TABLE knowledge_items (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    group_id UUID NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    format TEXT NOT NULL,
    external_id TEXT,
    url TEXT,
    visibility TEXT NOT NULL,
    labels TEXT[] NOT NULL,
    version INTEGER NOT NULL,
    indexed_version INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by TEXT NOT NULL,
    knowledge_type TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata JSONB NOT NULL,
    document_id UUID,
    position INTEGER,
    heading_path TEXT[] NOT NULL,
    anchor TEXT,
    content_hash TEXT,
    CONSTRAINT pk_knowledge_items PRIMARY KEY (id),
    CONSTRAINT fk_knowledge_items_org_id_group_id FOREIGN KEY(org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT ck_knowledge_items_visibility CHECK (visibility IN ('group', 'subtree', 'public')),
    CONSTRAINT ck_knowledge_items_knowledge_type CHECK (knowledge_type IN ('label', 'document', 'chunk', 'vector_only'))
);

CREATE INDEX ix_knowledge_items_document_id_position ON knowledge_items (document_id, position);

CREATE INDEX ix_knowledge_items_org_id_id ON knowledge_items (org_id, id);

CREATE INDEX ix_knowledge_items_pending ON knowledge_items (updated_at) WHERE knowledge_type = 'document' AND indexed_version < version;

CREATE UNIQUE INDEX uq_knowledge_items_org_id_group_id_external_id ON knowledge_items (org_id, group_id, external_id) WHERE knowledge_type = 'document' AND external_id IS NOT NULL AND deleted_at IS NULL;

CREATE TABLE people (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    group_id UUID NOT NULL,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_by TEXT NOT NULL,
    CONSTRAINT pk_people PRIMARY KEY (id),
    CONSTRAINT uq_people_org_id_id UNIQUE (org_id, id),
    CONSTRAINT uq_people_org_id_email UNIQUE (org_id, email),
    CONSTRAINT fk_people_org_id_group_id FOREIGN KEY(org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT ck_people_role CHECK (role IN ('platform_owner', 'org_owner', 'org_user', 'customer'))
);

CREATE TABLE things (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    group_id UUID NOT NULL,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    properties JSONB NOT NULL,
    status TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by TEXT NOT NULL,
    CONSTRAINT pk_things PRIMARY KEY (id),
    CONSTRAINT uq_things_org_id_id UNIQUE (org_id, id),
    CONSTRAINT fk_things_org_id_group_id FOREIGN KEY(org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT ck_things_status CHECK (status IN ('draft', 'active', 'inactive', 'published', 'archived'))
);

CREATE INDEX ix_things_org_id_group_id_id ON things (org_id, group_id, id);

CREATE INDEX ix_things_org_id_id ON things (org_id, id);

CREATE INDEX ix_things_org_id_type_id ON things (org_id, type, id);

CREATE TABLE accounts (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    org_id UUID NOT NULL,
    person_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_accounts PRIMARY KEY (id),
    CONSTRAINT uq_accounts_email UNIQUE (email),
    CONSTRAINT fk_accounts_org_id_person_id FOREIGN KEY(org_id, person_id) REFERENCES people (org_id, id)
);

CREATE TABLE api_key_secrets (
    org_id UUID NOT NULL,
    digest BYTEA NOT NULL,
    group_id UUID NOT NULL,
    key_id UUID NOT NULL,
    CONSTRAINT pk_api_key_secrets PRIMARY KEY (digest),
    CONSTRAINT fk_api_key_secrets_org_id_group_id FOREIGN KEY(org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT fk_api_key_secrets_org_id_key_id FOREIGN KEY(org_id, key_id) REFERENCES things (org_id, id)
);

CREATE INDEX ix_api_key_secrets_org_id_key_id ON api_key_secrets (org_id, key_id);

CREATE TABLE api_key_uses (
    org_id UUID NOT NULL,
    key_id UUID NOT NULL,
    group_id UUID NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE NOT NULL,
    last_used_ip TEXT,
    last_used_agent TEXT,
    requests INTEGER NOT NULL,
    CONSTRAINT pk_api_key_uses PRIMARY KEY (key_id),
    CONSTRAINT fk_api_key_uses_org_id_group_id FOREIGN KEY(org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT fk_api_key_uses_org_id_key_id FOREIGN KEY(org_id, key_id) REFERENCES things (org_id, id)
);

CREATE TABLE connections (
    org_id UUID NOT NULL,
    id UUID NOT NULL,
    group_id UUID NOT NULL,
    relationship_type TEXT NOT NULL,
    from_thing_id UUID,
    from_person_id UUID,
    from_group_id UUID,
    to_thing_id UUID,
    to_person_id UUID,
    to_group_id UUID,
    metadata JSONB NOT NULL,
    strength FLOAT,
    valid_from TIMESTAMP WITH TIME ZONE,
    valid_to TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by TEXT NOT NULL,
    CONSTRAINT pk_connections PRIMARY KEY (id),
    CONSTRAINT uq_connections_org_id_id UNIQUE (org_id, id),
    CONSTRAINT fk_connections_org_id_group_id FOREIGN KEY(org_id, group_id) REFERENCES groups (org_id, id),
    CONSTRAINT fk_connections_org_id_from_thing_id FOREIGN KEY(org_id, from_thing_id) REFERENCES things (org_id, id),
    CONSTRAINT fk_connections_org_id_from_person_id FOREIGN KEY(org_id, from_person_id) REFERENCES people (org_id, id),
    CONSTRAINT fk_connections_org_id_from_group_id FOREIGN KEY(org_id, from_group_id) REFERENCES groups (org_id, id),
    CONSTRAINT fk_connections_org_id_to_thing_id FOREIGN KEY(org_id, to_thing_id) REFERENCES things (org_id, id),
    CONSTRAINT fk_connections_org_id_to_person_id FOREIGN KEY(org_id, to_person_id) REFERENCES people (org_id, id),
    CONSTRAINT fk_connections_org_id_to_group_id FOREIGN KEY(org_id, to_group_id) REFERENCES groups (org_id, id),
    CONSTRAINT ck_connections_one_from CHECK (num_nonnulls(from_thing_id, from_person_id, from_group_id) = 1),
    CONSTRAINT ck_connections_one_to CHECK (num_nonnulls(to_thing_id, to_person_id, to_group_id) = 1)
);

CREATE INDEX ix_connections_org_id_from_group_id ON connections (org_id, from_group_id);

CREATE INDEX ix_connections_org_id_from_person_id ON connections (org_id, from_person_id);

CREATE INDEX ix_connections_org_id_from_thing_id ON connections (org_id, from_thing_id);

CREATE INDEX ix_connections_org_id_group_id_id ON connections (org_id, group_id, id);

CREATE INDEX ix_connections_org_id_id ON connections (org_id, id);

CREATE INDEX ix_connections_org_id_relationship_type_id ON connections (org_id, relationship_type, id);

CREATE INDEX ix_connections_org_id_to_group_id ON connections (org_id, to_group_id);

CREATE INDEX ix_connections_org_id_to_person_id ON connections (org_id, to_person_id);

CREATE INDEX ix_connections_org_id_to_thing_id ON connections (org_id, to_thing_id);

CREATE TABLE portal_sessions (
    digest BYTEA NOT NULL,
    org_id UUID NOT NULL,
    person_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_portal_sessions PRIMARY KEY (digest),
    CONSTRAINT fk_portal_sessions_org_id_person_id FOREIGN KEY(org_id, person_id) REFERENCES people (org_id, id)
);

CREATE INDEX ix_portal_sessions_expires_at ON portal_sessions (expires_at);

-- Text search: generated here, filtered on, never loaded.
ALTER TABLE things ADD COLUMN search tsvector GENERATED ALWAYS AS (
    to_tsvector('simple', name) || jsonb_to_tsvector('simple', properties, '["string"]')
) STORED;

CREATE INDEX ix_things_search ON things USING gin (search);

-- The platform's own group, to which public knowledge belongs.
INSERT INTO groups (org_id, id, slug, name, type, metadata, settings, status, created_at, updated_at, created_by)
VALUES (
    '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', 'platform', 'Platform',
    'organization', '{}', '{}', 'active', now(), now(), 'group_00000000000000000000000000'
);

INSERT INTO group_closure (org_id, ancestor_id, descendant_id, depth)
VALUES (
    '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000',
    '00000000-0000-0000-0000-000000000000', 0
);

-- Wall two. What a transaction states (ontology/database.py) is all it sees. After a transaction that stated a
-- setting has ended the setting reads '' and not NULL, hence nullif.
CREATE FUNCTION app_setting(name text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.' || name, true), '') $$;

CREATE FUNCTION app_org() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.org_id', true), '')::uuid $$;

CREATE FUNCTION app_group() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('app.group_id', true), '')::uuid $$;
