"""Examines all versions and writes the table of it."""

from collections.abc import Sequence
from pathlib import Path

from tests.conformance.examination import Examiner, Verdict, operations
from tests.conformance.world import World
from tests.support.clients import VERSIONS, client_of, new_account, new_key, owner_connection, started
from tests.support.cluster import Database
from tests.support.published import ADDITIONS as FIELDS
from tests.support.published import published

from customary.domain.account import Scope
from customary.domain.user import Role
from customary.operations.users import create_user_as_operator

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
EXPECTED = 119


async def examined(database: Database) -> list[Verdict]:
    """The verdict on every published operation of every version, on an application of its own."""
    verdicts: list[Verdict] = []
    async with (
        started(database.service_url) as app,
        new_account(app, database.owner_url, "conformance") as account,
        owner_connection(database.owner_url) as owner,
        client_of(app, None) as stranger,
        client_of(app, await new_key(owner, account.id, scopes=frozenset[Scope]())) as powerless,
    ):
        for version in VERSIONS:
            document = published(version)
            for method, path in operations(document):
                email = f"user{len(verdicts)}@example.com"
                user = await create_user_as_operator(owner, account.id, email, Role.ADMIN)
                examiner = Examiner(document, World(account, str(user.id)), powerless, stranger)
                verdicts.append(await examiner.examine(method, path))
    return verdicts


def page(verdicts: Sequence[Verdict], additions: dict[str, str]) -> str:
    """The table as a page for people."""
    conformant = sum(verdict.is_conformant for verdict in verdicts)
    lines = [
        "# Conformance",
        "",
        "Every operation of the three published documents, run against this service by `make conformance`: the",
        "published example request is sent (ids of other objects and alias values replaced by ones that exist or are",
        "free), its answer is validated against the published schema with unknown fields forbidden, and each",
        "documented refusal is provoked and checked.",
        "",
        f"**{conformant} of {len(verdicts)} operations conform.**",
        "",
        "| version | operation | example accepted | answer valid | refusals valid |",
        "|---|---|---|---|---|",
        *(_row(verdict) for verdict in verdicts),
        "",
        "## What is ours alone",
        "",
        "Fields that answers carry beyond the published ones, in the newest version only:",
        "",
        *(
            f"- `{name}` in {schema}: {reason}"
            for (_, schema), fields in FIELDS.items()
            for name, reason in fields.items()
        ),
        "",
        "Everything that our OpenAPI documents say beyond the published ones, as patterns over facts, and why:",
        "",
        # The space keeps a page's reader from taking brackets for a link.
        *(f"- `{pattern.replace('](', '] (')}`: {reason}" for pattern, reason in additions.items()),
        "",
        "Operations of ours are tagged `Extensions` in the newest version's document.",
    ]
    return "\n".join(lines) + "\n"


def _row(verdict: Verdict) -> str:
    refusals = " ".join(map(str, verdict.refusals))
    cells = (
        verdict.version,
        f"`{verdict.method} {verdict.path}`",
        verdict.accepted or "yes",
        verdict.valid or "yes",
        verdict.refused or f"yes ({refusals})",
    )
    return f"| {' | '.join(cells)} |"
