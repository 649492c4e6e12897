"""All rows that are encrypted, in whatever table: which keys they need, and encrypting them anew in batches."""

from collections.abc import Callable
from uuid import UUID

import msgspec

from customary.errors import Undecryptable
from customary.storage import idempotency, policy_secrets
from customary.storage.database import Connection, Record, Tx

BATCH = 500

ACCOUNTS_WITH_PLAIN = "SELECT accounts_with_plain_secrets()"
BY_KEY = "SELECT account_id, key_id, secrets, answers FROM secrets_by_key() ORDER BY key_id, account_id"

# With $3 only what is not encrypted at all. What another transaction is changing is for the next round. The rows are
# locked, so their ctid is where they are until the transaction ends, and the quickest way back to them.
NEXT_SECRETS = f"""
SELECT ctid, policy_id, id, key_id, ciphertext FROM policy_secrets
 WHERE account_id = $1 AND key_id IS DISTINCT FROM $2::text AND (key_id IS NULL OR NOT $3)
   AND (policy_id, id) > ($4::uuid, $5::uuid)
 ORDER BY policy_id, id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant
SAVE_SECRETS = """
UPDATE policy_secrets s SET key_id = $2, ciphertext = n.ciphertext
  FROM unnest($3::tid[], $4::bytea[]) n (place, ciphertext) WHERE s.ctid = n.place AND s.account_id = $1
"""
NEXT_ANSWERS = f"""
SELECT ctid, key, key_id, body AS ciphertext FROM idempotency_keys
 WHERE account_id = $1 AND key_id IS DISTINCT FROM $2::text AND (key_id IS NULL OR NOT $3) AND body IS NOT NULL
   AND key > $4
 ORDER BY key LIMIT {BATCH} FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - a constant
SAVE_ANSWERS = """
UPDATE idempotency_keys k SET key_id = $2, body = n.ciphertext
  FROM unnest($3::tid[], $4::bytea[]) n (place, ciphertext) WHERE k.ctid = n.place AND k.account_id = $1
"""


class Use(msgspec.Struct, frozen=True):
    """How much of one account one key encrypts; the key is None for what is not encrypted yet."""

    account_id: UUID
    key_id: str | None
    secrets: int
    answers: int

    @property
    def rows(self) -> int:
        """How many rows these are."""
        return self.secrets + self.answers


class Batch(msgspec.Struct, frozen=True):
    """What one step did. `last` is where the next one goes on; None at the end."""

    encrypted: int
    last: tuple[object, ...] | None


class Kind(msgspec.Struct, frozen=True):
    """One kind of encrypted rows: its statements, the order that they follow, and what a row is bound to."""

    next: str
    save: str
    columns: tuple[str, ...]
    start: tuple[object, ...]
    context: Callable[[UUID, Record], str]


KINDS = (
    Kind(
        NEXT_SECRETS,
        SAVE_SECRETS,
        ("policy_id", "id"),
        (UUID(int=0), UUID(int=0)),
        lambda account_id, row: policy_secrets.context(account_id, row["policy_id"]),
    ),
    Kind(
        NEXT_ANSWERS,
        SAVE_ANSWERS,
        ("key",),
        ("",),
        lambda account_id, row: idempotency.context(account_id, row["key"]),
    ),
)


async def accounts_with_plain(connection: Connection) -> list[UUID]:
    """The accounts with something that is not encrypted yet."""
    return [row[0] for row in await connection.fetch(ACCOUNTS_WITH_PLAIN)]


async def by_key(connection: Connection) -> list[Use]:
    """What each key encrypts, by account."""
    return [Use(**row) for row in await connection.fetch(BY_KEY)]


async def encrypt_batch(tx: Tx, kind: Kind, after: tuple[object, ...], *, only_plain: bool) -> Batch:
    """Encrypt the next rows of this kind with the first key. Those whose own key is missing stay as they are."""
    rows = await tx.connection.fetch(kind.next, tx.account_id, tx.keys.first, only_plain, *after)
    places: list[object] = []
    ciphertexts: list[bytes] = []
    for row in rows:
        context = kind.context(tx.account_id, row)
        try:
            plaintext = tx.keys.decrypt(row["key_id"], row["ciphertext"], context)
        except Undecryptable:
            continue
        places.append(row["ctid"])
        ciphertexts.append(tx.keys.encrypt(plaintext, context)[1])
    if places:
        await tx.connection.execute(kind.save, tx.account_id, tx.keys.first, places, ciphertexts)
    last = tuple(rows[-1][column] for column in kind.columns) if len(rows) == BATCH else None
    return Batch(len(places), last)
