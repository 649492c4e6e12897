"""Every other command, in processes of its own, beside a running server and without one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner
from tests.faults.support import (
    Key,
    Service,
    customary,
    data_dir,
    database_processes,
    free_port,
    new_data_dir,
    refused,
    serving,
    succeeded,
    until,
)
from tests.support import bodies
from tests.support.clients import FIRST, NEWEST, VERSIONS

from customary.cli import app
from customary.domain.activity import EventType
from customary.storage import schema

__all__ = ["data_dir"]

COMMANDS = (
    (),
    ("serve",),
    ("migrate",),
    ("accounts",),
    ("accounts", "create"),
    ("accounts", "list"),
    ("keys",),
    ("keys", "create"),
    ("keys", "list"),
    ("keys", "revoke"),
    ("keys", "rotate"),
    ("deliveries",),
    ("deliveries", "list"),
    ("deliveries", "show"),
    ("deliveries", "retry"),
    ("deliveries", "replay"),
    ("deliveries", "recipients"),
    ("deliveries", "resume"),
    ("openapi",),
    ("doctor",),
    ("secrets",),
    ("secrets", "new-key"),
    ("secrets", "reencrypt"),
    ("listen",),
    ("trigger",),
    ("users",),
    ("users", "create"),
    ("users", "list"),
    ("worker",),
)
NOBODY = "01a1fb08-0000-7000-8000-000000000000"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server; every command works on the data directory that it holds."""
    with new_data_dir() as directory, serving(directory) as running:
        yield running


@pytest.fixture
def here(service: Service) -> tuple[str, str]:
    """The options that name the server's database."""
    return "--data-dir", str(service.data_dir)


def new_key(*options: str, account: str = "default") -> Key:
    """A key as a script makes it."""
    made = json.loads(succeeded("keys", "create", "--account", account, "--json", *options))
    assert made.keys() == {"clientId", "clientSecret"}
    return Key(made["clientId"], made["clientSecret"])


def listed(what: str, *options: str) -> list[dict[str, Any]]:
    return json.loads(succeeded(what, "list", "--json", *options))


def status(service: Service, key: Key, method: str = "GET", **options: Any) -> httpx.Response:  # noqa: ANN401 - what httpx takes
    with service.client(key) as client:
        return client.request(method, "/customers", **options)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(command: tuple[str, ...]) -> None:
    """Every command, and every group of them, says what it does and what each option means."""
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Usage:" in shown.output
    found: click.Command = app
    for word in command:
        assert isinstance(found, click.Group)
        found = found.commands[word]
    assert found.help
    options = [each for each in found.params if isinstance(each, click.Option)]
    assert [each.opts for each in options if not each.help] == []
    assert all(each.opts[0] in shown.output for each in options)


def test_help_of_serve_names_every_option_and_variable() -> None:
    """What can be set is found where one looks first."""
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for option in ("--host", "--port", "--data-dir", "--database-url", "--workers", "--no-worker"):
        assert option in shown
    for name in ("HOST", "PORT", "DATA_DIR", "DATABASE_URL", "WORKERS"):
        assert f"CUSTOMARY_{name}" in shown


def test_help_of_trigger_names_every_event() -> None:
    """They are an argument, which click leaves to the description to explain."""
    shown = CliRunner().invoke(app, ["trigger", "--help"], env={"COLUMNS": "200"}).output
    assert all(event_type in shown for event_type in EventType)


def test_a_command_that_is_typed_wrongly() -> None:
    """One line says what is wrong with it, and it ends as such commands do."""
    ran = customary("serve", "--port", "eighty")
    assert (ran.status, ran.output) == (2, "")
    assert "Try 'customary serve --help' for help." in ran.error
    assert ran.error.splitlines()[-1].startswith("Error: Invalid value for '--port'")


