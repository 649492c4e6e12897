"""What has happened in an account of the data set: activities, events, finished deliveries and answers of old requests.

It is made once for an account, inside PostgreSQL, so that what grows with the changes is there to be read.
"""

from uuid import UUID

from msgspec import Struct

from bench.dataset import DataSet
from customary.storage.database import Connection

ORIGIN = "BENCH"
CHANGES_OF_EACH = 4
_MOST_CUSTOMERS = 25_000

# The versions are those before a customer's first one, so that whatever changes it later finds its own free.
_CHANGES = """
CREATE TEMPORARY TABLE changes AS
SELECT c.account_id, uuidv7(interval '-1 hour' + c.place * interval '1 ms') AS id, c.id AS customer_id,
       n - $3 AS version, c.created_at + n * interval '1 minute' AS created_at, c.legal_name,
       c.address, c.created_at AS made_at, row_number() OVER () AS place
  FROM (SELECT *, row_number() OVER (ORDER BY created_at, id) AS place FROM customers
         WHERE account_id = $1 ORDER BY created_at, id LIMIT $2) c
 CROSS JOIN generate_series(1, $3) n
"""
_ACTIVITIES = """
INSERT INTO activity_logs (account_id, id, created_at, verb, object_type, object_id, object_reference, actor_type,
    actor_id, origin, api_version, trace_id, changes)
SELECT account_id, id, created_at, 'UPDATED', 'CUSTOMER', customer_id, md5(customer_id::text)::uuid, 'SERVICE',
       account_id, $1, '', 'bench', '[]' FROM changes
"""
_EVENTS = """
INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at)
SELECT account_id, id, 'CUSTOMER_UPDATED', customer_id, version,
       jsonb_build_object('id', customer_id, 'legal_name', legal_name, 'address', address, 'tax_status', 'TAXED',
           'status', 'ACTIVE', 'created_at', made_at, 'updated_at', created_at, 'version', version), created_at
  FROM changes
"""
_DELIVERED = """
INSERT INTO jobs (account_id, kind, lane_id, sequence_id, number, event_id, event_type, state, attempts, due_at,
    created_at, queued_at, finished_at)
SELECT account_id, 'DELIVERY', account_id, customer_id, version, id, 'CUSTOMER_UPDATED', 'DELIVERED', 1, now(), now(),
       now(), now() FROM changes
"""
_ANSWERS = """
INSERT INTO idempotency_keys (account_id, key, key_id, created_at, status, headers, body)
SELECT account_id, 'bench-history-' || id, $1, now(), 200, '[]', '' FROM changes
"""
_IS_THERE = "SELECT EXISTS (SELECT FROM activity_logs WHERE account_id = $1 AND origin = $2)"


class History(Struct, frozen=True):
    """How many of the account's first customers were changed, each as often."""

    customers: int


async def ensure(owner: Connection, account: DataSet, key_id: str) -> History:
    """The history of this account, made where there is none. `key_id` is the secret key that answers are kept under."""
    history = History(min(account.size // 2, _MOST_CUSTOMERS))
    if not await owner.fetchval(_IS_THERE, account.account_id, ORIGIN):
        async with owner.transaction():
            await _make(owner, account.account_id, history, key_id)
        for table in ("activity_logs", "events", "jobs", "idempotency_keys"):
            await owner.execute(f"VACUUM (ANALYZE) {table}")
    return history


async def _make(owner: Connection, account_id: UUID, history: History, key_id: str) -> None:
    await owner.execute(_CHANGES, account_id, history.customers, CHANGES_OF_EACH)
    await owner.execute(_ACTIVITIES, ORIGIN)
    await owner.execute(_EVENTS)
    await owner.execute(_DELIVERED)
    await owner.execute(_ANSWERS, key_id)
    await owner.execute("DROP TABLE changes")
