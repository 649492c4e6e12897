"""The sample receivers of webhooks, as real processes: what they take, what they refuse, and what they print.

They are built in a copy that is thrown away. The one in TypeScript fetches its pinned compiler from npm.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import Struct
from tests.faults.support import environment, free_port, until

from customary.domain import signature

SAMPLES = Path(__file__).parents[2] / "examples" / "webhooks"
OLD, NEW, FOREIGN = (f"whsec_{letter * 32}" for letter in "abc")
CUSTOMER = "01a1fb32-96e6-7057-8c55-b0ba3e34d79c"
BODY = json.dumps(
    {
        "notificationType": "CUSTOMER_UPDATED",
        "sequenceAccountId": "01a1fb31-eea0-70a4-beea-1db2eb7681ca",
        "resourceType": "CUSTOMER",
        "resourceId": CUSTOMER,
        "resource": {"legalName": "Université de Beaulieu"},
    },
    ensure_ascii=False,
).encode()
STALE = (timedelta(minutes=-6), timedelta(minutes=6))
# Fetches a compiler and compiles on a machine's first run.
pytestmark = pytest.mark.timeout(420)


class Receiver(Struct, frozen=True):
    """A sample that listens. What it prints goes to a file."""

    url: str
    output: Path

    def lines(self) -> list[str]:
        """What it printed since it listens."""
        return self.output.read_text(encoding="utf-8").splitlines()[1:]

    def line(self, number: int = 0) -> str:
        """A line that it prints, once it is there."""
        until(lambda: len(self.lines()) > number)
        return self.lines()[number]

    def send(self, headers: dict[str, str], body: bytes = BODY) -> int:
        """Post a webhook; the status of the answer."""
        with httpx.Client(trust_env=False, timeout=10) as client:
            return client.post(f"{self.url}/hooks", content=body, headers=headers).status_code


def signed(
    secrets: Sequence[str] = (OLD,),
    *,
    message: str = "msg_1",
    version: int | None = 1,
    age: timedelta = timedelta(),
) -> dict[str, str]:
    """The headers that the service sends with the body; without a version as for a test delivery."""
    at = datetime.now(UTC) - age
    headers = signature.headers(secrets, message_id=message, body=BODY, at=at) | {"Content-Type": "application/json"}
    return headers if version is None else headers | {"Customary-Resource-Version": str(version)}


def run(*command: str, directory: Path) -> None:
    """Run a command that must succeed."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, "NPM_CONFIG_UPDATE_NOTIFIER": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def need(language: str, *tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the {language} receiver cannot be built")


def python(directory: Path) -> list[str]:
    return [sys.executable, str(directory / "receiver.py")]


def typescript(directory: Path) -> list[str]:
    need("TypeScript", "node", "npm")
    run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", directory=directory)
    run("npx", "--no-install", "tsc", directory=directory)
    return ["node", str(directory / "built" / "receiver.js")]


def go(directory: Path) -> list[str]:
    need("Go", "go", "gofmt")
    run("go", "vet", ".", directory=directory)
    run("go", "build", "-o", "receiver", ".", directory=directory)
    return [str(directory / "receiver")]


BUILDERS: dict[str, Callable[[Path], list[str]]] = {"python": python, "typescript": typescript, "go": go}


