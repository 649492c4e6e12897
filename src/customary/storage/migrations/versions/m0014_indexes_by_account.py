"""The search of an account does not read what its neighbours have: the account comes first in both of its indexes.

They were for all accounts together, so a word of a few of one's own customers was looked up among everybody's, and
took the longer the more customers the neighbours had. What the counts of customers are put together from is looked
for once, where the planner could look for it again for each row.
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
    LANGUAGE sql SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM customer_counts c WHERE c.account_id = account AND c.id = ANY (ARRAY(
            SELECT s.id FROM customer_counts s WHERE s.account_id = account
             LIMIT 1000 FOR UPDATE SKIP LOCKED))
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
