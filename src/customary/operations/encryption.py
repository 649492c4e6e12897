"""Encrypting what is stored with another key, or at all, while the service goes on."""

from collections.abc import Callable
from uuid import UUID

from msgspec import Struct

from customary.operations.work import SERVICE
from customary.storage import api_keys, encrypted_rows
from customary.storage.database import Database
from customary.storage.encrypted_rows import KINDS, Use

_ROUNDS = 3


class Reencryption(Struct, frozen=True):
    """What came of it: the rows that were encrypted anew, and how many rows each key encrypts now.

    None stands for rows that are not encrypted at all.
    """

    encrypted: int
    rows: dict[str | None, int]


async def encrypt_plain(database: Database) -> int:
    """Encrypt all that is not encrypted yet, with the first key, and hash API secrets with it; how many rows that were.

    Several processes may do it at once. Raises `Unavailable` while the database cannot answer.
    """
    async with database.without_tenant() as connection:
        accounts = await encrypted_rows.accounts_with_plain(connection)
    wrapped = [await _wrap_api_secrets(database, account) for account in accounts]
    encrypted = [await _encrypt_account(database, account, _unseen, only_plain=True) for account in accounts]
    return sum(wrapped) + sum(encrypted)


async def reencrypt(
    database: Database, *, on_start: Callable[[int], None], on_progress: Callable[[int], None]
) -> Reencryption:
    """Encrypt everything with the first key that is under another one, or under none.

    The secrets of API keys are not encrypted but hashed: each comes under the first key when it is next used.

    `on_start` is told how many rows there are to do, `on_progress` of each step how many it did. Rows that somebody
    is changing, or that come meanwhile, are done in another round. Raises `Unavailable` while the database cannot
    answer; what was done until then stays done.
    """
    encrypted, uses = 0, await _uses(database)
    on_start(sum(use.rows for use in _outdated(database, uses)))
    for _ in range(_ROUNDS):
        accounts = dict.fromkeys(use.account_id for use in _outdated(database, uses))
        if not accounts:
            break
        for account_id in accounts:
            encrypted += await _encrypt_account(database, account_id, on_progress, only_plain=False)
        uses = await _uses(database)
    return Reencryption(encrypted, rows_by_key(uses))


def rows_by_key(uses: list[Use]) -> dict[str | None, int]:
    """How many rows each key encrypts, over all accounts."""
    found: dict[str | None, int] = {}
    for use in uses:
        found[use.key_id] = found.get(use.key_id, 0) + use.rows
    return found


def _outdated(database: Database, uses: list[Use]) -> list[Use]:
    """What is to be encrypted anew and can be: rows whose key is missing stay as they are."""
    known = {None, *database.keys.ids} - {database.keys.first}
    return [use for use in uses if use.key_id in known]


async def _uses(database: Database) -> list[Use]:
    async with database.without_tenant() as connection:
        return await encrypted_rows.by_key(connection)


async def _encrypt_account(
    database: Database, account_id: UUID, on_progress: Callable[[int], None], *, only_plain: bool
) -> int:
    """Encrypt the rows of one account, each batch in a transaction of its own."""
    encrypted = 0
    for kind in KINDS:
        after: tuple[object, ...] | None = kind.start
        while after is not None:
            async with database.transaction(account_id, SERVICE) as tx:
                batch = await encrypted_rows.encrypt_batch(tx, kind, after, only_plain=only_plain)
            encrypted, after = encrypted + batch.encrypted, batch.last
            on_progress(batch.encrypted)
    return encrypted


async def _wrap_api_secrets(database: Database, account_id: UUID) -> int:
    """Hash the API secrets of one account that are without a pepper, each batch in a transaction of its own."""
    wrapped = 0
    while True:
        async with database.transaction(account_id, SERVICE) as tx:
            batch = await api_keys.wrap_plain(tx)
        wrapped += batch
        if not batch:
            return wrapped


def _unseen(_encrypted: int) -> None:
    """Nobody watches."""
