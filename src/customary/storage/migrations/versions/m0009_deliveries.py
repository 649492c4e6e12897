"""Deliveries: the recipients of policies, the work that is waiting, and what came of each attempt.

`lanes` and `jobs` are the queue and hold ids only. Whoever claims work looks across all accounts, and does so under a
policy of its own; everything that says something about a customer stays bound to the tenant.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
-- What runs one after another, or at most so many at once: for deliveries, one lane for each recipient of a policy.
CREATE TABLE lanes (
    account_id uuid NOT NULL CONSTRAINT lanes_account_id_fkey REFERENCES accounts (id),
    id uuid NOT NULL,
    most_in_flight smallint NOT NULL DEFAULT 4,
    is_ordered boolean NOT NULL DEFAULT false,  -- of one sequence, only the lowest unfinished number runs
    opens_at timestamptz NOT NULL,              -- nothing is claimed before; infinity: until somebody opens it
    claimed_at timestamptz NOT NULL,            -- the lane that waited longest is next
    PRIMARY KEY (account_id, id)
);

-- No foreign key to lanes: it would lock a lane's row for each event of the account. A job whose recipient or event is
-- gone is cancelled by whoever claims it.
CREATE TABLE jobs (
    account_id uuid NOT NULL CONSTRAINT jobs_account_id_fkey REFERENCES accounts (id),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    lane_id uuid NOT NULL,
    sequence_id uuid,             -- with `number`: its place in an ordered lane; for a delivery, customer and version
    number bigint,
    event_id uuid,                -- what a delivery is about; null: an example of `event_type`
    event_type text,
    user_id uuid,                 -- who is told that a recipient of a policy was paused
    state text NOT NULL DEFAULT 'PENDING',
    reason text,                  -- why it is FAILED, CANCELLED or QUARANTINED
    attempts integer NOT NULL DEFAULT 0,    -- counted when it is claimed, so that a death of the claimer counts
    attempts_left smallint NOT NULL DEFAULT 12,
    deaths smallint NOT NULL DEFAULT 0,     -- claimers in a row that did not come back
    lease uuid,                             -- of the claim that holds it: whoever has another one was overtaken
    due_at timestamptz NOT NULL,            -- when it may be claimed; under a lease, when that ends
    created_at timestamptz NOT NULL,
    queued_at timestamptz NOT NULL,         -- created or replayed: what waits for too long after it is given up
    finished_at timestamptz,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX jobs_due ON jobs (account_id, lane_id, due_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_leased ON jobs (account_id, lane_id) WHERE finished_at IS NULL AND lease IS NOT NULL;
CREATE INDEX jobs_sequence ON jobs (account_id, lane_id, sequence_id, number) WHERE finished_at IS NULL;
CREATE INDEX jobs_by_created_at ON jobs (account_id, lane_id, created_at, id);
CREATE UNIQUE INDEX jobs_by_event ON jobs (account_id, event_id, lane_id);  -- nobody is told of one event twice
CREATE INDEX jobs_failed ON jobs (account_id, lane_id, created_at, id) WHERE state IN ('FAILED', 'QUARANTINED');
CREATE INDEX jobs_finished ON jobs (account_id, finished_at) WHERE finished_at IS NOT NULL;

-- A recipient of a policy, by the id of its lane. One that was removed stays, for the deliveries that it got.
CREATE TABLE endpoints (
    account_id uuid NOT NULL,
    id uuid NOT NULL,
    policy_id uuid NOT NULL,
    recipient text NOT NULL,
    state text NOT NULL DEFAULT 'ACTIVE',
    failures integer NOT NULL DEFAULT 0,    -- in a row, of whatever was sent there
    failing_since timestamptz,
    reason text,                            -- what the last failure was
    created_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT endpoints_lane_fkey FOREIGN KEY (account_id, id) REFERENCES lanes (account_id, id)
);
CREATE UNIQUE INDEX endpoints_recipient ON endpoints (account_id, policy_id, recipient) WHERE state <> 'REMOVED';
CREATE INDEX endpoints_by_policy ON endpoints (account_id, policy_id);

CREATE TABLE delivery_attempts (
    account_id uuid NOT NULL,
    job_id uuid NOT NULL,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    duration_milliseconds integer NOT NULL,
    outcome text NOT NULL,
    response_status smallint,   -- null without an answer
    response_body bytea,        -- its first bytes
    error text,
    PRIMARY KEY (account_id, job_id, number),
    CONSTRAINT delivery_attempts_job_id_fkey
        FOREIGN KEY (account_id, job_id) REFERENCES jobs (account_id, id) ON DELETE CASCADE
);

ALTER TABLE notification_policies ADD COLUMN is_ordered boolean NOT NULL DEFAULT false;

-- Readers go through events in this order and stop at the oldest transaction that still runs: what is committed late
-- is never behind them. A customer's later event has at least the number of its earlier one, so its order is kept.
--
-- A server counts its transactions for itself, and a dump that is restored on another one brings numbers of the first:
-- what is written there goes on behind them, by this much.
ALTER TABLE installation ADD COLUMN transaction_offset bigint NOT NULL DEFAULT 0;
CREATE FUNCTION own_transaction() RETURNS xid8 LANGUAGE sql VOLATILE SET search_path FROM CURRENT
    RETURN ((SELECT transaction_offset FROM installation) + pg_current_xact_id()::text::bigint)::text::xid8;
CREATE FUNCTION oldest_transaction() RETURNS xid8 LANGUAGE sql STABLE SET search_path FROM CURRENT
    RETURN ((SELECT transaction_offset FROM installation)
            + pg_snapshot_xmin(pg_current_snapshot())::text::bigint)::text::xid8;
ALTER TABLE events ALTER COLUMN transaction_id SET DEFAULT own_transaction();
COMMENT ON COLUMN events.transaction_id IS 'the transaction, or that of the customer''s event before if it is greater';
CREATE INDEX events_in_order ON events (account_id, transaction_id, version, id);
CREATE INDEX events_by_created_at ON events (account_id, created_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON lanes, jobs, endpoints, delivery_attempts TO customary_service;
GRANT UPDATE (is_ordered) ON notification_policies TO customary_service;

"""

