"""What happened: the activity log, the events and the answers that retries get again.

The activity log and the events are append-only for the service's role: it may add and read, nothing else.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE api_keys ADD COLUMN requests_per_minute integer;  -- null: the published limit

CREATE TABLE activity_logs (
    account_id uuid NOT NULL CONSTRAINT activity_logs_account_id_fkey REFERENCES accounts (id),
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    verb text NOT NULL,
    object_type text NOT NULL,
    object_id uuid NOT NULL,
    object_reference uuid NOT NULL,  -- stands for type and id together, as the published filter wants it
    target_type text,
    target_id uuid,
    actor_type text NOT NULL,
    actor_id uuid NOT NULL,
    actor_email text,
    origin text NOT NULL,
    api_version text NOT NULL,
    trace_id text NOT NULL,
    changes jsonb NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX activity_logs_by_created_at ON activity_logs (account_id, created_at, id);
CREATE INDEX activity_logs_by_object ON activity_logs (account_id, object_id, created_at, id);
CREATE INDEX activity_logs_by_object_reference ON activity_logs (account_id, object_reference, created_at, id);

CREATE TABLE events (
    account_id uuid NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    customer_id uuid NOT NULL,
    version bigint NOT NULL,
    customer jsonb NOT NULL,  -- as it was after the change; the form of an API version is given when it is sent
    created_at timestamptz NOT NULL,
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),  -- lets a reader wait for late commits
    PRIMARY KEY (account_id, id),
    CONSTRAINT events_version_key UNIQUE (account_id, customer_id, version),
    CONSTRAINT events_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);

CREATE TABLE idempotency_keys (
    account_id uuid NOT NULL CONSTRAINT idempotency_keys_account_id_fkey REFERENCES accounts (id),
    key text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,  -- SHA-256 of the request
    status smallint,             -- null until the answer is known, which no other transaction can see
    headers jsonb,
    body bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_keys_by_created_at ON idempotency_keys (account_id, created_at);

GRANT SELECT, INSERT ON activity_logs, events TO customary_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO customary_service;
"""


def upgrade() -> None:
    """Make the tables and bind them to the tenant."""
    run(TABLES)
    bind_to_tenant("activity_logs", "events", "idempotency_keys")


def downgrade() -> None:
    """Refuse: it would drop the record of what happened."""
    message = "There is no way back: it would drop the record of what happened."
    raise NotImplementedError(message)
