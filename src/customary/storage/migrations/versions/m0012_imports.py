"""Imports of customers: how far each file was read, kept with what it made so that neither is there without the other.

Only the owner of the tables imports; the service's role is not let in.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE customer_imports (
    account_id uuid NOT NULL CONSTRAINT customer_imports_account_id_fkey REFERENCES accounts (id),
    digest bytea NOT NULL,        -- SHA-256 of the format and the file: the same file is the same import
    started_at timestamptz NOT NULL,
    finished_at timestamptz,      -- null: there is more to do
    next_byte bigint NOT NULL,    -- everything before it is in
    next_line bigint NOT NULL,
    rows_read bigint NOT NULL,
    rows_skipped bigint NOT NULL,
    PRIMARY KEY (account_id, digest)
);

-- Who joins whose organisation once all customers of the file are in: a parent may stand behind its children.
CREATE TABLE customer_import_members (
    account_id uuid NOT NULL,
    digest bytea NOT NULL,
    customer_id uuid NOT NULL,
    owner text COLLATE "C" NOT NULL,  -- an id or an alias
    is_by_parent boolean NOT NULL,
    line bigint NOT NULL,
    PRIMARY KEY (account_id, digest, owner, customer_id),
    CONSTRAINT customer_import_members_digest_fkey
        FOREIGN KEY (account_id, digest) REFERENCES customer_imports (account_id, digest),
    CONSTRAINT customer_import_members_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);
"""


def upgrade() -> None:
    """Make the tables and bind them to the tenant, like every other."""
    run(TABLES)
    bind_to_tenant("customer_imports", "customer_import_members")


def downgrade() -> None:
    """Refuse: an import that was begun would be made twice."""
    message = "There is no way back: an import that was begun could no longer be gone on with."
    raise NotImplementedError(message)
