"""Accounts, API keys, customers and all that belongs to a customer.

`account_id` leads every primary and unique key, and every foreign key stays inside an account. Row-level policies
bind the role `customary_service`; they are not forced on the owner, because the search functions below run as the
owner: LIKE is not leakproof, so under a policy it could never use a trigram index.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE installation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    cursor_secret bytea NOT NULL  -- signs page cursors; every process of one installation reads the same one
);

CREATE TABLE accounts (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT accounts_name_key UNIQUE (name)
);

CREATE TABLE api_keys (
    account_id uuid NOT NULL CONSTRAINT api_keys_account_id_fkey REFERENCES accounts (id),
    client_id uuid NOT NULL,
    name text NOT NULL,
    scopes text[] NOT NULL,
    secret_hash bytea NOT NULL,  -- SHA-256 of 256 random bits; the secret itself is shown once and never kept
    pinned_version text,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (account_id, client_id),
    CONSTRAINT api_keys_client_id_key UNIQUE (client_id)  -- the one key that spans accounts: it names them
);

CREATE TABLE customers (
    account_id uuid NOT NULL CONSTRAINT customers_account_id_fkey REFERENCES accounts (id),
    id uuid NOT NULL,
    legal_name text NOT NULL,
    legal_name_sort text COLLATE "C" NOT NULL,    -- case-folded by the service, so that every database agrees
    legal_name_search text COLLATE "C" NOT NULL,  -- without case and accents
    label text,
    label_sort text COLLATE "C",
    label_search text COLLATE "C",
    url text,
    domain text,
    telephone text,
    address jsonb NOT NULL,
    tax_status text NOT NULL,
    status text NOT NULL,  -- DRAFT -> ACTIVE
    custom_properties jsonb NOT NULL DEFAULT '{}',
    version bigint NOT NULL,  -- counts the changes of this customer without a gap
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    archived_at timestamptz,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX customers_by_created_at ON customers (account_id, created_at, id);
CREATE INDEX customers_by_updated_at ON customers (account_id, updated_at, id);
CREATE INDEX customers_by_legal_name ON customers (account_id, legal_name_sort, id);
CREATE INDEX customers_by_label ON customers (account_id, label_sort, id);
CREATE INDEX customers_legal_name_trigrams ON customers USING gin (legal_name_search gin_trgm_ops);
CREATE INDEX customers_label_trigrams ON customers USING gin (label_search gin_trgm_ops);

CREATE TABLE contacts (
    account_id uuid NOT NULL,
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    email_key text COLLATE "C" NOT NULL,     -- case-folded
    email_search text COLLATE "C" NOT NULL,  -- without case and accents
    billing_preference text NOT NULL,  -- PRIMARY, STANDARD or NONE
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    archived_at timestamptz,
    PRIMARY KEY (account_id, id),
    CONSTRAINT contacts_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);
CREATE UNIQUE INDEX contacts_email_key ON contacts (account_id, customer_id, email_key) WHERE archived_at IS NULL;
CREATE INDEX contacts_by_customer ON contacts (account_id, customer_id, created_at, id);
CREATE INDEX contacts_email_trigrams ON contacts USING gin (email_search gin_trgm_ops) WHERE archived_at IS NULL;

CREATE TABLE customer_aliases (
    account_id uuid NOT NULL,
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    value text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT customer_aliases_value_key UNIQUE (account_id, value),
    CONSTRAINT customer_aliases_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);
CREATE INDEX customer_aliases_by_customer ON customer_aliases (account_id, customer_id, created_at, id);

CREATE TABLE integration_links (
    account_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    service text NOT NULL,
    external_id text NOT NULL,
    is_pending boolean NOT NULL,
    created_at timestamptz NOT NULL,
    last_synced_at timestamptz,
    PRIMARY KEY (account_id, customer_id, service),
    CONSTRAINT integration_links_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);

CREATE TABLE organizations (
    account_id uuid NOT NULL,
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT organizations_owner_id_key UNIQUE (account_id, owner_id),
    CONSTRAINT organizations_owner_id_fkey FOREIGN KEY (account_id, owner_id) REFERENCES customers (account_id, id)
);

CREATE TABLE organization_members (
    account_id uuid NOT NULL,
    organization_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    is_by_parent boolean NOT NULL,  -- joined through parentId, so another parentId replaces it
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, organization_id, customer_id),
    CONSTRAINT organization_members_organization_id_fkey
        FOREIGN KEY (account_id, organization_id) REFERENCES organizations (account_id, id),
    CONSTRAINT organization_members_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);
CREATE INDEX organization_members_by_customer ON organization_members (account_id, customer_id);
"""

TENANT_TABLES = (
    "api_keys",
    "customers",
    "contacts",
    "customer_aliases",
    "integration_links",
    "organizations",
    "organization_members",
)

# Each search function takes the tenant from the setting that the policies use, never from its caller.
FUNCTIONS = """
CREATE FUNCTION customers_with_legal_name(pattern text) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT id FROM customers
    WHERE account_id = nullif(current_setting('app.account', true), '')::uuid AND legal_name_search LIKE pattern
$$;
CREATE FUNCTION customers_with_label(pattern text) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT id FROM customers
    WHERE account_id = nullif(current_setting('app.account', true), '')::uuid AND label_search LIKE pattern
$$;
CREATE FUNCTION customers_with_email(pattern text) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT customer_id FROM contacts
    WHERE account_id = nullif(current_setting('app.account', true), '')::uuid
      AND archived_at IS NULL AND email_search LIKE pattern
$$;

-- Whose key this is must be known before a tenant is: the one look-up that crosses accounts.
CREATE FUNCTION find_api_key(wanted uuid) RETURNS SETOF api_keys
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path FROM CURRENT AS $$
    SELECT * FROM api_keys WHERE client_id = wanted
$$;
"""

GRANTS = """
REVOKE ALL ON FUNCTION customers_with_legal_name(text), customers_with_label(text), customers_with_email(text),
    find_api_key(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION customers_with_legal_name(text), customers_with_label(text), customers_with_email(text),
    find_api_key(uuid) TO customary_service;
GRANT SELECT ON installation, alembic_version TO customary_service;
GRANT SELECT ON accounts, api_keys TO customary_service;
GRANT SELECT, INSERT, UPDATE ON customers, contacts, organizations TO customary_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON customer_aliases, integration_links, organization_members TO customary_service;
"""


def upgrade() -> None:
    """Make the tables, bind them to the tenant, and let the service's role use them."""
    run(TABLES)
    # gen_random_uuid() is PostgreSQL's cryptographic source that needs no extension: 122 random bits each.
    run(
        "INSERT INTO installation (cursor_secret)"
        " VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())))"
    )
    bind_to_tenant(*TENANT_TABLES)
    bind_to_tenant("accounts", column="id")
    run(FUNCTIONS)
    run(GRANTS)


def downgrade() -> None:
    """Refuse: dropping the first tables would drop every customer."""
    message = "There is no way back before the first migration."
    raise NotImplementedError(message)