# A number that no transaction of this server can have been given yet: the tables were restored from another one. Asked
# before a service starts, whose role sees the events of no account then; it tells nothing but that.
RESTORED = """
CREATE FUNCTION is_restored() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
    RETURN coalesce((
        SELECT e.transaction_id::text::bigint
               >= i.transaction_offset + pg_snapshot_xmax(pg_current_snapshot())::text::bigint
          FROM installation i, accounts a CROSS JOIN LATERAL (
               SELECT transaction_id FROM events WHERE account_id = a.id ORDER BY transaction_id DESC LIMIT 1) e
         ORDER BY e.transaction_id DESC LIMIT 1), false);
REVOKE ALL ON FUNCTION is_restored() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_restored() TO customary_service;
"""

# Beside the tenant's policy, for a transaction that says that it looks for work. A claim makes no job and removes none.
WORK = "".join(
    f"CREATE POLICY {name} ON {table} FOR {verb} TO customary_service"
    " USING (current_setting('app.work', true) = 'on');\n"
    for table in ("lanes", "jobs")
    for name, verb in (("work_seen", "SELECT"), ("work_claimed", "UPDATE"))
)

# The policies that are there so far get what a new one gets.
RECIPIENTS = """
INSERT INTO endpoints (account_id, id, policy_id, recipient, created_at)
SELECT account_id, id, policy_id, recipient, created_at FROM recipients
"""
LANES = """
CREATE TEMPORARY TABLE recipients ON COMMIT DROP AS
SELECT p.account_id, gen_random_uuid() AS id, p.id AS policy_id, r.recipient, p.created_at
  FROM notification_policies p CROSS JOIN LATERAL (SELECT DISTINCT unnest(p.recipients) AS recipient) r;
INSERT INTO lanes (account_id, id, opens_at, claimed_at) SELECT account_id, id, now(), now() FROM recipients;
"""


def upgrade() -> None:
    """Make the tables, bind them to the tenant, and give each recipient its lane."""
    run(TABLES)
    bind_to_tenant("lanes", "jobs", "endpoints", "delivery_attempts")
    run(WORK + RESTORED)
    run(LANES + RECIPIENTS)


def downgrade() -> None:
    """Refuse: it would drop what was to be sent."""
    message = "There is no way back: it would drop what is waiting to be sent."
    raise NotImplementedError(message)
