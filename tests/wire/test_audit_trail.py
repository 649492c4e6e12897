"""Every change says who made it and by which request: each write of each version, as the documents describe it."""

from collections.abc import Mapping
from typing import Any

import pytest
from msgspec import Struct
from tests.support.clients import VERSIONS, Account, owner_connection
from tests.support.cluster import Database
from tests.support.estates import populated
from tests.support.matrix import Fitted, Matrix
from tests.support.places import Draft, places

from customary.api import writes
from customary.api.endpoint import Endpoint
from customary.api.http import Response
from customary.api.versions import LIVE
from customary.app import Application
from customary.storage.database import Tx


class Change(Struct, frozen=True):
    """What makes a request change something, where the document's example on the first own thing would not.

    `names` are things of the estate by the place where they go, `body` is fields of the body.
    """

    names: Mapping[str, str] = {}
    body: Mapping[str, Any] = {}


SETTINGS = Change(names={"body customerId": "another customer id"})
PROVIDER = Change(body={"paymentProvider": "NONE"})
MEMBERS = Change(names={"body customerIds.0": "another free customer id"})
CHANGES = {
    "POST /tax-registrations": Change(names={"body customerId": "customer id"}),
    "POST /customer-settings": SETTINGS,
    "POST /payments/settings/customers": SETTINGS,
    "PUT /customer-settings/{id}": PROVIDER,
    "PUT /payments/settings/customers/{id}": PROVIDER,
    "POST /notifications/policies/{id}/notification-types": Change(
        names={"path id": "another policy id"}, body={"notificationTypes": ["CUSTOMER_UPDATED"]}
    ),
    "POST /customers/{customer}/contacts/{id}/archive": Change(names={"path id": "contact id"}),
    "POST /customer-organizations/{id}/members": MEMBERS,
    "PUT /customer-organizations/{id}/members": MEMBERS,
    "PUT /notifications/policies/{id}/delivery-settings": Change(body={"isOrdered": True}),
    "POST /customers/{id}/unarchive": Change(names={"path id": "another archived customer id"}),
    "POST /notifications/policies/{id}/replay": Change(
        names={"body recipient": "policy recipients"},
        body={"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"},
    ),
    "POST /notifications/policies/{id}/recipients/resume": Change(names={"body recipient": "policy recipients"}),
}
# What changes nothing here, and why.
UNCHANGED = {
    "PUT /users/{id}": "which accounts somebody may enter: the only one, as before",
    "POST /notifications/policies/{id}/recipients/resume": "no recipient is paused",
}
# So that there is something to send once more, which what still waits is not.
GIVEN_UP = "UPDATE jobs SET state = 'FAILED', finished_at = now(), attempts_left = 0"


def changing(endpoint: Endpoint, fitted: Fitted, version: str, things: Mapping[str, str]) -> Draft:
    """A request that changes something."""
    change = CHANGES.get(f"{endpoint.method} {endpoint.path}", Change())
    request = fitted.request
    for place in places(version, endpoint):
        if place.label in change.names:
            request = request.at(place, things[change.names[place.label]])
    if isinstance(request.body, dict):
        request.body.update(change.body)
    return request


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_change_has_its_key_and_its_request(
    app: Application,
    database: Database,
    account: Account,
    second_account: Account,
    version: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looked at inside the transaction of the change, which is undone then: so each finds the same world."""
    own, foe = await populated(account, database, "own"), await populated(second_account, database, "foe")
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(GIVEN_UP)
    written: list[Any] = []
    handle = writes._handle

    async def handle_and_look(tx: Tx, write: writes.Write) -> Response:
        response = await handle(tx, write)
        written[:] = await tx.connection.fetch("SELECT * FROM activity_logs WHERE xmin = pg_current_xact_id()::xid")
        return response

    monkeypatch.setattr(writes, "_handle", handle_and_look)
    monkeypatch.setattr(LIVE[version], "has_extensions", True)
    matrix = Matrix(app, LIVE[version], own, foe)
    for number, endpoint in enumerate(each for each in matrix.endpoints if not each.is_read):
        request = changing(endpoint, await matrix.fit(endpoint), version, own.everything)
        request_id = f"request-{number}"
        written.clear()
        answer = await request.send(app, account, is_dry_run=True, headers=[(b"x-request-id", request_id.encode())])
        told = f"{endpoint.method} {endpoint.path}: {answer.body.decode()}"
        assert answer.status == 200, told
        assert bool(written) is (f"{endpoint.method} {endpoint.path}" not in UNCHANGED), told
        for row in written:
            assert (row["actor_type"], str(row["actor_id"])) == ("API_KEY", account.client_id), told
            assert (row["trace_id"], row["origin"], row["api_version"]) == (request_id, "API", version), told
            assert row["account_id"] == account.id, told
            assert row["verb"], told
            assert row["object_id"], told
