"""Writes of one customer at the same moment: whatever they meet, it is as if one had come after the other.

The feed says in which order. Each answer has to be what that order makes of the request, and nothing may be stored
that no order explains.
"""

import asyncio
from collections import Counter
from datetime import datetime
from itertools import pairwise

import pytest
from tests.support import bodies
from tests.support.clients import NEWEST, Account, Client, Json, refused, success
from tests.support.patience import be_patient

WRITERS = 16
ROUNDS = 12


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    be_patient(monkeypatch)


async def history(client: Client, customer_id: str) -> list[Json]:
    """The events of a customer, the first one first; each has the customer as it was afterwards."""
    page = success(await client.get("/events", version=NEWEST, params={"resourceId": customer_id, "limit": 100}))
    return page["items"]


def assert_gapless(events: list[Json]) -> None:
    """Each version is there once, in the order in which they came, and its times never run backwards."""
    assert [event["resourceVersion"] for event in events] == list(range(1, len(events) + 1))
    changed = [datetime.fromisoformat(event["resource"]["updatedAt"]) for event in events]
    assert changed == sorted(changed)


async def test_writers_without_a_tag_come_one_after_the_other(account: Account) -> None:
    """Each of them is answered by what it made, which is one version: the last one is what is stored."""
    client = account.client
    created = await client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    answers = await asyncio.gather(
        *(client.put(path, json=bodies.newest(label=str(number)), version=NEWEST) for number in range(WRITERS))
    )
    shown = [success(answer) for answer in answers]
    events = await history(client, created["id"])

    assert_gapless(events)
    made = [event["resource"] for event in events[1:]]
    assert sorted(each["label"] for each in made) == sorted(map(str, range(WRITERS)))
    assert all(answer in made for answer in shown)
    assert await client.customer(created["id"]) == made[-1]


async def test_patches_of_one_field_are_never_torn(account: Account) -> None:
    """The two lines of an address belong to one patch, in each version that ever was."""
    client = account.client
    created = await client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    patches = [{"address": {"line1": f"{number}", "line2": f"{number}"}} for number in range(WRITERS)]
    for answer in await asyncio.gather(*(client.request("PATCH", path, json=patch) for patch in patches)):
        success(answer)
    events = await history(client, created["id"])

    assert_gapless(events)
    assert len(events) == WRITERS + 1
    assert all(each["resource"]["address"]["line1"] == each["resource"]["address"]["line2"] for each in events[1:])


@pytest.mark.parametrize("is_unarchived", [False, True])
async def test_archiving_while_others_write_is_as_if_one_came_after_the_other(
    account: Account, is_unarchived: bool
) -> None:
    """Nothing is written to an archived customer, no contact is added to it, and whoever is refused came too late."""
    for number in range(ROUNDS):
        await _archive_among_writes(account.client, number, is_unarchived=is_unarchived)


async def _archive_among_writes(client: Client, number: int, *, is_unarchived: bool) -> None:
    created = await client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    added = {"name": "Bob", "email": "bob@example.com", "billingPreference": "NONE"}
    writes = {
        "archive": client.post(f"{path}/archive", version=NEWEST),
        "replace": client.put(path, version=NEWEST, json=bodies.newest(label="replaced", url="https://example.com/")),
        "patch": client.request("PATCH", path, version=NEWEST, json={"customProperties": {"patched": "yes"}}),
        "contact": client.post(f"{path}/contacts", version=NEWEST, json=added),
        "alias": client.post(
            "/customer-aliases", version=NEWEST, json={"customerId": created["id"], "value": f"{is_unarchived}{number}"}
        ),
    }
    if is_unarchived:
        writes["unarchive"] = client.post(f"{path}/unarchive", version=NEWEST)
    # Each round lets another one begin.
    names = [*writes][number % len(writes) :] + [*writes][: number % len(writes)]
    answers = dict(zip(names, await asyncio.gather(*(writes[name] for name in names)), strict=True))
    events = await history(client, created["id"])

    assert_gapless(events)
    _assert_that_archived_is_archived(events)
    done = {name for name, answer in answers.items() if answer.status_code < 300}
    for name in answers.keys() - done:
        refused(answers[name], 409, "conflict")
    effects = _effects(events)
    assert all(effects[name] == (name in done) for name in ("archive", "replace", "patch", "contact", "alias"))
    contacts = success(await client.get(f"{path}/contacts", version=NEWEST))["items"]
    last = events[-1]["resource"]
    assert await client.customer(created["id"]) == last
    assert [each["id"] for each in contacts] == [each["id"] for each in last["contacts"]]


