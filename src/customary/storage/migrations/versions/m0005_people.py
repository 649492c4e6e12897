"""What an account tells of its company, and its users.

The service's role may change the company's fields of its own account and take access from a user, nothing else here:
accounts and users are made by the tables' owner, for an operator on the command line.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE accounts
    ADD COLUMN company_name text,  -- null: the account's own name, until somebody enters the company's
    ADD COLUMN company_number text NOT NULL DEFAULT '',
    ADD COLUMN country text NOT NULL DEFAULT 'GB',
    ADD COLUMN send_customer_notifications boolean NOT NULL DEFAULT false,
    ADD COLUMN alert_email_addresses text[] NOT NULL DEFAULT '{}',
    -- A UUID of version 7, as all our ids are: a random one with the milliseconds of now in front and the bits of its
    -- version changed from 4 to 7. Being volatile, it gives each account that exists already one of its own.
    ADD COLUMN sequence_organisation_id uuid NOT NULL DEFAULT encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6
        ), 52, 1), 53, 1), 'hex')::uuid;

CREATE TABLE users (
    account_id uuid NOT NULL CONSTRAINT users_account_id_fkey REFERENCES accounts (id),
    id uuid NOT NULL,
    email text NOT NULL,
    email_key text COLLATE "C" NOT NULL,  -- case-folded
    role text NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (account_id, id)
);
CREATE UNIQUE INDEX users_email_key ON users (account_id, email_key) WHERE deleted_at IS NULL;
CREATE INDEX users_by_created_at ON users (account_id, created_at, id);

GRANT UPDATE (company_name, company_number, country, send_customer_notifications, alert_email_addresses)
    ON accounts TO customary_service;
GRANT SELECT, UPDATE (deleted_at) ON users TO customary_service;
"""


def upgrade() -> None:
    """Make the columns and the table, and bind the table to the tenant."""
    run(TABLES)
    bind_to_tenant("users")


def downgrade() -> None:
    """Refuse: it would drop what people entered."""
    message = "There is no way back: it would drop what people entered."
    raise NotImplementedError(message)
