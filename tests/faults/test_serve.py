"""`customary serve` as a person meets it: starts, what it prints, how it ends, and what it refuses."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.faults.support import (
    Service,
    customary,
    data_dir,
    database_processes,
    free_port,
    is_alive,
    new_data_dir,
    refused,
    serving,
    start,
    until,
)
from tests.support import bodies

__all__ = ["data_dir"]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server that the tests which only ask share."""
    with new_data_dir() as directory, serving(directory) as running:
        yield running


def nothing_is_left(service: Service, data_dir: Path) -> bool:
    return not (service.workers_left() or database_processes(data_dir) or is_alive(service.process.pid))


def test_the_first_start_prints_what_one_needs_and_the_second_no_secret(data_dir: Path) -> None:
    """A newcomer copies the printed curl line and it works; the address is there only when the service answers."""
    service = start(data_dir)
    try:
        until(lambda: "answers at" in service.output)
        assert service.is_ready()
        service.await_ready()
        assert service.output.count(service.key.secret) == 2
        assert service.output.count("secret") == 2
        lines = [line.strip() for line in service.output.splitlines() if line.strip().startswith("curl ")]
        assert len(lines) == 1
        if shutil.which("curl"):
            answer = subprocess.run(shlex.split(lines[0]), capture_output=True, text=True, check=True, timeout=20)
            assert json.loads(answer.stdout)["items"] == []
        assert service.signal(signal.SIGTERM) == 0
    finally:
        service.close()
    began = time.monotonic()
    with serving(data_dir) as again:
        assert time.monotonic() - began < 5
        assert again.is_ready()
        assert "secret" not in again.output
        with again.client(service.key) as client:
            assert client.get("/customers").json()["items"] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(data_dir: Path, number: int) -> None:
    """What an init system, Ctrl-C or the end of a terminal sends stops workers and database, without complaint.

    Ctrl-C and a hang-up reach the whole process group, workers included.
    """
    with serving(data_dir, "--workers", "2") as service:
        assert len(service.workers()) == 2
        assert database_processes(data_dir)
        if number == signal.SIGTERM:
            service.process.send_signal(number)
        else:
            os.killpg(service.process.pid, number)
        assert service.process.wait(20) == 0
        assert nothing_is_left(service, data_dir)
        assert not [line for line in service.log() if line["level"] != "info"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_starts_leaves_nothing(data_dir: Path, number: int) -> None:
    """Whoever changes their mind during the first start leaves no process behind, and the next start works."""
    service = start(data_dir)
    try:
        until(lambda: database_processes(data_dir) or service.process.poll() is not None)
        service.process.send_signal(number)
        assert service.process.wait(20) in {0, 128 + signal.SIGTERM}
        assert nothing_is_left(service, data_dir)
        assert "answers" not in service.output
        assert "Traceback" not in service.error
    finally:
        service.close()
    with serving(data_dir) as again:
        assert again.is_ready()


def test_two_servers_on_one_data_directory(service: Service) -> None:
    """The second says who has the directory and ends; the first does not notice."""
    sentence = refused("serve", "--data-dir", service.data_dir, "--port", str(free_port()))
    assert f"in use by the server with process id {service.process.pid}" in sentence
    assert service.is_ready()


def test_a_port_in_use(service: Service, data_dir: Path) -> None:
    """A taken port is refused before anything is started or made."""
    sentence = refused("serve", "--data-dir", data_dir, "--port", str(service.port))
    assert f"port {service.port}, cannot be used: Address already in use" in sentence
    assert "--port" in sentence
    assert not data_dir.exists()


def test_two_starts_on_one_port_at_one_moment(data_dir: Path) -> None:
    """Of two servers with different data, one gets the port: half of the requests to each would be a disaster."""
    with new_data_dir() as other_dir:
        port = free_port()
        services = [start(data_dir, port=port), start(other_dir, port=port)]
        try:
            ended = until(lambda: [one for one in services if one.process.poll() is not None])
            assert [one.process.returncode for one in ended] == [1]
            assert "cannot be used" in ended[0].error
            services[services[0] is ended[0]].await_ready()
        finally:
            for one in services:
                one.close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_of_this_machine(data_dir: Path, host: str) -> None:
    """An address that can never be listened on is refused at once."""
    assert host in refused("serve", "--data-dir", data_dir, "--host", host)
    assert not data_dir.exists()


def test_settings_from_the_environment_and_options_over_them(data_dir: Path) -> None:
    """Each option is there as a variable; what stands on the command line wins."""
    port = free_port()
    given = {
        "CUSTOMARY_HOST": "localhost",
        "CUSTOMARY_PORT": str(port),
        "CUSTOMARY_DATA_DIR": str(data_dir),
        "CUSTOMARY_WORKERS": "2",
    }
    service = Service(data_dir, port, (), given)
    try:
        service.await_ready()
        assert len(service.workers()) == 2
        assert database_processes(data_dir)
        assert service.signal(signal.SIGTERM) == 0
    finally:
        service.close()
    given |= {"CUSTOMARY_DATA_DIR": "/nowhere/at/all", "CUSTOMARY_PORT": "1", "CUSTOMARY_HOST": "192.0.2.1"}
    with serving(data_dir, "--workers", "1", "--host", "127.0.0.1", "--no-worker", given=given) as again:
        assert len(again.workers()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "abc"), ("PORT", "70000"), ("WORKERS", "0"), ("POOL_SIZE", "-1")],
)
def test_a_bad_value_in_the_environment(data_dir: Path, name: str, value: str) -> None:
    """It is refused with a sentence that names the variable; nothing is started."""
    ran = customary("serve", "--data-dir", data_dir, given={f"CUSTOMARY_{name}": value})
    assert ran.status in {1, 2}
    assert ran.output == ""
    assert f"CUSTOMARY_{name}" in ran.error
    assert "Traceback" not in ran.error
    assert not data_dir.exists()


def test_outside_the_api(service: Service) -> None:
    """Health and a way to the reference need no key; anything else says where the API is."""
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.get("/").headers["location"] == "/api/docs"
        assert client.get("/", follow_redirects=True).headers["content-type"].startswith("text/html")
        assert client.get("/elsewhere").status_code == 404
        assert "/api" in client.get("/elsewhere").json()["error"]["message"]
        assert client.get("/api/customers").status_code == 401


def test_slow_and_broken_requests_disturb_nobody(service: Service) -> None:
    """Bytes that are no HTTP, and a client that goes away in the middle of its body, cost only their connection."""
    for sent in (
        b"\x16\x03\x01 hello\r\n\r\n",
        b"POST /api/customers HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{",
    ):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(sent)
    with service.client() as client:
        assert client.post("/customers", json=bodies.newest(legalName="Later")).status_code == 201
