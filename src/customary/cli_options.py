"""The options that many commands have: where the database is, whose account, and JSON instead of tables."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="CUSTOMARY_DATA_DIR",
        help="Where the embedded database lives. Without it: your user data directory.",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        envvar="CUSTOMARY_DATABASE_URL",
        help="A PostgreSQL (15 to 18) of your own, as postgresql://user:password@host/database.",
    ),
]
AccountName = Annotated[str, typer.Option("--account", help="The name or the id of the account.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
