"""A campaign finds what it is there to find: tried on a tiny service that is sound, or broken in one way."""

import base64
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.fuzz import campaign
from tests.fuzz.campaign import Outcome, Target

CREDENTIALS = "key:secret"
_RIGHT = "Basic " + base64.b64encode(CREDENTIALS.encode()).decode()

THING = {
    "type": "object",
    "required": ["id", "name"],
    "properties": {"id": {"type": "string"}, "name": {"type": "string"}},
}
REQUEST = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 50}, "size": {"type": "integer"}},
}


def _answer(schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "An answer.", "content": {"application/json": {"schema": schema}}}


REFUSALS = {str(status): _answer({"type": "object"}) for status in (400, 401, 404, 415)}
AUTHORIZATION = {"name": "Authorization", "in": "header", "required": True, "schema": {"type": "string"}}
LIMIT = {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1}}
ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
LINK = {"operationId": "getThing", "parameters": {"id": "$response.body#/id"}}
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Things", "version": "1"},
    "servers": [{"url": "/api"}],
    "security": [{"basic": []}],
    "paths": {
        "/things": {
            "get": {
                "operationId": "getThings",
                "parameters": [AUTHORIZATION, LIMIT],
                "responses": {"200": _answer({"type": "array", "items": THING}), **REFUSALS},
            },
            "post": {
                "operationId": "postThings",
                "parameters": [AUTHORIZATION],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": REQUEST, "example": {"name": "a"}}},
                },
                "responses": {"201": _answer(THING) | {"links": {"getThing": LINK}}, **REFUSALS},
            },
        },
        "/things/{id}": {
            "get": {
                "operationId": "getThing",
                "parameters": [AUTHORIZATION, ID],
                "responses": {"200": _answer(THING), **REFUSALS},
            }
        },
    },
    "components": {"schemas": {}, "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}},
}


class Handler(BaseHTTPRequestHandler):
    """Serves things as `DOCUMENT` says, but for its fault."""

    fault: ClassVar[str] = ""
    things: ClassVar[dict[str, dict[str, Any]]] = {}

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/openapi.json":
            self._send(200, DOCUMENT)
        elif not self._is_known():
            self._send(401, {})
        elif path == "/api/things":
            limits = [pair.removeprefix("limit=") for pair in query.split("&") if pair.startswith("limit=")]
            is_valid = all(limit.isascii() and limit.isdigit() and int(limit) > 0 for limit in limits)
            is_valid = is_valid or self.fault == "takes any query"
            self._send(200 if is_valid else 400, [] if is_valid else {})
        else:
            thing = self.things.get(path.rpartition("/")[2])
            thing = None if self.fault == "forgets" else thing
            self._send(200 if thing else 404, thing or {})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self._is_known():
            self._send(401, {})
        elif self.path.partition("?")[0] != "/api/things":
            self._send(405, {})
        elif self.headers.get("Content-Type") != "application/json":
            self._send(415, {})
        elif self.fault == "refuses the valid":
            is_valid = self._name(raw) is not None
            self._send(400 if is_valid else 201, {} if is_valid else {"id": "1", "name": "a"})
        elif (name := self._name(raw)) is None:
            self._send(400, {})
        else:
            self._create(name)

    def _create(self, name: str) -> None:
        number = str(len(self.things))
        self.things[number] = {"id": number, "name": name}
        if self.fault == "crashes" and len(name) == 50:
            self._send(500, {})
        elif self.fault == "answers another status":
            self._send(202, self.things[number])
        elif self.fault == "answers another type":
            self._send(201, {"id": int(number), "name": name})
        else:
            self._send(201, self.things[number])

    def _name(self, raw: bytes) -> str | None:
        """The name in a valid body."""
        try:
            body = json.loads(raw)
        except ValueError:
            return None
        if self.fault == "takes any body":
            return "something"
        if not isinstance(body, dict) or not isinstance(name := body.get("name"), str):
            return None
        is_number = isinstance(body.get("size", 0), int) and not isinstance(body.get("size", 0), bool)
        return name if 1 <= len(name) <= 50 and is_number else None

    def _is_known(self) -> bool:
        given = self.headers.get("Authorization")
        if self.fault == "ignores credentials":
            return True
        if self.fault == "takes any credentials":
            return given is not None
        if self.fault == "takes any secret":
            encoded = (given or "").removeprefix("Basic ")
            return base64.b64decode(encoded + "==", altchars=None).startswith(b"key:")
        return given == _RIGHT

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - every other verb is refused
        if name.startswith("do_"):
            return lambda: self._send(405 if self._is_known() else 401, {})
        raise AttributeError(name)

    def _send(self, status: int, body: Any) -> None:  # noqa: ANN401 - any JSON
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Allow", "GET, POST" if self.path.partition("?")[0] == "/api/things" else "GET")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the library calls it
        pass


