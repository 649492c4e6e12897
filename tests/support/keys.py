"""Secret keys of the tests, and what is encrypted with them."""

from uuid import UUID

from tests.support.cluster import Database

from customary.storage import policy_secrets
from customary.storage.database import Database as Pool
from customary.storage.secret_keys import KeyRing, parse

TEXT = "k-test:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
OTHER_TEXT = "k-other:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
KEYS: KeyRing = parse(TEXT)
OTHER_KEYS: KeyRing = parse(OTHER_TEXT)
# Two keys of which the new one encrypts, as an operator has them while one is replaced.
BOTH_KEYS: KeyRing = parse(f"{OTHER_TEXT},{TEXT}")


async def live_secrets(database: Database, account_id: UUID, policy_id: str, keys: KeyRing = KEYS) -> tuple[str, ...]:
    """The secrets that sign for this policy now, as whoever sends reads them."""
    pool = await Pool.open(database.service_url, pool_size=1, keys=keys)
    try:
        async with pool.reading(account_id) as reading:
            return await policy_secrets.live(reading, UUID(policy_id))
    finally:
        pool.close()
