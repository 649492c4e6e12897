"""From a path to its endpoint."""

import pytest

from customary.api.endpoint import Call, Endpoint
from customary.api.routing import Router
from customary.api.versions import LIVE, NEWEST, named
from customary.api.wire import Wire
from customary.errors import MethodNotAllowed, NotFound, UnknownVersion


class Answer(Wire):
    pass


async def handler(_tx: object, _call: Call) -> Answer:
    return Answer()


def endpoint(method: str, path: str) -> Endpoint:
    return Endpoint(method=method, path=path, handler=handler, summary="", tag="", answer=Answer)


ROUTER = Router(
    endpoint(*text.split())
    for text in (
        "GET /things",
        "POST /things",
        "GET /things/{id}",
        "DELETE /things/{id}",
        "GET /things/by-name/{name}",
        "GET /things/{id}/parts/{part}",
    )
)


@pytest.mark.parametrize(
    ("method", "path", "found", "values"),
    [
        ("GET", "things", "/things", {}),
        ("POST", "things", "/things", {}),
        ("GET", "things/1", "/things/{id}", {"id": "1"}),
        ("GET", "things/by-name", "/things/{id}", {"id": "by-name"}),
        ("GET", "things/by-name/x", "/things/by-name/{name}", {"name": "x"}),
        ("GET", "things/by-name/parts/7", "/things/{id}/parts/{part}", {"id": "by-name", "part": "7"}),
        ("GET", "things/1/parts/2", "/things/{id}/parts/{part}", {"id": "1", "part": "2"}),
    ],
)
def test_a_path_leads_to_its_endpoint(method: str, path: str, found: str, values: dict[str, str]) -> None:
    endpoint, parameters = ROUTER.find(method, tuple(path.split("/")))
    assert (endpoint.method, endpoint.path, parameters) == (method, found, values)


@pytest.mark.parametrize(
    "path", ["", "other", "things/", "things/1/parts", "things/1/parts/2/3", "things//parts/2", "Things"]
)
def test_another_path_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        ROUTER.find("GET", tuple(path.split("/")))


def test_another_verb_names_those_that_are_allowed() -> None:
    with pytest.raises(MethodNotAllowed) as refused:
        ROUTER.find("PUT", ("things", "1"))
    assert refused.value.allowed == ("DELETE", "GET")


def test_two_endpoints_of_one_verb_and_path_are_refused() -> None:
    with pytest.raises(ValueError, match="Two endpoints for GET /things"):
        Router([endpoint("GET", "/things"), endpoint("GET", "/things")])


def test_the_newest_version_is_the_last_one() -> None:
    assert max(LIVE) == NEWEST.date
    assert list(LIVE) == sorted(LIVE)


@pytest.mark.parametrize(
    "values", [[b""], [b"2024-01-02"], [b"2024-01-01", b"2024-05-09"], [b"\xff"], [b"2024-01-01,2024-01-01"]]
)
def test_an_unknown_version_is_refused(values: list[bytes]) -> None:
    with pytest.raises(UnknownVersion):
        named(values)


def test_operation_ids_follow_the_published_naming() -> None:
    assert endpoint("GET", "/customers/by-alias/{alias}").operation_id == "getCustomersByAliasByAlias"
