"""Organisations can be removed, and the events of a change of one share what it became."""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
CREATE INDEX organizations_by_created_at ON organizations (account_id, created_at, id);
GRANT DELETE ON organizations TO customary_service;

-- A change of an organisation of 10,000 members is an event for each of them. Were the organisation, with all its
-- members, a part of each event, they would fill gigabytes: so the events of one change share it.
CREATE TABLE event_organizations (
    account_id uuid NOT NULL,
    batch_id uuid NOT NULL,  -- the first event of the change
    organization_id uuid NOT NULL,
    organization jsonb NOT NULL,
    PRIMARY KEY (account_id, batch_id, organization_id),
    CONSTRAINT event_organizations_batch_id_fkey
        FOREIGN KEY (account_id, batch_id) REFERENCES events (account_id, id)
);
ALTER TABLE events
    ADD COLUMN batch_id uuid,          -- null: `customer` is complete
    ADD COLUMN organization_ids uuid[];
GRANT SELECT, INSERT ON event_organizations TO customary_service;

-- With the rights of whoever reads: the policies hold here too.
CREATE VIEW complete_events WITH (security_invoker = true) AS
SELECT e.account_id, e.id, e.type, e.customer_id, e.version, e.created_at, e.transaction_id,
       CASE WHEN e.batch_id IS NULL THEN e.customer
            ELSE e.customer || jsonb_build_object('organizations',
                (SELECT coalesce(jsonb_agg(s.organization ORDER BY n.position), '[]')
                   FROM unnest(e.organization_ids) WITH ORDINALITY n (id, position)
                   JOIN event_organizations s
                     ON s.account_id = e.account_id AND s.batch_id = e.batch_id AND s.organization_id = n.id))
       END AS customer
  FROM events e;
GRANT SELECT ON complete_events TO customary_service;
"""


def upgrade() -> None:
    """Let the service remove organisations, and make room for what events share."""
    run(TABLES)
    bind_to_tenant("event_organizations")


def downgrade() -> None:
    """Refuse: it would drop the record of what happened."""
    message = "There is no way back: it would drop the record of what happened."
    raise NotImplementedError(message)
