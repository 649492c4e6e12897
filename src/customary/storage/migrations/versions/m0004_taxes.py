"""Tax registrations and payment settings."""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE tax_registrations (
    account_id uuid NOT NULL CONSTRAINT tax_registrations_account_id_fkey REFERENCES accounts (id),
    id uuid NOT NULL,
    tax_identifier text NOT NULL,
    country text NOT NULL,
    state text,
    customer_id uuid,
    merchant_id uuid,  -- the account as a business that is registered itself
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT tax_registrations_somebodys CHECK (customer_id IS NOT NULL OR merchant_id IS NOT NULL),
    CONSTRAINT tax_registrations_own_merchant CHECK (merchant_id = account_id),
    CONSTRAINT tax_registrations_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);
CREATE INDEX tax_registrations_by_created_at ON tax_registrations (account_id, created_at, id);
CREATE INDEX tax_registrations_by_customer ON tax_registrations (account_id, customer_id, created_at, id);
CREATE INDEX tax_registrations_of_merchant ON tax_registrations (account_id, merchant_id, created_at, id)
    WHERE merchant_id IS NOT NULL;

CREATE TABLE payment_settings (
    account_id uuid NOT NULL,
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    payment_provider text NOT NULL,  -- STRIPE, GOCARDLESS or NONE
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT payment_settings_customer_id_key UNIQUE (account_id, customer_id),
    CONSTRAINT payment_settings_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON tax_registrations, payment_settings TO customary_service;
"""


def upgrade() -> None:
    """Make the tables and bind them to the tenant."""
    run(TABLES)
    bind_to_tenant("tax_registrations", "payment_settings")


def downgrade() -> None:
    """Refuse: it would drop what people entered."""
    message = "There is no way back: it would drop what people entered."
    raise NotImplementedError(message)
