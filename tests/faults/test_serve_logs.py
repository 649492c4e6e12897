"""What `customary serve` logs: one JSON object on each line, enough to follow a request, and nothing of its content."""

import json
import signal
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.faults.support import Service, data_dir, new_data_dir, serving, start, until
from tests.support import bodies, canaries
from tests.support.clients import VERSIONS

from customary import logs
from customary.api.versions import LIVE
from customary.storage import embedded

__all__ = ["data_dir"]

# What stands for personal data and secrets here; each is sent in as many places as it fits.
EMAIL, NAME, ALIAS = "canary.mail@example.com", "Canary Legal Name", "canary-alias-7"
SECRET, PHONE, PATH = "csk_canary_secret", "+4930123456789", "canary-in-a-path"
TAX_NUMBER, WEBHOOK_SECRET = "DE136695976", "whsec_canary-of-a-webhook"
JSON = {"content-type": "application/json"}
CANARIES = (
    EMAIL,
    "canary.mail",
    NAME,
    ALIAS,
    SECRET,
    PHONE,
    PATH,
    TAX_NUMBER,
    WEBHOOK_SECRET,
    "Canarystrasse",
    b64encode(SECRET.encode()).decode(),
)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server to which every kind of request was sent, failing ones included."""
    with new_data_dir() as directory, serving(directory) as running:
        send_everything(running)
        yield running


def person(**changes: object) -> bodies.Body:
    """A customer full of what must not be logged."""
    address = {**bodies.GERMAN, "line1": "Canarystrasse 1"}
    return bodies.newest(
        legalName=NAME, customerAliases=[ALIAS], address=address, contacts=[bodies.contact(EMAIL, name=NAME)], **changes
    )


def send_everything(service: Service) -> None:
    """Requests that succeed and fail in every way a client can bring about."""
    with service.client() as client:
        made = client.post("/customers", json=person(), headers={"x-request-id": "good"})
        assert made.status_code == 201, made.text
        path = f"/customers/{made.json()['id']}"
        tax = {"taxIdentifier": TAX_NUMBER, "country": "DE", "customerId": made.json()["id"]}
        policy = {"name": NAME, "channel": "WEBHOOK", "recipients": [f"https://{PATH}.invalid/{EMAIL}"]}
        statuses = {
            "tax": client.post("/tax-registrations", json=tax).status_code,
            "policy": client.post(
                "/notifications/policies", json={**policy, "webhookSecret": WEBHOOK_SECRET}
            ).status_code,
            "list": client.get("/customers", params={"legalName": NAME, "email": EMAIL, "alias": ALIAS}).status_code,
            "alias": client.get(f"/customers/aliases/{ALIAS}").status_code,
            "conflict": client.post("/customers", json=person()).status_code,
            "invalid": client.put(path, json=person(taxStatus=NAME, telephone=f"{PHONE}\0")).status_code,
            "unparsed": client.put(path, content=f'{{"legalName": "{NAME}", {EMAIL}', headers=JSON).status_code,
            "no json": client.put(path, content=EMAIL, headers={"content-type": "text/plain"}).status_code,
            "no version": client.get("/customers", headers={"sequence-version": EMAIL}).status_code,
            "no cursor": client.get("/customers", params={"after": f"{EMAIL}"}).status_code,
            "no path": client.get(f"/{PATH}/{EMAIL}").status_code,
            "no customer": client.get(f"/customers/{PATH}").status_code,
            "no method": client.request("PATCH", path, content=NAME).status_code,
        }
        assert all(status < 500 for status in statuses.values()), statuses
        assert statuses["conflict"] == 409
        assert statuses["tax"] == statuses["policy"] == 201
        assert {statuses[name] for name in ("invalid", "unparsed", "no version")} == {400}
        for version in VERSIONS:
            assert client.get(path, headers={"sequence-version": version}).status_code == 200
    for credentials in ((service.key.client_id, SECRET), (EMAIL, SECRET)):
        assert httpx.get(f"{service.url}/api/customers", auth=credentials, trust_env=False).status_code == 401
    bearer = {"authorization": f"Bearer {SECRET}"}
    assert httpx.get(f"{service.url}/api/customers", headers=bearer, trust_env=False).status_code == 401


def requests(service: Service) -> list[dict[str, Any]]:
    return [line for line in service.log() if line["event"] == "request"]


def test_every_line_is_json(service: Service) -> None:
    """A program can read each line by itself, those of the HTTP server and of the database's supervisor too.

    None has a field that is not known to be harmless.
    """
    for line in service.error.splitlines():
        assert {"event", "level", "timestamp"} <= json.loads(line).keys() <= logs.FIELDS - {"left_out"}


def test_a_request_can_be_followed(service: Service) -> None:
    """Each request has one line with its id, method, route, status and version; the route is never the path."""
    found = until(lambda: [line for line in requests(service) if line["request_id"] == "good"])
    assert len(found) == 1
    assert found[0] | {"method": "POST", "path": "/customers", "status": 201, "version": "2024-07-30"} == found[0]
    assert found[0]["client_id"] == service.key.client_id
    assert found[0]["duration_ms"] > 0
    assert len(requests(service)) == 14 + len(VERSIONS) + 3
    assert len({line["request_id"] for line in requests(service)}) == len(requests(service))
    assert {line["version"] for line in requests(service)} == set(VERSIONS)
    assert {line["status"] for line in requests(service)} >= {200, 201, 400, 401, 404, 409}
    routes = {line["path"] for line in requests(service) if line["path"]}
    assert "/customers" in routes
    assert routes <= {endpoint.path for version in LIVE.values() for endpoint in version.endpoints}


def test_nothing_personal_or_secret_is_logged(service: Service) -> None:
    """Neither our log nor the database's has a customer's data, a secret or a credential, in success or failure."""
    home = embedded.describe(service.data_dir).log_dir
    assert home is not None
    database_logs = [path.read_text(encoding="utf-8") for path in [*home.iterdir(), home.parent / "start.log"]]
    key = service.key
    credentials = b64encode(f"{key.client_id}:{key.secret}".encode()).decode()
    for text in (service.error, *database_logs):
        for canary in (*CANARIES, key.secret, credentials):
            assert canary.lower() not in text.lower(), canary
        assert canaries.leaks("a log", text) == []


def test_a_log_that_cannot_be_written_disturbs_nobody(data_dir: Path) -> None:
    """A full disk under the log costs its lines, and no request."""
    service = start(data_dir, log=Path("/dev/full"))
    try:
        service.await_ready()
        with service.client() as client:
            assert client.post("/customers", json=bodies.newest()).status_code == 201
            assert client.post("/customers", json={}).status_code == 400
        assert service.signal(signal.SIGTERM) == 0
    finally:
        service.close()
