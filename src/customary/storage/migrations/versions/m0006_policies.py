"""Notification policies."""

from customary.storage.migrations.script import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
SELECT 1;
"""


def upgrade() -> None:
    """Make the tables."""
    run(TABLES)


def downgrade() -> None:
    """Refuse: it would drop what people entered."""
    message = "There is no way back: it would drop what people entered."
    raise NotImplementedError(message)
