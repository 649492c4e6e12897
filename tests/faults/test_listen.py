"""`customary listen` and `customary trigger`, in processes of their own beside a real server, with a real receiver."""

import base64
import hashlib
import hmac
import json
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests.faults.support import (
    PROGRAM,
    Service,
    data_dir,
    database_processes,
    environment,
    free_port,
    new_data_dir,
    refused,
    serving,
    succeeded,
    until,
)
from tests.faults.support_receiver import Received, Receiver
from tests.support.bodies import newest, older
from tests.support.clients import FIRST, NEWEST, VERSIONS

__all__ = ["data_dir"]

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"


class Listener:
    """A `customary listen` in a process of its own."""

    def __init__(self, *options: str) -> None:
        self._files = [tempfile.NamedTemporaryFile(delete=False) for _ in range(2)]  # noqa: SIM115 - closed in close
        self.process = subprocess.Popen(
            [*PROGRAM, "listen", *options],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=self._files[0],
            stderr=self._files[1],
            start_new_session=True,
        )

    @property
    def lines(self) -> list[str]:
        """The whole lines that it printed so far."""
        return self._text(0).rpartition("\n")[0].splitlines()

    @property
    def error(self) -> str:
        return self._text(1)

    def _text(self, which: int) -> str:
        return Path(self._files[which].name).read_text(encoding="utf-8")

    def await_lines(self, count: int) -> list[str]:
        """What it printed once there are so many lines."""
        until(lambda: len(self.lines) >= count or self.process.poll() is not None)
        assert len(self.lines) >= count, self.error
        return self.lines

    def documents(self, count: int) -> list[dict[str, Any]]:
        """The same with --json."""
        return [json.loads(line) for line in self.await_lines(count)]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        for file in self._files:
            file.close()
            Path(file.name).unlink()


@contextmanager
def listening(service: Service, *options: str) -> Generator[Listener]:
    """A listener that has begun to listen."""
    listener = Listener("--data-dir", str(service.data_dir), *options)
    try:
        listener.await_lines(1)
        yield listener
    finally:
        listener.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server; every command works on the data directory that it holds."""
    with new_data_dir() as directory, serving(directory) as running:
        yield running


@pytest.fixture
def here(service: Service) -> tuple[str, str]:
    """The options that name the server's database."""
    return "--data-dir", str(service.data_dir)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    try:
        yield made
    finally:
        made.close()


