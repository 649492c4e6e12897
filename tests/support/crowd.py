"""Customers by the ten thousand, made inside PostgreSQL: their texts as the service stores them, without its time."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

# Texts of ASCII without capitals are folded already, so SQL alone can write what a search compares. Most customers
# share their words with many others; what is looked for has a number in it. Two of three belong to the first account.
CUSTOMERS = """
INSERT INTO customers (account_id, id, legal_name, legal_name_sort, legal_name_search, label, label_sort, label_search,
    domain, address, tax_status, status, custom_properties, version, created_at, updated_at, archived_at,
    search_emails, search_document, search_key)
SELECT ($1::uuid[])[1 + CASE n % 6 WHEN 4 THEN 1 WHEN 5 THEN 2 ELSE 0 END], id, name, name, name, label, label, label,
       domain, '{"line1": "1 High Street", "town": "Bristol", "postcode": "BS1 4ST", "country": "GB"}', 'TAXED',
       'ACTIVE', jsonb_build_object('region', 'r' || n % 12, 'crm', 'crm-' || n), 1, made, made,
       CASE WHEN n % 50 = 0 THEN made END, email, document, document
  FROM (SELECT *, E'\\n' || name || coalesce(E'\\n' || label, '') || E'\\n' || domain || E'\\n' || email || E'\\n'
                  || alias || E'\\n' AS document
          FROM (SELECT n, md5('customer' || n)::uuid AS id,
                       first[1 + n * 7919 % 20] || ' ' || second[1 + n * 104729 % 20] || ' ' || n || ' '
                           || legal[1 + n % 4] AS name,
                       CASE WHEN n % 3 = 0 THEN 'tier ' || n % 1000 END AS label,
                       second[1 + n * 104729 % 20] || n || '.example' AS domain,
                       'billing' || n || '@' || second[1 + n * 104729 % 20] || n || '.example' AS email,
                       'crm-' || n AS alias,
                       timestamptz '2020-01-01 00:00:00Z' + n * interval '1 second' AS made
                  FROM generate_series($2::bigint, $3::bigint) n,
                       (SELECT string_to_array('northern southern eastern western royal united general modern '
                                   'central atlantic pacific global alpine nordic silver golden crystal summit '
                                   'harbour meadow', ' ') AS first,
                               string_to_array('instruments optics foods textiles motors shipping energy timber '
                                   'pharma printing robotics ceramics logistics dairy media software mining paper '
                                   'glass steel', ' ') AS second,
                               string_to_array('ltd gmbh inc sarl', ' ') AS legal) words) made) told
"""
CONTACTS = """
INSERT INTO contacts (account_id, id, customer_id, name, email, email_key, billing_preference, created_at, updated_at)
SELECT account_id, md5('contact' || id)::uuid, id, 'billing', search_emails, search_emails, 'PRIMARY', created_at,
       created_at
  FROM customers
"""
ALIASES = """
INSERT INTO customer_aliases (account_id, id, customer_id, value, created_at)
SELECT account_id, md5('alias' || id)::uuid, id, custom_properties ->> 'crm', created_at FROM customers
"""


async def gather(owner: "asyncpg.Connection[asyncpg.Record]", account_ids: Sequence[UUID], count: int) -> None:
    """Give these three accounts so many customers together, and tell the planner of them."""
    await owner.execute(CUSTOMERS, list(account_ids), 1, count)
    await owner.execute(CONTACTS)
    await owner.execute(ALIASES)
    for table in ("customers", "contacts", "customer_aliases"):
        await owner.execute(f"VACUUM ANALYZE {table}")
