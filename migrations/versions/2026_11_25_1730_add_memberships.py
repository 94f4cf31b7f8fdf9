"""Let an account be several people, one in each group it belongs to; add invitations."""

import json

from alembic import op
from sqlalchemy import text

from ontology.ids import encode_id, new_id

revision = "2026_11_25_1730_add_memberships"
down_revision = "2026_11_25_1720_follow_events"
branch_labels = None
depends_on = None

# What a group reaches, as in the first migration.
_REACH = """
    org_id = (SELECT app_org()) AND (
        (SELECT app_group()) = (SELECT app_org())
        OR group_id IN (
            SELECT descendant_id FROM group_closure
            WHERE org_id = (SELECT app_org()) AND ancestor_id = (SELECT app_group())
        )
    )"""
_PERMISSIONS = {
    "platform_owner": ["*"],
    "org_owner": ["read", "write", "admin", "billing", "settings"],
    "org_user": ["read", "write"],
    "customer": [],
}


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("ALTER TABLE people ADD COLUMN account_id UUID")
    op.execute("ALTER TABLE people ADD CONSTRAINT ck_people_status CHECK (status IN ('active', 'archived'))")
    op.execute("ALTER TABLE people DROP CONSTRAINT uq_people_org_id_email")
    op.execute(
        "CREATE UNIQUE INDEX uq_people_org_id_group_id_email ON people (org_id, group_id, email) "
        "WHERE status = 'active'"
    )
    op.execute("CREATE INDEX ix_people_org_id_id ON people (org_id, id)")
    op.execute("CREATE INDEX ix_people_org_id_group_id_id ON people (org_id, group_id, id)")
    op.execute("CREATE INDEX ix_people_account_id ON people (account_id)")
    op.execute(
        "CREATE POLICY people_holder ON people FOR SELECT USING (account_id = (SELECT app_setting('account_id'))::uuid)"
    )
    _create_invitations()
    _fill_in()


def downgrade() -> None:
    raise RuntimeError("migrations go forward; restore a backup to go back")


def _create_invitations() -> None:
    op.execute(
        """
        CREATE TABLE invitations (
            org_id UUID NOT NULL,
            id UUID NOT NULL,
            group_id UUID NOT NULL,
            email TEXT NOT NULL,
            role TEXT NOT NULL,
            created_at TIMESTAMP WITH TIME ZONE NOT NULL,
            expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
            accepted_at TIMESTAMP WITH TIME ZONE,
            cancelled_at TIMESTAMP WITH TIME ZONE,
            created_by TEXT NOT NULL,
            digest BYTEA NOT NULL,
            CONSTRAINT pk_invitations PRIMARY KEY (id),
            CONSTRAINT uq_invitations_digest UNIQUE (digest),
            CONSTRAINT fk_invitations_org_id_group_id FOREIGN KEY(org_id, group_id) REFERENCES groups (org_id, id),
            CONSTRAINT ck_invitations_role CHECK (role IN ('org_owner', 'org_user', 'customer'))
        )
        """
    )
    op.execute("CREATE INDEX ix_invitations_org_id_id ON invitations (org_id, id)")
    op.execute("CREATE INDEX ix_invitations_org_id_group_id_id ON invitations (org_id, group_id, id)")
    op.execute("ALTER TABLE invitations ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE invitations FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY invitations_reach ON invitations FOR ALL USING ({_REACH}) WITH CHECK ({_REACH})")
    op.execute(
        "CREATE POLICY invitations_holder ON invitations FOR SELECT "
        "USING (digest = decode((SELECT app_setting('invitation_digest')), 'hex'))"
    )


def _fill_in() -> None:
    """Existing accounts know their person, and existing people are told of as members.

    The tables' owner is bound by row-level security like everyone, so it is lifted for these statements, which hold the
    tables locked until commit.
    """
    tables = ("people", "accounts", "connections")
    for table in tables:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute("UPDATE people SET account_id = a.id FROM accounts a WHERE a.person_id = people.id")
    connection = op.get_bind()
    people = connection.execute(
        text("SELECT org_id, id, group_id, role, created_at FROM people WHERE status = 'active'")
    ).all()
    insert = text(
        "INSERT INTO connections (org_id, id, group_id, relationship_type, from_person_id, to_group_id, metadata, "
        "valid_from, created_at, updated_at, created_by) "
        "VALUES (:org_id, :id, :group_id, 'member_of', :person_id, :group_id, :metadata, :at, :at, :at, :created_by)"
    )
    for person in people:
        metadata = {
            "role": person.role,
            "permissions": _PERMISSIONS[person.role],
            "joinedAt": int(person.created_at.timestamp() * 1000),
        }
        values = {
            "org_id": person.org_id,
            "id": new_id(),
            "group_id": person.group_id,
            "person_id": person.id,
            "metadata": json.dumps(metadata),
            "at": person.created_at,
            "created_by": encode_id("person", person.id),
        }
        connection.execute(insert, values)
    for table in tables:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