def create(service: Service, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a body
    with service.client() as client:
        response = client.post("/customers", json=newest(**changes))
    assert response.status_code == 201, response.text
    return response.json()


def shown(service: Service, customer_id: str, version: str = NEWEST) -> dict[str, Any]:
    with service.client() as client:
        return client.get(f"/customers/{customer_id}", headers={"Sequence-Version": version}).json()


def assert_signed(request: Received, secret: str) -> None:
    """Both signatures are those of this secret over the bytes that came, and no others."""
    found = re.fullmatch(r"t=(\d+),s=([0-9a-f]{64})", request.headers["sequence-signature"])
    assert found
    signed = found[1].encode() + b"." + request.body
    assert hmac.compare_digest(hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest(), found[2])
    assert abs(int(found[1]) / 1000 - time.time()) < 60
    Webhook(secret).verify(request.body, request.headers)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(secret).verify(request.body + b" ", request.headers)


# --- Listening ---


@pytest.mark.parametrize("version", VERSIONS)
def test_each_event_is_forwarded_as_a_delivery_would_be(service: Service, receiver: Receiver, version: str) -> None:
    """Written in the version that is asked for, signed in both ways with the secret that was shown."""
    with listening(service, "--forward-to", receiver.url, "--version", version) as listener:
        secret = until(lambda: re.search(r"signed with: (whsec_\S+)$", "\n".join(listener.lines), re.MULTILINE))[1]
        customer = create(service, legalName="Forwarded Ltd", label="l")
        [request] = receiver.await_requests(1)
        line = listener.await_lines(3)[2]
    assert request.path == "/hooks?of=listen"
    assert request.headers["content-type"] == "application/json"
    assert_signed(request, secret)
    assert request.content.keys() == {
        "notificationType",
        "sequenceAccountId",
        "resourceType",
        "resourceId",
        "resource",
    }
    assert request.content["resource"] == shown(service, customer["id"], version)
    assert request.content["notificationType"] == "CUSTOMER_CREATED"
    assert request.headers["customary-resource-version"] == "1"
    for said in ("CUSTOMER_CREATED", customer["id"], "version 1", "Forwarded Ltd", "-> 204 in "):
        assert said in line
    assert "ada@example.com" not in line


def test_a_secret_of_ones_own_signs(service: Service, receiver: Receiver) -> None:
    secret = "whsec_" + base64.b64encode(b"a key that is known to the test").decode()
    with listening(service, "--forward-to", receiver.url, "--secret", secret, "--json") as listener:
        create(service)
        [request] = receiver.await_requests(1)
        assert listener.documents(1)[0]["secret"] == secret
    assert_signed(request, secret)


def test_only_what_happens_from_now_on_and_of_the_types_that_are_asked_for(
    service: Service, receiver: Receiver
) -> None:
    create(service, legalName="Before")
    options = ("--type", "CUSTOMER_ARCHIVED", "--type", "CUSTOMER_UPDATED", "--json", "--forward-to", receiver.url)
    with listening(service, *options) as listener:
        customer = create(service, legalName="Ever\x1b[31mgreen")
        with service.client() as client:
            assert client.patch(f"/customers/{customer['id']}", json={"label": "new"}).status_code == 200
            assert client.post(f"/customers/{customer['id']}/archive").status_code == 200
        documents = listener.documents(3)[1:]
    assert [(each["notificationType"], each["resourceVersion"]) for each in documents] == [
        ("CUSTOMER_UPDATED", 2),
        ("CUSTOMER_ARCHIVED", 3),
    ]
    assert {each["resourceId"] for each in documents} == {customer["id"]}
    assert {each["legalName"] for each in documents} == {"Ever\N{REPLACEMENT CHARACTER}[31mgreen"}
    assert [each["forwarded"]["status"] for each in documents] == [204, 204]
    assert [each.headers["customary-event-id"] for each in receiver.requests] == [each["id"] for each in documents]


def test_a_receiver_that_refuses_or_is_not_there_is_said_and_listening_goes_on(
    service: Service, receiver: Receiver
) -> None:
    receiver.status = 500
    with listening(service, "--json", "--forward-to", receiver.url) as listener:
        create(service)
        receiver.await_requests(1)
        receiver.status = 200
        create(service)
        outcomes = [each["forwarded"] for each in listener.documents(3)[1:]]
    assert [(each["outcome"], each["status"]) for each in outcomes] == [("REJECTED", 500), ("DELIVERED", 200)]
    with listening(service, "--forward-to", f"http://127.0.0.1:{free_port()}/") as listener:
        create(service)
        create(service)
        for line in listener.await_lines(4)[2:]:
            assert re.search(r"-> UNREACHABLE in \d+ ms: .*could not be reached", line)


def test_another_accounts_events_are_not_heard(service: Service, here: tuple[str, str]) -> None:
    succeeded("accounts", "create", "quiet", *here)
    with listening(service, "--json") as loud, listening(service, "--json", "--account", "quiet") as quiet:
        made = json.loads(succeeded("trigger", "CUSTOMER_CREATED", "--account", "quiet", "--json", *here))
        own = create(service)
        assert [each["resourceId"] for each in quiet.documents(2)[1:]] == [made["customerId"]]
        assert [each["resourceId"] for each in loud.documents(2)[1:]] == [own["id"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_without_a_word(service: Service, number: int) -> None:
    with listening(service) as listener:
        assert listener.end(number) == 0
        assert listener.error == ""
        assert len(listener.lines) == 1
    assert service.is_ready()


def test_a_server_that_starts_again_is_waited_for_and_nothing_is_missed(data_dir: Path) -> None:
    with serving(data_dir) as first, listening(first, "--json") as listener:
        key = first.key
        before = create(first)
        listener.await_lines(2)
        first.signal(signal.SIGTERM)
        until(lambda: "waiting for it" in listener.error)
        with serving(data_dir) as second, second.client(key) as client:
            after = client.post("/customers", json=newest()).json()
            heard = [each["resourceId"] for each in listener.documents(3)[1:]]
        assert heard == [before["id"], after["id"]]
        said = "customary: The database does not answer; waiting for it. Nothing is missed."
        assert set(listener.error.splitlines()) == {said}
        assert listener.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("listen", "--version", "2023-01-01"), "no API version '2023-01-01'"),
        (("listen", "--forward-to", "localhost:3000"), "'localhost:3000'. A URL must begin with http:// or https://"),
        (("listen", "--account", "nobody"), "no account 'nobody'"),
        (("trigger", "CUSTOMER_CREATED", "--account", "nobody"), "no account 'nobody'"),
        (("trigger", "CUSTOMER_CREATED", "--customer", MISSING), "cannot be created"),
        (("trigger", "CUSTOMER_UPDATED", "--customer", MISSING), "no customer with this id"),
        (("trigger", "CUSTOMER_ARCHIVED", "--customer", "x"), "no customer with this id"),
    ],
)
def test_what_cannot_be_done(here: tuple[str, str], command: tuple[str, ...], says: str) -> None:
    assert says in refused(*command, *here)