def test_an_account_and_its_keys(service: Service, here: tuple[str, str]) -> None:
    """A new account's key sees that account only; by its name or by its id it is the same account."""
    made = json.loads(succeeded("accounts", "create", "Ärzte & Co", "--json", *here))
    assert made.keys() == {"id", "name", "createdAt"}
    assert made["name"] == "Ärzte & Co"
    assert made in listed("accounts", *here)
    assert "default" in [each["name"] for each in listed("accounts", *here)]
    assert status(service, service.key, "POST", json=bodies.newest()).status_code == 201
    for account in (made["name"], made["id"]):
        key = new_key("--name", "laptop", *here, account=account)
        assert status(service, key).json()["items"] == []
        found = [each for each in listed("keys", *here) if each["clientId"] == key.client_id]
        assert [(each["accountId"], each["name"]) for each in found] == [(made["id"], "laptop")]
        assert found[0]["scopes"] == ["read", "write"]
        assert found[0]["pinnedVersion"] is found[0]["revokedAt"] is None


def test_the_same_for_people(here: tuple[str, str]) -> None:
    """Without --json, sentences and tables."""
    assert re.fullmatch(
        r"Made the account 'People' with the id [0-9a-f-]{36}\.\n", succeeded("accounts", "create", "People", *here)
    )
    printed = succeeded("keys", "create", "--account", "People", "--name", "phone", *here)
    client_id, secret = re.findall(r"^Client (?:id|secret): +(\S+)$", printed, re.MULTILINE)
    assert secret.startswith("csk_")
    assert "People" in succeeded("accounts", "list", *here)
    table = succeeded("keys", "list", *here)
    assert client_id in table
    assert "phone" in table
    assert secret not in table


def test_a_key_that_only_reads(service: Service, here: tuple[str, str]) -> None:
    """It lists, and is forbidden to create; one that only writes is forbidden to list."""
    reader, writer = new_key("--scope", "read", *here), new_key("--scope", "write", *here)
    assert status(service, reader).status_code == 200
    assert status(service, reader, "POST", json=bodies.newest()).status_code == 403
    assert status(service, writer).status_code == 403
    assert status(service, writer, "POST", json=bodies.newest()).status_code == 201
    both = new_key("--scope", "read", "--scope", "write", *here)
    assert status(service, both, "POST", json=bodies.newest()).status_code == 201


def test_a_key_pinned_to_a_version(service: Service, here: tuple[str, str]) -> None:
    """Its requests without a version are answered in that one, a version in the request still wins."""
    key = new_key("--pin", FIRST, *here)
    assert status(service, key).headers["sequence-version"].startswith(FIRST)
    newest = status(service, key, headers={"sequence-version": NEWEST})
    assert newest.headers["sequence-version"].startswith(NEWEST)
    assert FIRST in [each["pinnedVersion"] for each in listed("keys", *here)]


def test_a_revoked_key(service: Service, here: tuple[str, str]) -> None:
    """It opens nothing any more; other keys do."""
    key = new_key(*here)
    assert status(service, key).status_code == 200
    assert succeeded("keys", "revoke", key.client_id, *here) == f"Revoked the key {key.client_id}.\n"
    until(lambda: status(service, key).status_code == 401)
    assert status(service, service.key).status_code == 200
    assert [each["revokedAt"] is None for each in listed("keys", *here) if each["clientId"] == key.client_id] == [False]


