"""Numbered changes of the schema: Alembic runs them, plain SQL is inside."""
