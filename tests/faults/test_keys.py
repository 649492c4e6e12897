"""API keys of a real server with two worker processes: made, replaced and ended beside it, over real sockets."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from tests.faults.support import Key, Service, free_port, new_data_dir, refused, serving, succeeded, until
from tests.support.clients import FIRST

from customary.cli import app
from customary.domain.account import Scope
from customary.errors import SetupError
from customary.operations.api_keys import create_key, revoke_key, rotate_key
from customary.storage import accounts, embedded, schema
from customary.storage.database import Connection
from customary.storage.secret_keys import KeyRing, parse

SECRET = re.compile(r"csk_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")
CONNECTIONS = 12  # of each key; the kernel deals them out to the two processes


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server with two processes, which believes a proxy on this machine; its log has none of the secrets."""
    given = {"CUSTOMARY_TRUSTED_PROXIES": "127.0.0.0/8,::1/128"}
    with new_data_dir() as directory, serving(directory, "--workers", "2", given=given) as running:
        yield running
        logged = running.error
        assert not [secret for secret in {*_made, running.key.secret, "guess"} if secret in logged]
        assert '"status":401' in logged


@pytest.fixture
def here(service: Service) -> tuple[str, str]:
    """The options that name the server's database."""
    return "--data-dir", str(service.data_dir)


_made: list[str] = []


def printed_key(*command: str) -> Key:
    """The key that a command prints as a script reads it."""
    made = json.loads(succeeded("keys", *command, "--json"))
    assert made.keys() - {"overlapEndsAt"} == {"clientId", "clientSecret"}
    assert SECRET.fullmatch(made["clientSecret"])
    _made.append(made["clientSecret"])
    return Key(made["clientId"], made["clientSecret"])


def new_keys(service: Service, *all_options: dict[str, Any]) -> list[Key]:
    """Keys with these options, made in this process, which takes less time than the command."""
    ring, made = ring_of(service), list[Key]()

    async def make(owner: Connection) -> None:
        [account] = await accounts.all_accounts(owner)
        for options in all_options:
            key, secret = await create_key(owner, account.id, ring=ring, name="", scopes=frozenset(Scope), **options)
            made.append(Key(str(key.client_id), secret))

    as_owner(service, make)
    _made.extend(key.secret for key in made)
    return made


def ring_of(service: Service) -> KeyRing:
    return parse((service.data_dir / "secret-keys").read_text(encoding="utf-8"))


def listed(key: Key, *options: str) -> dict[str, Any]:
    [found] = [
        each for each in json.loads(succeeded("keys", "list", "--json", *options)) if each["clientId"] == key.client_id
    ]
    return found


def status(service: Service, key: Key, **headers: str) -> int:
    with service.client(key) as client:
        return client.get(
            "/customers", headers={name.replace("_", "-"): value for name, value in headers.items()}
        ).status_code


def as_owner(service: Service, use: Callable[[Connection], Awaitable[object]]) -> None:
    """Do this as the tables' owner, in this process: when it returns, it is committed."""

    async def run(url: str) -> None:
        async with schema.connection(url) as connection:
            await use(connection)

    with embedded.running(service.data_dir) as addresses:
        asyncio.run(run(addresses.owner_url))


def sockets(service: Service) -> dict[int, int]:
    """How many sockets each of the processes has that answer requests."""
    return {
        pid: sum(each.readlink().name.startswith("socket:") for each in Path(f"/proc/{pid}/fd").iterdir())
        for pid in service.workers()
    }


@contextmanager
def connected(service: Service, keys: list[Key]) -> Generator[dict[Key, list[httpx.Client]]]:
    """Connections that stay open, some for each key, with each of the server's processes."""
    with ExitStack() as stack:
        before = sockets(service)
        clients = {key: [stack.enter_context(service.client(key)) for _ in range(CONNECTIONS)] for key in keys}
        for key in keys:
            assert {client.get("/customers").status_code for client in clients[key]} == {200}
        after = sockets(service)
        assert len(before) == 2
        assert all(after[pid] > before[pid] for pid in before), "a process got none of the connections"
        yield clients


def test_what_is_ended_opens_nothing_in_any_process_a_second_later(service: Service) -> None:
    """A revoked key, one that has expired, and a secret that was replaced without an overlap. The new secret opens."""
    revoked, expired, replaced, other = new_keys(service, *[{}] * 4)
    ring, new = ring_of(service), list[str]()

    async def end(owner: Connection) -> None:
        await revoke_key(owner, revoked.client_id)
        new.append((await rotate_key(owner, replaced.client_id, timedelta(0), ring)).secret)
        await owner.execute("UPDATE api_keys SET expires_at = now() WHERE client_id::text = $1", expired.client_id)

    with connected(service, [revoked, expired, replaced, other]) as clients:
        as_owner(service, end)
        ended_at = time.monotonic()
        for key in (revoked, expired, replaced):
            for client in clients[key]:
                asked_at = time.monotonic()
                while client.get("/customers").status_code != 401:
                    assert asked_at - ended_at < 1, "it opened something that was asked for a second later"
                    asked_at = time.monotonic()
        until(lambda: time.monotonic() - ended_at > 1)
        for key, expected in ((revoked, 401), (expired, 401), (replaced, 401), (other, 200)):
            assert {client.get("/customers").status_code for client in clients[key]} == {expected}
    assert status(service, Key(replaced.client_id, new[0])) == 200


