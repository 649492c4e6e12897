"""The search of an account does not read what its neighbours have: the account comes first in both of its indexes.

They were for all accounts together, so a word of a few of one's own customers was looked up among everybody's, and
took the longer the more customers the neighbours had.

The counts of customers are read by their index alone when they are put together. That way of reading takes note of rows
that are gone, so that the next one does not look at them again; the others looked at every row since the last vacuum.
"""

from customary.storage.migrations.script import run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INDEXES = """
DROP INDEX customers_search_trigrams, customers_custom_properties;
CREATE INDEX customers_search_trigrams ON customers USING gin (account_id, search_key gin_trgm_ops);
CREATE INDEX customers_custom_properties ON customers USING gin (account_id, custom_properties jsonb_path_ops);
"""

COUNTS = """
CREATE OR REPLACE FUNCTION put_customer_counts_together(account uuid) RETURNS void
    LANGUAGE sql SET search_path FROM CURRENT SET enable_bitmapscan = off SET enable_seqscan = off AS $$
    WITH gone AS (
        DELETE FROM customer_counts c WHERE c.account_id = account AND c.ctid = ANY (ARRAY(
            SELECT s.ctid FROM customer_counts s WHERE s.account_id = account
             ORDER BY s.id LIMIT 1000 FOR UPDATE SKIP LOCKED))
        RETURNING c.unarchived, c.archived)
    INSERT INTO customer_counts (account_id, unarchived, archived)
    SELECT account, sum(unarchived), sum(archived) FROM gone HAVING count(*) > 0
$$;
"""


def upgrade() -> None:
    """Build the indexes anew."""
    run(INDEXES)
    run(COUNTS)


def downgrade() -> None:
    """Refuse: the earlier release's command to migrate does not know the extension that these indexes need."""
    message = "There is no way back: the indexes need an extension that the earlier release does not install."
    raise NotImplementedError(message)
