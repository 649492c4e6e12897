"""Encrypted secrets: those of policies in a table of their own, and the answers that are kept for retries.

The keys are not in the database, so what is there stays readable here. A row without a key is not encrypted yet; the
service does that when it starts.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE policy_secrets (
    account_id uuid NOT NULL,
    policy_id uuid NOT NULL,
    id uuid NOT NULL,
    key_id text COLLATE "C",    -- null: not encrypted yet
    ciphertext bytea NOT NULL,  -- 12 bytes of nonce and what AES-256-GCM made of it; without a key the secret in UTF-8
    created_at timestamptz NOT NULL,
    expires_at timestamptz,     -- null: the newest of its policy
    PRIMARY KEY (account_id, policy_id, id),
    CONSTRAINT policy_secrets_policy_id_fkey FOREIGN KEY (account_id, policy_id)
        REFERENCES notification_policies (account_id, id) ON DELETE CASCADE
);
CREATE INDEX policy_secrets_by_key_id ON policy_secrets (key_id, account_id);

INSERT INTO policy_secrets (account_id, policy_id, id, ciphertext, created_at)
SELECT account_id, id, gen_random_uuid(), convert_to(webhook_secret, 'UTF8'), created_at
  FROM notification_policies WHERE webhook_secret IS NOT NULL;

-- A dropped column stays in the rows that have it; emptied, it goes with the next vacuum.
UPDATE notification_policies SET webhook_secret = NULL WHERE webhook_secret IS NOT NULL;
ALTER TABLE notification_policies DROP COLUMN webhook_secret;

ALTER TABLE idempotency_keys ADD COLUMN key_id text COLLATE "C";
COMMENT ON COLUMN idempotency_keys.key_id IS 'what body is encrypted with, set before it; null: not encrypted yet';
CREATE INDEX idempotency_keys_by_key_id ON idempotency_keys (key_id, account_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON policy_secrets TO customary_service;
"""

# What has to be encrypted is found across accounts, and encrypted account by account under the tenant's policy.
FUNCTIONS = """
CREATE FUNCTION accounts_with_plain_secrets() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT account_id FROM policy_secrets WHERE key_id IS NULL
    UNION SELECT account_id FROM idempotency_keys WHERE key_id IS NULL
$$;
CREATE FUNCTION secrets_by_key() RETURNS TABLE (account_id uuid, key_id text, secrets bigint, answers bigint)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT r.account_id, r.key_id, sum(r.secrets)::bigint, sum(r.answers)::bigint
      FROM (SELECT account_id, key_id, count(*) AS secrets, 0 AS answers FROM policy_secrets GROUP BY 1, 2
            UNION ALL SELECT account_id, key_id, 0, count(*) FROM idempotency_keys GROUP BY 1, 2) r
     GROUP BY 1, 2
$$;
REVOKE ALL ON FUNCTION accounts_with_plain_secrets(), secrets_by_key() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accounts_with_plain_secrets(), secrets_by_key() TO customary_service;
"""


def upgrade() -> None:
    """Move the secrets of policies, make room for the keys' ids, and let the service find what is not encrypted."""
    run(TABLES)
    bind_to_tenant("policy_secrets")
    run(FUNCTIONS)


def downgrade() -> None:
    """Refuse: nobody could read the secrets there."""
    message = "There is no way back: the secrets are encrypted with keys that are not in the database."
    raise NotImplementedError(message)