@contextmanager
def serving(fault: str) -> Generator[Target]:
    handler = type("Broken", (Handler,), {"fault": fault, "things": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Target(f"http://127.0.0.1:{server.server_port}/openapi.json", CREDENTIALS)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def outcome_with(fault: str, directory: Path, *phases: str) -> Outcome:
    with serving(fault) as target:
        return campaign.run(target, seed=1, max_examples=5, phases=phases or ("coverage",), directory=directory)


def test_a_sound_service_is_clean(tmp_path: Path) -> None:
    outcome = outcome_with("", tmp_path, *campaign.PHASES)
    assert outcome.is_clean, outcome.output
    assert outcome.cases > 100
    assert outcome.accepted == {"GET /things", "POST /things", "GET /things/{id}"}
    assert outcome.followed == {"getThing"}


@pytest.mark.parametrize(
    ("fault", "title"),
    [
        ("takes any body", "Schema-violating request accepted (POST /things)"),
        ("takes any query", "Schema-violating request accepted (GET /things)"),
        ("ignores credentials", "Custom check failed: `refuses_strangers`"),
        ("takes any credentials", "API accepts invalid authentication"),
        ("takes any secret", "Custom check failed: `refuses_strangers`"),
        ("answers another type", "Response violates schema (POST /things)"),
        ("answers another status", "Undocumented status code (POST /things)"),
        ("crashes", "Server error (POST /things)"),
    ],
)
def test_a_fault_is_found(fault: str, title: str, tmp_path: Path) -> None:
    outcome = outcome_with(fault, tmp_path)
    assert not outcome.is_clean
    assert any(each.startswith(title) for each in outcome.failures), outcome.failures


def test_a_walk_finds_that_what_was_made_is_not_there(tmp_path: Path) -> None:
    outcome = outcome_with("forgets", tmp_path, "stateful")
    assert any(each.startswith("Created resource not found") for each in outcome.failures), outcome


def test_what_only_a_walk_reaches_counts_as_a_success(tmp_path: Path) -> None:
    """Schemathesis itself leaves walks out of its count."""
    outcome = outcome_with("", tmp_path, "stateful")
    assert outcome.is_clean, outcome.output
    assert outcome.accepted == {"POST /things", "GET /things/{id}"}


def test_what_was_meant_to_be_refused_is_no_success(tmp_path: Path) -> None:
    outcome = outcome_with("refuses the valid", tmp_path)
    assert "POST /things" not in outcome.accepted, outcome.output
    assert "GET /things" in outcome.accepted


def test_the_same_seed_makes_the_same_cases(tmp_path: Path) -> None:
    first, second = (outcome_with("", tmp_path / name, "fuzzing") for name in ("first", "second"))
    assert (first.cases, first.seed) == (second.cases, second.seed)


def test_a_service_that_is_not_there_is_no_success(tmp_path: Path) -> None:
    with serving("") as target:
        pass
    outcome = campaign.run(target, seed=1, max_examples=1, directory=tmp_path)
    assert not outcome.is_clean
    assert outcome.errors
