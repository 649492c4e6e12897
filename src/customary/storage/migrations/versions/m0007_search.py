"""One-box search: what each customer is found by in one folded text, with one index of trigrams for all searches.

The index takes the place of one for each filter: whatever a filter looks for stands in that text as well. It is over
the text in ASCII, because in a database of the C locale trigrams are made of English letters only.
"""

from typing import Any
from uuid import UUID

from alembic import op
from sqlalchemy import Connection, text

from customary.domain.search import document, fold, index_key
from customary.storage.migrations.script import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE customers
    ADD COLUMN search_emails text COLLATE "C",    -- of the contacts that are not archived, folded, on a line each
    ADD COLUMN search_document text COLLATE "C",  -- name, label, domain, e-mails, aliases and ids of links, folded
    ADD COLUMN search_key text COLLATE "C";       -- the same in ASCII, for the index
"""

STORED = text("""
SELECT c.account_id, c.id, c.legal_name, c.label, c.domain,
       ARRAY(SELECT k.email FROM contacts k
              WHERE k.account_id = c.account_id AND k.customer_id = c.id AND k.archived_at IS NULL) AS emails,
       ARRAY(SELECT a.value FROM customer_aliases a
              WHERE a.account_id = c.account_id AND a.customer_id = c.id) AS aliases,
       ARRAY(SELECT l.external_id FROM integration_links l
              WHERE l.account_id = c.account_id AND l.customer_id = c.id AND NOT l.is_pending) AS external_ids
  FROM customers c
 WHERE (c.account_id, c.id) > (CAST(:account_id AS uuid), CAST(:id AS uuid))
 ORDER BY c.account_id, c.id LIMIT :batch
""")
FILL = text("""
UPDATE customers c SET search_emails = given.emails, search_document = given.document, search_key = given.key
  FROM unnest(CAST(:account_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:emails AS text[]), CAST(:documents AS text[]),
              CAST(:keys AS text[])) AS given (account_id, id, emails, document, key)
 WHERE c.account_id = given.account_id AND c.id = given.id
""")

INDEXES = """
ALTER TABLE customers
    ALTER COLUMN search_emails SET NOT NULL,
    ALTER COLUMN search_document SET NOT NULL,
    ALTER COLUMN search_key SET NOT NULL;
ALTER TABLE contacts DROP COLUMN email_search;  -- with its index
CREATE INDEX customers_search_trigrams ON customers USING gin (search_key gin_trgm_ops);
CREATE INDEX customers_custom_properties ON customers USING gin (custom_properties jsonb_path_ops);
DROP INDEX customers_legal_name_trigrams, customers_label_trigrams;
-- The number of customers is part of every page: this is small, and counting it needs no row.
CREATE INDEX customers_unarchived ON customers (account_id) WHERE archived_at IS NULL;
"""

# Like the functions of the first migration: they run as the owner, because LIKE and @> are not leakproof and under a
# policy could not use an index, and they take the tenant from the setting, never from their caller. Each statement is
# planned for the values at hand: rare words want the index, frequent ones or a small account do not.
FUNCTIONS = """
DROP FUNCTION customers_with_legal_name(text), customers_with_label(text), customers_with_email(text);

CREATE FUNCTION customers_with_text(patterns text[], most integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    conditions text := '';
BEGIN
    FOR number IN 1 .. cardinality(patterns) LOOP  -- LIKE ALL could not use the index
        -- Without three letters or digits in a row the index would go through all that it has: then it is a filter.
        conditions := conditions || format(
            CASE WHEN patterns[number] ~ '[0-9a-z]{3}' THEN ' AND search_key LIKE ($2)[%s]'
                 ELSE ' AND coalesce(search_key LIKE ($2)[%s], false)' END, number);
    END LOOP;
    RETURN QUERY EXECUTE 'SELECT id FROM customers WHERE account_id = $1' || conditions || ' LIMIT $3'
        USING nullif(current_setting('app.account', true), '')::uuid, patterns, most;
END
$$;
CREATE FUNCTION customers_with_properties(wanted jsonb, most integer) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN QUERY EXECUTE 'SELECT id FROM customers WHERE account_id = $1 AND custom_properties @> $2 LIMIT $3'
        USING nullif(current_setting('app.account', true), '')::uuid, wanted, most;
END
$$;

REVOKE ALL ON FUNCTION customers_with_text(text[], integer), customers_with_properties(jsonb, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION customers_with_text(text[], integer), customers_with_properties(jsonb, integer)
    TO customary_service;
"""


def upgrade() -> None:
    """Add the texts, fill them for the customers that are there, and index them."""
    run(COLUMNS)
    fill(op.get_bind())
    run(INDEXES)
    run(FUNCTIONS)


def fill(connection: Connection, batch: int = 1_000) -> None:
    """Give every customer its text. Folding is Python's, so the rows come here and go back, a batch at a time."""
    last = {"account_id": UUID(int=0), "id": UUID(int=0)}
    while rows := connection.execute(STORED, {**last, "batch": batch}).all():
        documents = [_document(row) for row in rows]
        filled = {
            "account_ids": [row.account_id for row in rows],
            "ids": [row.id for row in rows],
            "emails": ["\n".join(map(fold, row.emails)) for row in rows],
            "documents": documents,
            "keys": [index_key(each) for each in documents],
        }
        connection.execute(FILL, filled)
        last = {"account_id": rows[-1].account_id, "id": rows[-1].id}


def _document(row: Any) -> str:  # noqa: ANN401 - a row of STORED
    own = (each for each in (row.legal_name, row.label, row.domain) if each is not None)
    return document([*own, *row.emails, *row.aliases, *row.external_ids])


def downgrade() -> None:
    """Refuse: the earlier release would not keep the texts up to date."""
    message = "There is no way back: the earlier release would not keep up what customers are found by."
    raise NotImplementedError(message)
