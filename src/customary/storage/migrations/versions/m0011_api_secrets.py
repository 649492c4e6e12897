"""API keys that expire, that may be bound to addresses, and that have several secrets while one is replaced.

A secret is kept as HMAC-SHA-256 of its SHA-256, under a key that is not in the database. A row without the id of such
a key holds the SHA-256 alone, as it was before; the service wraps it when it starts.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE api_key_secrets (
    account_id uuid NOT NULL,
    client_id uuid NOT NULL,
    id uuid NOT NULL,
    key_id text COLLATE "C",    -- of the secret keys; null: `hash` is the SHA-256 alone
    hash bytea NOT NULL,        -- HMAC-SHA-256, under that key, of the SHA-256 of the secret
    created_at timestamptz NOT NULL,
    expires_at timestamptz,     -- null: the newest of its API key
    PRIMARY KEY (account_id, client_id, id),
    CONSTRAINT api_key_secrets_client_id_fkey FOREIGN KEY (account_id, client_id)
        REFERENCES api_keys (account_id, client_id) ON DELETE CASCADE
);
CREATE INDEX api_key_secrets_by_key_id ON api_key_secrets (key_id, account_id);

INSERT INTO api_key_secrets (account_id, client_id, id, hash, created_at)
SELECT account_id, client_id, gen_random_uuid(), secret_hash, created_at FROM api_keys;

-- A dropped column stays in the rows that have it; emptied, it goes with the next vacuum.
ALTER TABLE api_keys ALTER COLUMN secret_hash DROP NOT NULL;
UPDATE api_keys SET secret_hash = NULL;
DROP FUNCTION find_api_key(uuid);
ALTER TABLE api_keys DROP COLUMN secret_hash;

ALTER TABLE api_keys
    ADD COLUMN expires_at timestamptz,     -- null: never
    ADD COLUMN last_used_at timestamptz,   -- to the minute; null: never
    ADD COLUMN allowed_addresses cidr[] NOT NULL DEFAULT '{}';  -- none: any address

-- What stands in for a key that does not exist, so that looking for one costs the same: a single row that looks like a
-- key and its secret, and fits no secret. It belongs to nobody.
CREATE TABLE api_key_decoy (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    account_id uuid DEFAULT gen_random_uuid(),
    client_id uuid DEFAULT gen_random_uuid(),
    name text DEFAULT 'decoy',
    scopes text[] DEFAULT '{read,write}',
    created_at timestamptz DEFAULT now(),
    pinned_version text,
    revoked_at timestamptz,
    requests_per_minute integer,
    expires_at timestamptz,
    last_used_at timestamptz DEFAULT now(),
    allowed_addresses cidr[] DEFAULT '{}',
    secret_id uuid DEFAULT gen_random_uuid(),
    key_id text COLLATE "C" DEFAULT 'decoy',
    hash bytea DEFAULT sha256(uuid_send(gen_random_uuid()))
);
INSERT INTO api_key_decoy DEFAULT VALUES;

-- The fingerprint of a request is encrypted together with its answer, so that nobody can guess at what was sent.
ALTER TABLE idempotency_keys ALTER COLUMN fingerprint DROP NOT NULL;
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'as it was before 0011; null: it is encrypted, at the start of body';

GRANT SELECT ON api_key_secrets TO customary_service;
GRANT UPDATE (key_id, hash) ON api_key_secrets TO customary_service;
GRANT UPDATE (last_used_at) ON api_keys TO customary_service;
"""

# One row for each secret of the key that has not ended, and one where there is no such key: as many reads either way.
FUNCTIONS = """
CREATE FUNCTION find_api_key(wanted uuid) RETURNS TABLE (
        is_known boolean, client_id uuid, account_id uuid, name text, scopes text[], created_at timestamptz,
        pinned_version text, revoked_at timestamptz, requests_per_minute integer, expires_at timestamptz,
        last_used_at timestamptz, allowed_addresses text[], now timestamptz,
        secret_id uuid, key_id text, hash bytea, secret_created_at timestamptz, secret_expires_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER ROWS 1 SET search_path FROM CURRENT AS $$
    SELECT k.is_known, k.client_id, k.account_id, k.name, k.scopes, k.created_at,
           k.pinned_version, k.revoked_at, k.requests_per_minute, k.expires_at,
           k.last_used_at, k.allowed_addresses::text[], now(),
           s.id, s.key_id, s.hash, s.created_at, s.expires_at
      FROM (SELECT true AS is_known, client_id, account_id, name, scopes, created_at, pinned_version, revoked_at,
                   requests_per_minute, expires_at, last_used_at, allowed_addresses
              FROM api_keys WHERE client_id = wanted
            UNION ALL
            SELECT false, client_id, account_id, name, scopes, created_at, pinned_version, revoked_at,
                   requests_per_minute, expires_at, last_used_at, allowed_addresses
              FROM api_key_decoy WHERE NOT EXISTS (SELECT FROM api_keys WHERE client_id = wanted)) k
      LEFT JOIN LATERAL (
            SELECT id, key_id, hash, created_at, expires_at FROM api_key_secrets
             WHERE k.is_known AND account_id = k.account_id AND client_id = k.client_id
               AND (expires_at IS NULL OR expires_at > now())
            UNION ALL
            SELECT secret_id, key_id, hash, created_at, expires_at FROM api_key_decoy WHERE NOT k.is_known) s ON true
$$;

-- What still opens something, by the secret key that it needs, and when one of those was last used.
CREATE FUNCTION api_secrets_by_key() RETURNS TABLE (key_id text, secrets bigint, last_used_at timestamptz)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT s.key_id, count(*), max(k.last_used_at)
      FROM api_key_secrets s JOIN api_keys k USING (account_id, client_id)
     WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
       AND (s.expires_at IS NULL OR s.expires_at > now())
     GROUP BY s.key_id
$$;

CREATE OR REPLACE FUNCTION accounts_with_plain_secrets() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT account_id FROM policy_secrets WHERE key_id IS NULL
    UNION SELECT account_id FROM idempotency_keys WHERE key_id IS NULL
    UNION SELECT account_id FROM api_key_secrets WHERE key_id IS NULL
$$;
REVOKE ALL ON FUNCTION find_api_key(uuid), api_secrets_by_key() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(uuid), api_secrets_by_key() TO customary_service;
"""


def upgrade() -> None:
    """Move the secrets of API keys, and let the service find a key, wrap its secrets and say when it was used."""
    run(TABLES)
    bind_to_tenant("api_key_secrets")
    run(FUNCTIONS)


def downgrade() -> None:
    """Refuse: no key would open anything there."""
    message = "There is no way back: the secrets of API keys are hashed with keys that are not in the database."
    raise NotImplementedError(message)
