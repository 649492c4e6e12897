"""How many customers an account has, kept as they come and go: counting a million takes a tenth of a second.

One number in one row would be locked by every write until its commit. So each write adds a row with the difference
that it makes, and now and then one of them puts those that are committed together.
"""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE customer_counts (
    account_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    unarchived bigint NOT NULL,  -- how many more there are, or fewer
    archived bigint NOT NULL,
    PRIMARY KEY (account_id, id),
    CONSTRAINT customer_counts_account_id_fkey FOREIGN KEY (account_id) REFERENCES accounts (id)
);
"""

# With the rights of whoever writes: the policies hold here too. What another transaction is putting together is left
# to it. Whoever reads sees the rows from before or the one from after, as with any other change.
TRIGGERS = """
CREATE FUNCTION put_customer_counts_together(account uuid) RETURNS void
    LANGUAGE sql SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM customer_counts c WHERE c.account_id = account AND c.id IN (
            SELECT s.id FROM customer_counts s WHERE s.account_id = account
             LIMIT 1000 FOR UPDATE SKIP LOCKED)
        RETURNING c.unarchived, c.archived)
    INSERT INTO customer_counts (account_id, unarchived, archived)
    SELECT account, sum(unarchived), sum(archived) FROM gone HAVING count(*) > 0
$$;

CREATE FUNCTION count_customers(account uuid, more_unarchived bigint, more_archived bigint) RETURNS void
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    added uuid;
BEGIN
    INSERT INTO customer_counts (account_id, unarchived, archived)
    VALUES (account, more_unarchived, more_archived) RETURNING id INTO added;
    IF get_byte(uuid_send(added), 15) < 4 THEN  -- one in sixty-four
        PERFORM put_customer_counts_together(account);
    END IF;
END
$$;

CREATE FUNCTION count_new_customers() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM count_customers(account_id, count(*) FILTER (WHERE archived_at IS NULL),
                            count(*) FILTER (WHERE archived_at IS NOT NULL))
       FROM added GROUP BY account_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER customers_are_counted AFTER INSERT ON customers
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_new_customers();

CREATE FUNCTION count_archived_customer() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    step int := CASE WHEN NEW.archived_at IS NULL THEN 1 ELSE -1 END;
BEGIN
    PERFORM count_customers(NEW.account_id, step, -step);
    RETURN NULL;
END
$$;
CREATE TRIGGER customers_archived_are_counted AFTER UPDATE ON customers
    FOR EACH ROW WHEN ((OLD.archived_at IS NULL) <> (NEW.archived_at IS NULL))
    EXECUTE FUNCTION count_archived_customer();

CREATE FUNCTION count_removed_customer() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM count_customers(OLD.account_id, -(OLD.archived_at IS NULL)::int, -(OLD.archived_at IS NOT NULL)::int);
    RETURN NULL;
END
$$;
CREATE TRIGGER customers_removed_are_counted AFTER DELETE ON customers
    FOR EACH ROW EXECUTE FUNCTION count_removed_customer();
GRANT SELECT, INSERT, DELETE, UPDATE ON customer_counts TO customary_service;
"""

# Nobody can add a customer in between: a trigger takes a lock that waits for all who do.
FILL = """
INSERT INTO customer_counts (account_id, unarchived, archived)
SELECT account_id, count(*) FILTER (WHERE archived_at IS NULL), count(*) FILTER (WHERE archived_at IS NOT NULL)
  FROM customers GROUP BY account_id;
DROP INDEX customers_unarchived;  -- it was there to be counted
"""


def upgrade() -> None:
    """Keep the counts from now on, beginning with what is there."""
    run(TABLES)
    bind_to_tenant("customer_counts")
    run(TRIGGERS)
    run(FILL)


def downgrade() -> None:
    """Refuse: the earlier release would not keep the counts."""
    message = "There is no way back: the earlier release would not keep the counts."
    raise NotImplementedError(message)
