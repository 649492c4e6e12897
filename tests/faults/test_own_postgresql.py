"""`customary` on a PostgreSQL of the operator's own, from an empty database to one that answers requests."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from tests.faults.support import Key, customary, free_port, refused, serving, succeeded, until
from tests.faults.support_postgresql import Server, majors, running, what_to_run
from tests.support import bodies
from tests.support.keys import KEYS, TEXT

from customary.domain.account import Scope
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key
from customary.storage import schema
from customary.storage.database import Database

WITH_KEYS = {"CUSTOMARY_SECRET_KEYS": TEXT}
MIGRATED = f"The schema is now at version {schema.HEAD}; it was empty.\n"


@pytest.fixture(scope="module", params=majors(), ids="PostgreSQL {}".format)
def postgresql(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of each major version that is installed here."""
    with running(request.param) as server:
        yield server


def serve(url: str) -> str:
    """The sentence with which `serve` refuses this database."""
    return refused("serve", "--port", str(free_port()), "--database-url", url)


def migrate(url: str) -> str:
    return succeeded("migrate", "--database-url", url)


def database_name(url: str) -> str:
    return url.rpartition("/")[2]


async def test_from_an_empty_database_to_a_search(postgresql: Server, tmp_path: Path) -> None:
    """`serve` names the commands for an empty database and for a key; then everything works for its ordinary owner."""
    url, role = await postgresql.database()
    await postgresql.let_serve(role)
    assert serve(url).endswith("Run, with the same database: customary migrate")
    assert migrate(url) == MIGRATED
    assert serve(url).endswith("This makes one: customary secrets new-key")
    with (
        serving(tmp_path / "none", "--database-url", url, "--workers", "2", given=WITH_KEYS) as service,
        service.client() as client,
    ):
        for name in ("Zoë's Café", "Acme", "Łódź Works"):
            made = client.post("/customers", json=bodies.newest(legalName=name))
            assert made.status_code == 201, made.text
        found = client.get("/customers", params={"legalName": "cafe"}).json()
        assert [item["legalName"] for item in found["items"]] == ["Zoë's Café"]
        assert sorted(pages(client)) == ["Acme", "Zoë's Café", "Łódź Works"]
    assert not (tmp_path / "none").exists()


def pages(client: httpx.Client) -> list[str]:
    """The legal names of all customers, from pages of one."""
    names: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/customers", params={"limit": 1, **after}).json()
        names += [item["legalName"] for item in page["items"]]
        if not page["pagination"].get("after"):
            return names
        after = {"after": page["pagination"]["after"]}


async def test_a_schema_that_does_not_fit(postgresql: Server) -> None:
    """Older: the command to run. Newer: the release to install. Nothing touches it."""
    url = await postgresql.migrated()
    for version, command, advice in (
        ("0000", "serve", "Run, with the same database: customary migrate"),
        ("9999", "serve", "Install the newer release."),
        ("9999", "migrate", "Install the newer release."),
    ):
        change = f"UPDATE customary.alembic_version SET version_num = '{version}' RETURNING 1"  # noqa: S608 - a constant
        await postgresql.run(change, database=database_name(url))
        assert advice in (serve(url) if command == "serve" else refused("migrate", "--database-url", url))
        assert await schema.current(url) == version


async def test_a_superuser(postgresql: Server, tmp_path: Path) -> None:
    """Its connections are bound by the policies all the same."""
    url, _ = await postgresql.database("SUPERUSER")
    assert migrate(url) == MIGRATED
    with serving(tmp_path / "none", "--database-url", url, given=WITH_KEYS) as service, service.client() as client:
        assert client.post("/customers", json=bodies.newest()).status_code == 201
        await require_bound(url)


async def require_bound(url: str) -> None:
    """The service's own connections are in its role, and see nothing but the account that they work for."""
    database = await Database.open(url, pool_size=2)
    try:
        async with database.without_tenant() as connection:
            assert await connection.fetchval("SELECT current_user") == schema.SERVICE_ROLE
            assert await connection.fetchval("SELECT row_security_active('customers')")
            for table in ("accounts", "api_keys", "customers", "contacts"):
                assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608 - constants
        async with database.reading(UUID(int=1)) as stranger:
            assert await stranger.connection.fetchval("SELECT count(*) FROM customers") == 0
    finally:
        database.close()


