"""Labels of aliases, the list of all aliases, and the custom property keys that are in use."""

from customary.storage.migrations.script import bind_to_tenant, run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE customer_aliases ADD COLUMN label text;
CREATE INDEX customer_aliases_by_created_at ON customer_aliases (account_id, created_at, id);

-- One row for each customer and key. A B-tree over a column of several values, which PostgreSQL has not.
CREATE TABLE custom_property_keys (
    account_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    customer_id uuid NOT NULL,
    PRIMARY KEY (account_id, key, customer_id),
    CONSTRAINT custom_property_keys_customer_id_fkey
        FOREIGN KEY (account_id, customer_id) REFERENCES customers (account_id, id)
);
"""

FILL = """
INSERT INTO custom_property_keys (account_id, key, customer_id)
SELECT c.account_id, jsonb_object_keys(c.custom_properties), c.id FROM customers c
"""

# The database keeps the keys itself, like an index, so that nothing that writes a customer can forget them. It does so
# with the rights of whoever writes: the policies hold here too.
TRIGGERS = """
CREATE FUNCTION keep_custom_property_keys() RETURNS trigger
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM custom_property_keys p
         WHERE p.account_id = OLD.account_id AND p.customer_id = OLD.id
           AND p.key IN (SELECT jsonb_object_keys(OLD.custom_properties)
                         EXCEPT SELECT jsonb_object_keys(NEW.custom_properties));
    END IF;
    INSERT INTO custom_property_keys (account_id, key, customer_id)
    SELECT NEW.account_id, jsonb_object_keys(NEW.custom_properties), NEW.id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER customers_custom_property_keys_of_new AFTER INSERT ON customers
    FOR EACH ROW WHEN (NEW.custom_properties <> '{}')
    EXECUTE FUNCTION keep_custom_property_keys();
CREATE TRIGGER customers_custom_property_keys_of_changed AFTER UPDATE ON customers
    FOR EACH ROW WHEN (NEW.custom_properties <> OLD.custom_properties)
    EXECUTE FUNCTION keep_custom_property_keys();
GRANT SELECT, INSERT, DELETE ON custom_property_keys TO customary_service;
"""


def upgrade() -> None:
    """Add the label and the index, and keep the keys from now on, beginning with those that are there."""
    run(TABLES)
    run(FILL)
    bind_to_tenant("custom_property_keys")
    run(TRIGGERS)


def downgrade() -> None:
    """Refuse: it would drop what people entered."""
    message = "There is no way back: it would drop what people entered."
    raise NotImplementedError(message)