def test_without_a_server_there_is_nothing_to_hear(data_dir: Path) -> None:
    """And no database is started, which would keep a server from starting."""
    assert "customary serve" in refused("listen", "--data-dir", data_dir)
    assert not database_processes(data_dir)


# --- Triggering ---


@pytest.mark.parametrize(
    ("event_type", "types"),
    [
        ("CUSTOMER_CREATED", ["CUSTOMER_CREATED"]),
        ("CUSTOMER_UPDATED", ["CUSTOMER_CREATED", "CUSTOMER_UPDATED"]),
        ("CUSTOMER_ARCHIVED", ["CUSTOMER_CREATED", "CUSTOMER_ARCHIVED"]),
    ],
)
def test_an_example_is_made_and_its_events_are_those_that_were_named(
    service: Service, here: tuple[str, str], event_type: str, types: list[str]
) -> None:
    with listening(service, "--json") as listener:
        made = json.loads(succeeded("trigger", event_type, "--json", *here))
        heard = listener.documents(1 + len(types))[1:]
    assert [each["notificationType"] for each in made["events"]] == types
    assert [{name: each[name] for name in made["events"][0]} for each in heard] == made["events"]
    customer = shown(service, made["customerId"])
    assert customer["legalName"] == "Example (customary trigger)"
    assert ("archivedAt" in customer) == (event_type == "CUSTOMER_ARCHIVED")
    assert ("label" in customer) == (event_type == "CUSTOMER_UPDATED")


def test_an_update_of_a_customer_touches_one_property_and_the_next_undoes_it(
    service: Service, here: tuple[str, str]
) -> None:
    links = [{"service": "Stripe", "id": "cus_1"}]
    made = create(service, customProperties={"k": "v"}, label="l", url="https://example.com/", integrationIds=links)
    with service.client() as client:
        flat = older(telephone="1", label="l", url="https://example.com/")
        response = client.put(f"/customers/{made['id']}", json=flat, headers={"Sequence-Version": FIRST})
        assert response.status_code == 200
    before = shown(service, made["id"])
    said = succeeded("trigger", "CUSTOMER_UPDATED", "--customer", made["id"], *here)
    assert re.search(r"CUSTOMER_UPDATED +version 3 +event [0-9a-f-]{36}", said)
    changed = shown(service, made["id"])
    assert changed["customProperties"].pop("customary-trigger")
    assert changed | {"updatedAt": ""} == before | {"updatedAt": ""}
    succeeded("trigger", "CUSTOMER_UPDATED", "--customer", made["id"], *here)
    assert shown(service, made["id"]) | {"updatedAt": ""} == before | {"updatedAt": ""}
    assert shown(service, made["id"], FIRST)["telephone"] == "1"


def test_archiving_a_customer_again_sets_nothing_off_and_says_so(service: Service, here: tuple[str, str]) -> None:
    customer = create(service)
    command = ("trigger", "CUSTOMER_ARCHIVED", "--customer", customer["id"])
    assert "CUSTOMER_ARCHIVED" in succeeded(*command, *here)
    assert "nothing changed, so no event follows" in succeeded(*command, *here)
    assert json.loads(succeeded(*command, "--json", *here)) == {"customerId": customer["id"], "events": []}
    assert "is archived and cannot be changed" in refused(
        "trigger", "CUSTOMER_UPDATED", "--customer", customer["id"], *here
    )


def test_a_full_customer_is_refused_instead_of_overfilled(service: Service, here: tuple[str, str]) -> None:
    customer = create(service, customProperties={f"k{number}": "v" for number in range(50)})
    said = refused("trigger", "CUSTOMER_UPDATED", "--customer", customer["id"], *here)
    assert "50 custom properties" in said
    assert shown(service, customer["id"]) == customer


def test_a_change_is_written_down_as_an_operators(service: Service, here: tuple[str, str]) -> None:
    made = json.loads(succeeded("trigger", "CUSTOMER_CREATED", "--json", *here))
    with service.client() as client:
        log = client.get("/activity-logs", params={"activityLogObjectEntityId": made["customerId"]}).json()
    [entry] = log["items"]
    assert (entry["origin"], entry["activityLogItems"][0]["activityLogActor"]["entityType"]) == ("CLI", "OPERATOR")


def test_a_trigger_needs_no_server(data_dir: Path) -> None:
    """It starts the database for as long as it lasts; whoever reads the feed later finds the event."""
    with serving(data_dir) as service:
        key = service.key
    made = json.loads(succeeded("trigger", "CUSTOMER_CREATED", "--json", "--data-dir", str(data_dir)))
    assert not database_processes(data_dir)
    with serving(data_dir) as service:
        found = httpx.get(f"{service.url}/api/events", auth=key.auth, trust_env=False).json()
    assert [each["id"] for each in found["items"]] == [made["events"][0]["id"]]
