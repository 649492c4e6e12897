"""Which custom property keys an account's customers use."""

from customary.storage.database import Reading

# `custom_property_keys` has a row for each customer and key, kept by a trigger on customers, so that customers who
# share a key never wait for each other as they would for a row that counts them. The keys are found by jumping from
# one to the next greater one: this grows with the number of different keys, whatever the number of customers.
KEYS = """
WITH RECURSIVE found (key) AS (
    (SELECT p.key FROM custom_property_keys p WHERE p.account_id = $1 ORDER BY p.key LIMIT 1)
    UNION ALL
    SELECT (SELECT p.key FROM custom_property_keys p WHERE p.account_id = $1 AND p.key > found.key
             ORDER BY p.key LIMIT 1)
      FROM found WHERE found.key IS NOT NULL
)
SELECT key FROM found WHERE key IS NOT NULL
"""


async def keys(reading: Reading) -> list[str]:
    """Every key that a customer of this account has, archived ones included, by Unicode code point."""
    return [row["key"] for row in await reading.connection.fetch(KEYS, reading.account_id)]