def test_deliveries(service: Service, here: tuple[str, str]) -> None:
    """What the server's worker does is seen and acted on beside it, here with a recipient that nobody answers for."""
    url = f"https://127.0.0.1:{free_port()}/"
    policy = {"name": "Hooks", "channel": "WEBHOOK", "recipients": [url]}
    with service.client() as client:
        made = client.post("/notifications/policies", json=policy).json()
        customer = client.post("/customers", json=bodies.newest()).json()
    of_policy = ("--policy", made["id"], *here)

    def attempted() -> list[dict[str, Any]]:
        return [each for each in listed("deliveries", *of_policy) if "lastOutcome" in each]

    [found] = until(attempted)
    assert (found["resourceId"], found["lastOutcome"]) == (customer["id"], "UNREACHABLE")
    shown = json.loads(succeeded("deliveries", "show", found["webhookId"], "--json", *here))
    assert "could not be reached" in shown["attempted"][-1]["error"]
    assert url in succeeded("deliveries", "recipients", *of_policy)
    resumed = succeeded("deliveries", "resume", "--recipient", url, *of_policy)
    assert resumed == f"Resumed {url}; 1 deliveries wait for it.\n"
    assert succeeded("deliveries", "replay", "--failed", *of_policy) == "There was nothing to replay.\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("keys", "create", "--account", "nobody"), "no account 'nobody'"),
        (("accounts", "create", "default"), "an account named 'default' already"),
        (("accounts", "create", ""), "a name of 1 to 255 characters"),
        (("accounts", "create", "x" * 256), "a name of 1 to 255 characters"),
        (("keys", "create", "--account", "default", "--pin", "2023-01-01"), "no API version '2023-01-01'"),
        (("keys", "revoke", NOBODY), f"no key with the client id '{NOBODY}'"),
        (("keys", "revoke", "nonsense"), "no key with the client id 'nonsense'"),
    ],
)
def test_what_cannot_be_done(here: tuple[str, str], command: tuple[str, ...], says: str) -> None:
    """One sentence says what is wrong, and nothing else is printed."""
    assert says in refused(*command, *here)


def test_an_unknown_version_of_the_document() -> None:
    """The sentence names the versions there are."""
    sentence = refused("openapi", "2023-01-01")
    assert all(version in sentence for version in VERSIONS)


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("serve", "postgresql://nobody:hidden@127.0.0.1:1/none"),
        ("serve", "nonsense"),
        ("migrate", "postgresql://nobody:hidden@no-such-host.invalid/none"),
        ("doctor", "postgresql://nobody:hid/den@127.0.0.1/none"),
        ("accounts list", "mysql://nobody:hidden@127.0.0.1/none"),
        ("keys list", "postgresql://[::1/none"),
    ],
)
def test_a_database_url_that_does_not_work(command: str, url: str) -> None:
    """One sentence says so, without the password."""
    port = ("--port", str(free_port())) if command == "serve" else ()
    sentence = refused(*command.split(), *port, "--database-url", url)
    assert "database URL" in sentence
    assert "hid" not in sentence


@pytest.mark.parametrize("version", VERSIONS)
def test_the_document_of_a_version(service: Service, version: str) -> None:
    """The command prints what the server serves."""
    served = httpx.get(f"{service.url}/api/openapi/{version}.json", trust_env=False)
    assert served.status_code == 200
    assert json.loads(succeeded("openapi", version)) == served.json()
    assert served.json()["openapi"].startswith("3.")


def test_migrate_and_doctor(here: tuple[str, str]) -> None:
    """The embedded database needs no migration by hand, and all of it is as it should be."""
    assert succeeded("migrate", *here) == f"The schema is at version {schema.HEAD} already.\n"
    findings = json.loads(succeeded("doctor", "--json", *here))
    assert {each["verdict"] for each in findings if each["topic"] != "disk"} == {"fine"}
    topics = {each["topic"] for each in findings}
    assert topics >= {"schema", "setting fsync", "service role", "connections", "clock", "disk"}
    assert "fsync" in succeeded("doctor", *here)


def test_without_a_server(data_dir: Path) -> None:
    """Each command starts the database for as long as it lasts; the first one of all makes it."""
    here = ("--data-dir", str(data_dir))
    succeeded("accounts", "create", "early", *here)
    assert not database_processes(data_dir)
    key = new_key(*here, account="early")
    assert not database_processes(data_dir)
    assert [each["clientId"] for each in listed("keys", *here)] == [key.client_id]
    assert customary("doctor", *here).status == 0
    assert refused("keys", "revoke", NOBODY, *here)
    assert not database_processes(data_dir)
    with serving(data_dir, given={}) as service, service.client(key) as client:
        assert client.get("/customers").status_code == 200


def test_a_data_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """What the operating system refuses is a sentence too."""
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused("accounts", "list", "--data-dir", tmp_path / "file")
    assert "/proc/nowhere" in refused("serve", "--data-dir", "/proc/nowhere", "--port", str(free_port()))