@pytest.fixture(scope="module", params=BUILDERS)
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that starts a sample."""
    language: str = request.param
    left_out = shutil.ignore_patterns("node_modules", "built", "package-lock.json", "receiver")
    directory = tmp_path_factory.mktemp("sample") / language
    shutil.copytree(SAMPLES / language, directory, ignore=left_out)
    return BUILDERS[language](directory)


@contextmanager
def listening(command: list[str], output: Path, *secrets: str) -> Generator[Receiver]:
    """A sample in a process of its own that knows these secrets."""
    port = free_port()
    with output.open("wb") as file:
        given = environment({"WEBHOOK_SECRET": ",".join(secrets)})
        process = subprocess.Popen(
            [*command, str(port)], env=given, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
        receiver = Receiver(f"http://127.0.0.1:{port}", output)
        try:
            until(lambda: process.poll() is not None or output.stat().st_size)
            assert output.read_text(encoding="utf-8") == f"Listening on {receiver.url}\n"
            yield receiver
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def receiver(command: list[str], tmp_path: Path) -> Generator[Receiver]:
    """A sample that knows one secret."""
    with listening(command, tmp_path / "output", OLD) as running:
        yield running


def test_a_genuine_webhook_is_taken(receiver: Receiver) -> None:
    assert receiver.send(signed()) == 204
    assert receiver.line() == f"event: CUSTOMER_UPDATED {CUSTOMER} version 1 msg_1"


def test_a_test_delivery_has_no_version_and_changes_nothing(receiver: Receiver) -> None:
    assert receiver.send(signed(version=None)) == 204
    assert receiver.line() == "test: CUSTOMER_UPDATED msg_1"


@pytest.mark.parametrize("live", [[OLD, NEW], [NEW, OLD], [FOREIGN, NEW, OLD]])
def test_one_of_several_signatures_is_enough(receiver: Receiver, live: list[str]) -> None:
    """While the service rotates a secret it signs with the old and the new one."""
    assert receiver.send(signed(live)) == 204
    assert receiver.line().startswith("event: ")


@pytest.mark.parametrize("live", [[OLD], [NEW], [OLD, NEW]])
def test_a_receiver_with_both_secrets_takes_either(command: list[str], tmp_path: Path, live: list[str]) -> None:
    with listening(command, tmp_path / "output", OLD, NEW) as receiver:
        assert receiver.send(signed(live)) == 204
        assert receiver.line().startswith("event: ")


def test_a_receiver_that_has_only_the_new_secret_refuses_the_old_one(command: list[str], tmp_path: Path) -> None:
    with listening(command, tmp_path / "output", NEW) as receiver:
        assert receiver.send(signed([OLD])) == 401
        assert receiver.send(signed([OLD, NEW], message="msg_2")) == 204


def changed(headers: dict[str, str], **values: str) -> dict[str, str]:
    return headers | {name.replace("_", "-"): value for name, value in values.items()}


def one_signed_by(*, sequence: str, standard: str) -> dict[str, str]:
    """Headers whose two kinds of signature are made with different secrets."""
    return signed([standard]) | {"Sequence-Signature": signed([sequence])["Sequence-Signature"]}


FORGERIES: dict[str, Callable[[], dict[str, str]]] = {
    "another secret": lambda: signed([FOREIGN]),
    "another secret of the first kind": lambda: one_signed_by(sequence=FOREIGN, standard=OLD),
    "another secret of the second kind": lambda: one_signed_by(sequence=OLD, standard=FOREIGN),
    "another id": lambda: changed(signed(), webhook_id="msg_2"),
    "another time": lambda: changed(signed(age=timedelta(seconds=9)), webhook_timestamp=signed()["webhook-timestamp"]),
    "a time that is none": lambda: changed(signed(), webhook_timestamp="soon"),
    "a signature that is none": lambda: changed(signed(), webhook_signature="v1,\xe9", Sequence_Signature="s,t=,="),
    "a shortened signature": lambda: changed(signed(), Sequence_Signature=signed()["Sequence-Signature"][:-1]),
    "a huge time": lambda: changed(signed(), Sequence_Signature=f"t={'9' * 6000},s=00"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_headers_are_refused(receiver: Receiver, name: str) -> None:
    headers = [(key.encode(), value.encode("latin-1")) for key, value in FORGERIES[name]().items()]
    with httpx.Client(trust_env=False, timeout=10) as client:
        assert client.post(receiver.url, content=BODY, headers=headers).status_code == 401
    assert receiver.line().startswith("refused: ")
    assert receiver.send(signed(message="msg_3")) == 204


@pytest.mark.parametrize("missing", ["Sequence-Signature", "webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header_is_refused(receiver: Receiver, missing: str) -> None:
    assert receiver.send({name: value for name, value in signed().items() if name != missing}) == 401
    assert receiver.line().startswith("refused: ")


@pytest.mark.parametrize(
    "body", [BODY.replace(b"UPDATED", b"CREATED"), BODY + b"\n", b"", json.dumps(json.loads(BODY)).encode()]
)
def test_a_changed_body_is_refused(receiver: Receiver, body: bytes) -> None:
    """Also one that means the same: what is signed are bytes."""
    assert receiver.send(signed(), body) == 401
    assert receiver.line().startswith("refused: ")


@pytest.mark.parametrize("age", STALE)
def test_a_time_that_is_more_than_five_minutes_away_is_refused(receiver: Receiver, age: timedelta) -> None:
    assert receiver.send(signed(age=age)) == 401
    assert "too old" in receiver.line()


@pytest.mark.parametrize("age", [timedelta(minutes=-4), timedelta(minutes=4)])
def test_a_clock_may_be_four_minutes_wrong(receiver: Receiver, age: timedelta) -> None:
    assert receiver.send(signed(age=age)) == 204


def test_a_webhook_that_comes_again_is_answered_and_not_taken_again(receiver: Receiver) -> None:
    """A repeat is signed anew: its time is another, its id is the same."""
    assert receiver.send(signed()) == 204
    assert receiver.send(signed(age=timedelta(seconds=-2))) == 204
    assert receiver.line(1) == f"again: CUSTOMER_UPDATED {CUSTOMER} version 1 msg_1"


def test_what_is_older_than_what_is_known_is_not_taken(receiver: Receiver) -> None:
    for message, version in (("msg_9", 9), ("msg_10", 10), ("msg_8", 8), ("msg_11", 11)):
        assert receiver.send(signed(message=message, version=version)) == 204
    receiver.line(3)
    assert [line.partition(":")[0] for line in receiver.lines()] == ["event", "event", "older", "event"]


def test_what_is_no_webhook_is_refused(receiver: Receiver) -> None:
    with httpx.Client(base_url=receiver.url, trust_env=False, timeout=10) as client:
        assert client.get("/hooks").is_error
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as half:
            half.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\nhalf of it")
        assert client.post("/hooks", content=BODY, headers=signed()).status_code == 204


@pytest.mark.parametrize("secrets", ["", "chosen-by-hand", f"{OLD},chosen-by-hand"])
def test_it_says_how_to_start_it_when_it_has_no_secret_of_ours(command: list[str], secrets: str) -> None:
    arguments: Any = [*command, str(free_port())]
    done = subprocess.run(
        arguments, env=environment({"WEBHOOK_SECRET": secrets}), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "WEBHOOK_SECRET=whsec_" in done.stderr