def test_guesses_are_counted_by_all_processes_together(service: Service) -> None:
    """A hundred of them get 401, whichever process answers, and who was let in goes on."""
    [key] = new_keys(service, {})
    with connected(service, [key]) as clients:
        answers = [
            client.get("/customers", auth=(key.client_id, f"guess {number}"))
            for number in range(10)
            for client in clients[key]
        ]
        assert [each.status_code for each in answers] == [401] * 100 + [429] * 20
        assert all(each.headers["retry-after"] and each.headers["ratelimit"] for each in answers[100:])
        right = {client.get("/customers").status_code for client in clients[key]}
    assert right == {200}


def test_a_key_is_bound_to_the_addresses_behind_a_trusted_proxy(service: Service, here: tuple[str, str]) -> None:
    networks = ("--allow-address", "203.0.113.0/24", "--allow-address", "2001:db8::1")
    bound = printed_key("create", "--account", "default", *networks, *here)
    [local] = new_keys(service, {"allowed_addresses": ("127.0.0.1/32",)})
    assert listed(bound, *here)["allowedAddresses"] == ["203.0.113.0/24", "2001:db8::1/128"]
    assert status(service, bound) == 401
    assert status(service, bound, x_forwarded_for="203.0.113.9") == 200
    assert status(service, bound, x_forwarded_for="2001:db8::1") == 200
    assert status(service, bound, x_forwarded_for="203.0.113.9, 198.51.100.1") == 401
    assert status(service, local) == 200
    assert status(service, local, x_forwarded_for="203.0.113.9") == 401


def test_a_key_is_replaced_with_an_overlap(service: Service, here: tuple[str, str]) -> None:
    """Both secrets open; the list says until when the old one does, and when the key was used."""
    old = printed_key("create", "--account", "default", "--pin", FIRST, "--expires-in", "90d", *here)
    assert listed(old, *here)["lastUsedAt"] is None
    new = printed_key("rotate", old.client_id, "--overlap", "2h", *here)
    assert old.client_id == new.client_id
    assert [status(service, each) for each in (old, new)] == [200, 200]
    until(lambda: listed(old, *here)["lastUsedAt"] is not None)
    found, now = listed(old, *here), datetime.now(UTC)
    assert (found["state"], found["pinnedVersion"]) == ("active", FIRST)
    ends = [each["expiresAt"] and datetime.fromisoformat(each["expiresAt"]) - now for each in found["secrets"]]
    assert ends[1] is None
    assert timedelta(hours=1) < ends[0] < timedelta(hours=2)
    assert timedelta(days=89) < datetime.fromisoformat(found["expiresAt"]) - now < timedelta(days=90)
    assert "secret" not in json.dumps(found).replace("secrets", "").replace("secretKeyId", "")


def test_the_same_for_people(service: Service, here: tuple[str, str]) -> None:
    made = succeeded("keys", "create", "--account", "default", "--name", "shop", "--expires-at", "2099-01-31", *here)
    client_id = re.findall(r"^Client id: +(\S+)$", made, re.MULTILINE)[0]
    told = succeeded("keys", "rotate", client_id, *here)
    assert re.search(r"^The secrets of before open until \d{4}-\d\d-\d\d \d\d:\d\d UTC\.$", told, re.MULTILINE)
    at_once = succeeded("keys", "rotate", client_id, "--overlap", "0", *here)
    assert "The secrets of before open nothing any more." in at_once
    _made.extend(SECRET.findall(made + told))
    [row] = [line for line in succeeded("keys", "list", *here).splitlines() if client_id in line]
    assert "2099-01-31 00:00" in row
    assert "anywhere" in row
    assert "never" in row


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("rotate", "nonsense"), "no key with the client id 'nonsense'"),
        (("create", "--account", "default", "--expires-at", "2020-01-01"), "that has passed"),
    ],
)
def test_what_cannot_be_done(here: tuple[str, str], command: tuple[str, ...], says: str) -> None:
    """One sentence says what is wrong, and nothing else is printed."""
    assert says in refused("keys", *command, *here)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--expires-in", "1d", "--expires-at", "2099-01-01"), "not both"),
        (("--allow-address", "203.0.113.9/24"), "around this address is 203.0.113.0/24"),
        (("--pin", "2023-01-01"), "no API version '2023-01-01'"),
    ],
)
def test_what_can_be_seen_to_be_wrong_is_refused_before_the_database_is_asked(
    tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    data_dir = tmp_path / "none"
    ran = CliRunner().invoke(app, ["keys", "create", "--account", "x", *options, "--data-dir", str(data_dir)])
    assert isinstance(ran.exception, SetupError)
    assert says in str(ran.exception)
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("option", "says"),
    [
        *((f"--overlap={each}", "is no time such as 30m, 24h or 90d") for each in ("tomorrow", "1w", "-1h", "", "1 h")),
        ("--expires-in=forever", "is no time such as 30m, 24h or 90d"),
        ("--expires-at=tomorrow", "is no time such as 2027-01-31 or 2027-01-31T18:00:00Z"),
    ],
)
def test_times_that_are_none(option: str, says: str) -> None:
    command = ["rotate", "nobody"] if option.startswith("--overlap") else ["create", "--account", "x"]
    ran = CliRunner().invoke(app, ["keys", *command, option])
    assert ran.exit_code == 2
    assert says in ran.output


def test_a_list_of_proxies_that_cannot_be_read_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    given = {"CUSTOMARY_TRUSTED_PROXIES": "10.0.0.1/8"}
    data_dir = tmp_path / "data"
    sentence = refused("serve", "--data-dir", data_dir, "--port", str(free_port()), given=given)
    assert sentence.startswith("CUSTOMARY_TRUSTED_PROXIES has '10.0.0.1/8', which is no network.")
    assert not data_dir.exists()
