"""The statements of the floor, which read and write the rows that the product reads and writes, and nothing else."""

from customary.domain.customer import Service
from customary.storage import customers

NEWEST = "2024-07-30"
_ORGANIZATIONS = """
    (SELECT json_agg(json_build_object('id', o.id,
                'owner', json_build_object('id', w.id, 'name', w.legal_name),
                'members', (SELECT json_agg(json_build_object('id', mc.id, 'name', mc.legal_name)
                                ORDER BY m.created_at, m.customer_id)
                              FROM organization_members m
                              JOIN customers mc ON mc.account_id = m.account_id AND mc.id = m.customer_id
                             WHERE m.account_id = o.account_id AND m.organization_id = o.id))
                ORDER BY o.created_at, o.id)
       FROM organizations o
       JOIN customers w ON w.account_id = o.account_id AND w.id = o.owner_id
      WHERE o.account_id = c.account_id
        AND o.id IN (SELECT own.id FROM organizations own
                      WHERE own.account_id = c.account_id AND own.owner_id = c.id
                     UNION ALL
                     SELECT j.organization_id FROM organization_members j
                      WHERE j.account_id = c.account_id AND j.customer_id = c.id))
"""
_CONTACTS = """
    (SELECT json_agg(json_build_object('id', k.id, 'name', k.name, 'email', k.email,
                'billingPreference', k.billing_preference, 'createdAt', k.created_at, 'updatedAt', k.updated_at)
                ORDER BY k.created_at, k.id)
       FROM contacts k
      WHERE k.account_id = c.account_id AND k.customer_id = c.id AND k.archived_at IS NULL)
"""
_SERVICES = "ARRAY[" + ", ".join(f"'{service.value}'" for service in Service) + "]"
_LINKS = f"""
    (SELECT json_agg(json_build_object('service', l.service, 'id', l.external_id, 'isPending', l.is_pending)
                ORDER BY array_position({_SERVICES}, l.service))
       FROM integration_links l
      WHERE l.account_id = c.account_id AND l.customer_id = c.id)
"""  # noqa: S608 - constants
_LISTED = f"""
    c.id, c.created_at, c.updated_at, {_ORGANIZATIONS}, c.legal_name, c.address, c.url, c.domain, c.label, {_LINKS},
    c.tax_status, c.custom_properties
"""
READ = f"SELECT {_LISTED}, {_CONTACTS}, c.status FROM customers c WHERE c.account_id = $1 AND c.id = $2"  # noqa: S608 - constants
PAGE = f"""
SELECT {_LISTED} FROM customers c WHERE c.account_id = $1 AND c.archived_at IS NULL
 ORDER BY c.created_at DESC, c.id DESC LIMIT $2
"""  # noqa: S608 - constants
COUNT = "SELECT count(*) FROM customers c WHERE c.account_id = $1 AND c.archived_at IS NULL"
SEARCH = """
SELECT c.*, count(*) OVER () AS total FROM customers c
 WHERE c.account_id = $1 AND c.search_key LIKE $2 ORDER BY c.created_at DESC, c.id DESC LIMIT 21
"""
# What the product stores for the same request: the customer with what belongs to it, its event with the whole customer,
# its activity with all fields, and the answer under the key. $1 is the account, $2 the customer's id, $3 the time.
CREATE = f"""
WITH c AS (INSERT INTO customers ({", ".join(customers.COLUMN_NAMES)})
    VALUES ($1, $2, $4, $5, $5, $6, $7, $7, $8, $9, NULL, $10, $11, 'ACTIVE', $12, 1, $3, $3, NULL, $13, $14, $14)),
k AS (INSERT INTO contacts ({", ".join(customers.CONTACT_COLUMN_NAMES)})
    VALUES ($1, $2, $15, $16, $13, $13, $17, $3, $3)),
a AS (INSERT INTO customer_aliases (account_id, customer_id, id, value, created_at) VALUES ($1, $2, $18, $19, $3)),
l AS (INSERT INTO integration_links ({", ".join(customers.LINK_COLUMN_NAMES[:-1])})
    VALUES ($1, $2, $20, $21, false, $3), ($1, $2, $22, $23, false, $3)),
e AS (INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at)
    VALUES ($1, $24, 'CUSTOMER_CREATED', $2, 1, $25, $3)),
g AS (INSERT INTO activity_logs (account_id, id, created_at, verb, object_type, object_id, object_reference,
        actor_type, actor_id, origin, api_version, trace_id, changes)
    VALUES ($1, $26, $3, 'CREATED', 'CUSTOMER', $2, $2, 'API_KEY', $1, 'API', '{NEWEST}', 'floor', $29)),
i AS (INSERT INTO idempotency_keys (account_id, key, key_id, created_at, status, headers, body)
    VALUES ($1, $27, 'floor', $3, 201, '[]', $28))
SELECT true
"""  # noqa: S608 - constants
