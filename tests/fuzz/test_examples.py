"""What our documents give as an example is accepted, with ids of things that exist and names that are free."""

import itertools
from typing import Any

import pytest
from tests.fuzz.completion import Known
from tests.support import bodies
from tests.support.clients import VERSIONS, Account, Json, success

from customary.api.openapi import document
from customary.api.versions import LIVE

# Not by a key: nobody is let in over the API, so there is no user to change.
WITHOUT_A_THING = {"putUsersById"}


_numbers = itertools.count()


def with_ids(name: str, value: Json, ids: dict[str, Json]) -> Json:
    """This example with the ids of things that exist, and names that are free in place of taken ones."""
    if name in {"customerAliases", "value", "email"} and isinstance(value, str):
        return f"{next(_numbers)}-{value}"
    if name in ids:
        return ids[name]
    if isinstance(value, dict):
        return {key: with_ids(key, each, ids) for key, each in value.items()}
    return [with_ids(name, each, ids) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_examples_of_requests_are_accepted(account: Account, version: str) -> None:
    """Creates come first, so that what their answers link to is there for the rest."""
    described = document(LIVE[version])
    known = Known(described)
    first, second = [await account.client.create(bodies.newest(legalName=name)) for name in ("first", "second")]
    ids: dict[str, Any] = {
        **dict.fromkeys(("customerId", "ownerId"), first["id"]),
        "memberIds": [second["id"]],
        "customerIds": [second["id"]],
        **dict.fromkeys(("merchantId", "sequenceAccountId"), str(account.id)),
        "sequenceAccountIds": [str(account.id)],
    }

    async def send(path: str, method: str, operation: Json) -> None:
        given = known.path(operation["operationId"], 0) or {}
        (media_type, content), *_ = operation.get("requestBody", {"content": {"": {"example": None}}})[
            "content"
        ].items()
        body = with_ids("", content["example"], ids)
        headers = {"Content-Type": media_type} if media_type else {}
        answer = await account.client.request(
            method.upper(), path.format(**given), version=version, json=body, headers=headers
        )
        status = next(iter(operation["responses"]))
        shown = success(answer, int(status))
        known.learn((path, method.upper(), int(status)), given, body, shown)

    operations = [
        (path, method, operation)
        for path, item in described["paths"].items()
        for method, operation in item.items()
        if operation["operationId"] not in WITHOUT_A_THING
    ]
    lists = [each for each in operations if each[1] == "get" and "{" not in each[0]]
    creates = [each for each in operations if each[1] == "post" and "201" in each[2]["responses"]]
    updates = [each for each in operations if "requestBody" in each[2] and each not in creates]
    # Replacing a customer archives contacts that it does not list, so what is below a thing is updated before it.
    updates.sort(key=lambda each: -each[0].count("/"))
    for each in (*lists, *creates, *updates):
        await send(*each)
