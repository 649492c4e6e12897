"""Notification policies."""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE notification_policies (
    account_id uuid NOT NULL CONSTRAINT notification_policies_account_id_fkey REFERENCES accounts (id),
    id uuid NOT NULL,
    name text NOT NULL,
    channel text NOT NULL,       -- WEBHOOK or EMAIL
    recipients text[] NOT NULL,  -- URLs or e-mail addresses, as the channel wants
    notification_types text[],   -- null: everything, also types that come later
    api_version text NOT NULL,   -- that it was made under: resources are sent in its form
    webhook_secret text,         -- signs deliveries, so it is kept as it is; shown once, to whoever makes the policy
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX notification_policies_by_created_at ON notification_policies (account_id, created_at, id);

GRANT SELECT, INSERT, DELETE, UPDATE (recipients, notification_types) ON notification_policies TO customary_service;
"""


def upgrade() -> None:
    """Make the table and bind it to the tenant."""
    run(TABLES)
    bind_to_tenant("notification_policies")


def downgrade() -> None:
    """Refuse: it would drop what people entered."""
    message = "There is no way back: it would drop what people entered."
    raise NotImplementedError(message)