def _assert_that_archived_is_archived(events: list[Json]) -> None:
    """From one event to the next a customer is archived, unarchived or changed: never two of them."""
    for before, after in pairwise(event["resource"] for event in events):
        times = {"archivedAt", "updatedAt"}
        if "archivedAt" in before or "archivedAt" in after:
            assert ("archivedAt" in before) != ("archivedAt" in after)
            assert {name: before[name] for name in before.keys() - times} == {
                name: after[name] for name in after.keys() - times
            }


def _effects(events: list[Json]) -> dict[str, bool]:
    """Which of the writes the feed has seen. A replacement archives the contact that another one has added before."""
    states = [event["resource"] for event in events]
    emails = [{contact["email"] for contact in state["contacts"]} for state in states]
    changes = Counter(
        name
        for before, after in pairwise(states)
        for name in ("label", "customProperties", "contacts", "archivedAt")
        if before.get(name) != after.get(name)
    )
    plain = [
        before
        for before, after in pairwise(states)
        if {name: value for name, value in before.items() if name != "updatedAt"}
        == {name: value for name, value in after.items() if name != "updatedAt"}
    ]
    return {
        "archive": any("archivedAt" in state for state in states),
        "replace": changes["label"] == 1,
        "patch": changes["customProperties"] == 1,
        "contact": any("bob@example.com" in each for each in emails),
        # The one change that no field of the customer shows.
        "alias": len(plain) == 1,
    }


async def test_everybody_wants_one_alias_in_another_way(account: Account) -> None:
    """Created with it, given it, replaced by it, patched with it, put under it: one customer has it in the end."""
    client = account.client
    for number in range(ROUNDS):
        alias = f"wanted-{number}"
        first, second, third = [await client.create(bodies.newest()) for _ in range(3)]
        wants = [
            client.post("/customers", version=NEWEST, json=bodies.newest(customerAliases=[alias])),
            client.post("/customer-aliases", version=NEWEST, json={"customerId": first["id"], "value": alias}),
            client.put(f"/customers/{second['id']}", version=NEWEST, json=bodies.newest(customerAliases=[alias])),
            client.request("PATCH", f"/customers/{third['id']}", version=NEWEST, json={"customerAliases": [alias]}),
            client.put(f"/customers/by-alias/{alias}", version=NEWEST, json=bodies.newest()),
        ]
        order = [(position + number) % len(wants) for position in range(len(wants))]
        answers = dict(zip(order, await asyncio.gather(*(wants[position] for position in order)), strict=True))

        holder = success(await client.get(f"/customers/by-alias/{alias}", version=NEWEST))["id"]
        taken = [position for position, answer in answers.items() if answer.status_code < 300]
        for position in answers.keys() - taken:
            refused(answers[position], 409, "conflict")
        # Whoever writes by the alias replaces the customer that has it by then.
        assert 4 in taken
        assert {answers[position].json().get("customerId", answers[position].json()["id"]) for position in taken} == {
            holder
        }
        assert len(taken) <= 2


async def test_one_customer_is_made_of_many_that_want_the_same(account: Account) -> None:
    """Sixteen creates with one alias: one customer, and fifteen are told whose the alias is."""
    client = account.client
    answers = await asyncio.gather(
        *(client.post("/customers", json=bodies.newest(customerAliases=["one"])) for _ in range(WRITERS))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: WRITERS - 1}
    assert (await client.page())["pagination"]["totalResultSize"] == 1
