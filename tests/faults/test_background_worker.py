"""The worker beside a server: there while the server is, replaced when it dies, and gone with it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.support import Key, Service, is_alive, new_data_dir, serving, until
from tests.support.bodies import newest
from tests.support.clients import NEWEST

WAITING = "/notifications/policies/{}/deliveries"


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, Key]]:
    """One data directory for all of these, and the key that its first start printed."""
    with new_data_dir() as made:
        with serving(made) as service:
            key = service.key
        yield made, key


def one_worker(service: Service) -> int:
    """The id of the single worker in the background, as soon as there is one."""
    until(lambda: len(service.background_workers()) == 1, 20)
    return next(iter(service.background_workers()))


def test_a_killed_worker_is_replaced(place: tuple[Path, Key]) -> None:
    with serving(place[0]) as service:
        first = one_worker(service)
        os.kill(first, signal.SIGKILL)
        until(lambda: service.background_workers() - {first}, 20)
        assert service.is_ready(), "the death of a worker is no business of those who answer"


def test_it_ends_with_the_server(place: tuple[Path, Key]) -> None:
    """Whether the server is asked to stop or killed."""
    with serving(place[0]) as service:
        pid = one_worker(service)
        assert service.signal(signal.SIGTERM) == 0
        assert not is_alive(pid)
    with serving(place[0]) as service:
        pid = one_worker(service)
        service.kill()
        until(lambda: not is_alive(pid), 20)


def test_an_operator_can_close_the_machine_itself(place: tuple[Path, Key]) -> None:
    """With the embedded database webhooks may go to this machine, so that trying it out works, unless that is unset."""
    for given, outcome in ({}, "UNREACHABLE"), ({"CUSTOMARY_WEBHOOK_ALLOW": ""}, "FORBIDDEN"):
        with serving(place[0], given=given) as service, service.client(place[1]) as client:
            policy = {"name": "p", "channel": "WEBHOOK", "recipients": ["http://127.0.0.1:1/nobody"]}
            made = client.post("/notifications/policies", json=policy)
            assert made.status_code == 201, made.text
            test = {"notificationType": "CUSTOMER_CREATED"}
            assert client.post(f"/notifications/policies/{made.json()['id']}/test", json=test).is_success
            deliveries = WAITING.format(made.json()["id"])
            until(lambda client=client, path=deliveries: "lastOutcome" in client.get(path).json()["items"][0], 20)
            assert client.get(deliveries).json()["items"][0]["lastOutcome"] == outcome


def test_a_server_without_one_leaves_the_work_to_others(place: tuple[Path, Key]) -> None:
    """With --no-worker nothing is sent, and nothing is lost: it waits for the next worker."""
    with serving(place[0], "--no-worker") as service, service.client(place[1]) as client:
        headers = {"Sequence-Version": NEWEST}
        policy = {"name": "p", "channel": "WEBHOOK", "recipients": ["http://127.0.0.1:1/nobody"]}
        made = client.post("/notifications/policies", json=policy, headers=headers)
        assert made.status_code == 201, made.text
        assert client.post("/customers", json=newest(), headers=headers).status_code == 201
        deliveries = WAITING.format(made.json()["id"])
        (waiting,) = client.get(deliveries, headers=headers).json()["items"]
        assert (waiting["state"], waiting["attempts"]) == ("PENDING", 0)
        assert not service.background_workers()
    with serving(place[0]) as service, service.client(place[1]) as client:
        until(lambda: client.get(deliveries, headers=headers).json()["items"][0]["attempts"] > 0, 20)
