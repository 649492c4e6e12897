"""What a caller can do to the log: nothing. Hostile bytes in every part of a request leave one plain line each."""

import json
import re
from collections.abc import Iterator

import pytest
from tests.support import canaries
from tests.support.asgi import basic, send
from tests.support.clients import Account

from customary import logs
from customary.api.versions import LIVE
from customary.app import Application

# Everything that a line about a request says, whatever was asked.
FIELDS = {
    *("event", "level", "timestamp", "request_id", "method", "path", "status", "version", "account_id", "client_id"),
    "duration_ms",
}
FORGED = "forged"
HOSTILE = (
    b'x\n{"event":"forged","level":"error"}',
    b"x\r\nX-Forged: forged\r\n\r\nGET /forged HTTP/1.1",
    b"\x1b[2K\x1b[1A\x1b]0;forged\x07",
    b'"},{"event":"forged',
    b"\xc2\x9b31mforged\xe2\x80\xa8\xe2\x80\xa9\xc2\x85",
    b"\x00forged",
    b"forged\xff\xfe\x80",
    b"%0d%0aforged%1b%5b31m",
    b"${jndi:ldap://forged}",
    b"%s%n{forged}",
    b"forged" * 2000,
)
PLAIN = re.compile(r"[ -~]*")


@pytest.fixture
def watch() -> Iterator[canaries.Watch]:
    """Takes what is logged meanwhile."""
    made = canaries.Watch()
    canaries.listen(made)
    yield made
    canaries.listen(canaries.WATCH)


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_hostile_bytes_leave_one_plain_line(
    app: Application, account: Account, watch: canaries.Watch, hostile: bytes
) -> None:
    """Also those that an HTTP server in front refuses: the log does not depend on it."""
    key = basic(account)
    text = hostile.decode("latin-1")
    named = json.dumps({"legalName": text, text: text}).encode()
    json_type = (b"content-type", b"application/json")
    await send(app, "GET", b"/api/customers", headers=[key, (b"x-request-id", hostile)])
    await send(app, text, b"/api/customers", headers=[key])
    await send(app, "GET", b"/api/" + hostile, headers=[key])
    await send(app, "GET", b"/api/customers/" + hostile, headers=[key])
    await send(app, "GET", b"/api/customers", query=b"legalName=" + hostile, headers=[key])
    await send(app, "GET", b"/api/customers", query=hostile + b"=x", headers=[key])
    await send(app, "GET", b"/api/customers", headers=[key, (b"sequence-version", hostile)])
    await send(app, "GET", b"/api/customers", headers=[key, (hostile, hostile), (b"user-agent", hostile)])
    await send(app, "GET", b"/api/customers", headers=[(b"authorization", hostile)])
    await send(app, "GET", b"/api/customers", headers=[(b"authorization", b"Basic " + hostile)])
    await send(app, "GET", b"/api/customers", headers=[key, (b"host", hostile), (b"x-forwarded-for", hostile)])
    await send(app, "POST", b"/api/customers", headers=[key, json_type], chunks=[hostile])
    await send(app, "POST", b"/api/customers", headers=[key, json_type], chunks=[named])
    await send(app, "POST", b"/api/customers", headers=[key, json_type, (b"idempotency-key", hostile)], chunks=[named])
    await send(app, "PUT", b"/api/customers/x", headers=[key, json_type, (b"if-match", hostile)], chunks=[named])
    await send(app, "POST", b"/api/customers", headers=[key, (b"content-type", hostile)], chunks=[named])
    lines = watch.text().splitlines()
    assert len(lines) == 16
    for line in lines:
        assert PLAIN.fullmatch(line)
        assert FORGED not in line
        said = json.loads(line)
        assert said.keys() == FIELDS <= logs.FIELDS
        assert (said["event"], said["level"]) == ("request", "info")
        assert said["path"] is None or said["path"] in {each.path for each in LIVE["2024-07-30"].endpoints}


async def test_a_request_id_of_the_callers_own_is_logged_only_if_it_is_plain(
    app: Application, account: Account, watch: canaries.Watch
) -> None:
    for given in (b"a-1_b.C", b"a" * 64):
        await send(app, "GET", b"/api/customers", headers=[basic(account), (b"x-request-id", given)])
    for given in (b"a" * 65, b"a b", b"a/b", b'a"', b"", b"\xc3\xa9", b"ada@example.com"):
        await send(app, "GET", b"/api/customers", headers=[basic(account), (b"x-request-id", given)])
    logged = [json.loads(line)["request_id"] for line in watch.text().splitlines()]
    assert logged[:2] == ["a-1_b.C", "a" * 64]
    assert all(re.fullmatch(r"[0-9a-f-]{36}", each) for each in logged[2:])
    assert len(logged) == 9
