"""What Alembic runs: it migrates over the connection that `customary.storage.schema` hands to it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