@pytest.mark.parametrize("major", majors())
async def test_the_first_database_of_a_server(major: int) -> None:
    """Without the service's role, the refusal tells an administrator what to run, and nothing else is needed.

    An owner who may create roles needs no administrator.
    """
    with running(major) as server:
        url, role = await server.database()
        statements = what_to_run(refused("migrate", "--database-url", url))
        assert statements == f"CREATE ROLE {schema.SERVICE_ROLE} NOLOGIN; GRANT {schema.SERVICE_ROLE} TO {role};"
        await server.run(statements, "SELECT 1")
        assert migrate(url) == MIGRATED
        await require_bound(url)
        forget = f"DROP OWNED BY {schema.SERVICE_ROLE}"
        await server.run(forget, f"DROP ROLE {schema.SERVICE_ROLE}", "SELECT 1", database=database_name(url))
        creator_url, _ = await server.database("CREATEROLE")
        assert migrate(creator_url) == MIGRATED
        await require_bound(creator_url)


async def test_a_login_without_rights(postgresql: Server) -> None:
    """Where the role exists, the refusal asks only for what is missing, with names that can be pasted as they are."""
    await postgresql.migrated()
    url, role = await postgresql.database(owner=False, name=f"Strange name {postgresql.major}")
    statements = what_to_run(refused("migrate", "--database-url", url))
    assert statements == (
        f'GRANT {schema.SERVICE_ROLE} TO {role}; GRANT CREATE ON DATABASE "Strange name {postgresql.major}" TO {role};'
    )
    await postgresql.run(statements, "SELECT 1")
    assert migrate(url) == MIGRATED
    await require_bound(url)


async def test_a_login_that_may_only_serve(postgresql: Server, tmp_path: Path) -> None:
    """A login that owns nothing can serve once it may work as the service; it cannot manage accounts and is told so."""
    owner_url = await postgresql.migrated()
    async with schema.connection(owner_url) as connection:
        account = await create_account(connection, "acme")
        made, secret = await create_key(connection, account.id, ring=KEYS, name="", scopes=frozenset(Scope))
    other_url, _ = await postgresql.database(owner=False)
    url = other_url.replace(database_name(other_url), database_name(owner_url))
    await postgresql.run(what_to_run(serve(url)), "SELECT 1")
    with serving(tmp_path / "none", "--database-url", url, given=WITH_KEYS) as service:
        assert "secret" not in service.output
        with service.client(Key(str(made.client_id), secret)) as client:
            assert client.post("/customers", json=bodies.newest()).status_code == 201
    assert "needs the owner" in refused("accounts", "list", "--database-url", url)
    await require_bound(url)


async def test_two_migrations_at_once(postgresql: Server) -> None:
    """Both succeed, whichever is first, beside one of another database of the same server."""
    urls: list[str] = []
    for _ in range(2):
        url, role = await postgresql.database()
        await postgresql.let_serve(role)
        urls.append(url)
    with ThreadPoolExecutor(3) as pool:
        ran = list(pool.map(lambda url: customary("migrate", "--database-url", url), [*urls, urls[0]]))
    assert [each.status for each in ran] == [0, 0, 0], ran
    assert [await schema.current(url) for url in urls] == [schema.HEAD, schema.HEAD]


async def test_doctor_finds_what_endangers_data(postgresql: Server) -> None:
    """A healthy database passes; one with fsync off is a problem, with exit code 1 and what to do."""
    url = await postgresql.migrated()
    healthy = customary("doctor", "--json", "--database-url", url)
    assert healthy.status == 0, healthy
    await postgresql.run("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    try:
        found = customary("doctor", "--json", "--database-url", url)
        assert found.status == 1
        findings = {each["topic"]: each for each in json.loads(found.output)}
        assert findings["setting fsync"]["verdict"] == "problem"
        assert "should be on" in findings["setting fsync"]["advice"]
    finally:
        await postgresql.run("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")


async def test_doctor_where_nothing_was_migrated(postgresql: Server) -> None:
    """It finds that too, and says which command to run."""
    url, _ = await postgresql.database()
    found = customary("doctor", "--json", "--database-url", url)
    assert found.status == 1
    findings = {each["topic"]: each for each in json.loads(found.output)}
    assert findings["schema"]["verdict"] == "problem"
    assert "customary migrate" in findings["schema"]["advice"]


async def test_the_database_goes_and_comes_back(postgresql: Server, tmp_path: Path) -> None:
    """Without its database the service says so, at once and in the envelope, and goes on when it is back."""
    url = await postgresql.migrated()
    with serving(tmp_path / "none", "--database-url", url, given=WITH_KEYS) as service, service.client() as client:
        postgresql.stop()
        try:
            until(lambda: service.status("/readyz") == 503)
            for method in ("GET", "POST"):
                answer = client.request(method, "/customers", json=bodies.newest())
                assert answer.status_code == 503
                assert answer.headers["retry-after"]
                assert answer.json()["error"]["type"] == "unavailable"
                assert answer.elapsed.total_seconds() < 5
        finally:
            postgresql.start()
        until(service.is_ready)
        assert client.post("/customers", json=bodies.newest()).status_code == 201
