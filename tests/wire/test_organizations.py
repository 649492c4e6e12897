"""Organisations through parentId: an owner, its members, and no circles."""

import asyncio

import pytest
from tests.support.bodies import newest
from tests.support.clients import Account, Client, Json, invalid, refused, success

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"


async def make(client: Client, name: str, parent: str | None = None) -> str:
    body = newest(legalName=name) if parent is None else newest(legalName=name, parentId=parent)
    return (await client.create(body))["id"]


async def adopt(client: Client, name: str, child: str, parent: str) -> Json:
    return await client.put(f"/customers/{child}", json=newest(legalName=name, parentId=parent))


async def shown(client: Client, customer_id: str) -> list[tuple[str, list[str]]]:
    """The organisations of this customer: the owner's name and the members' names of each."""
    organizations = (await client.customer(customer_id))["organizations"]
    return [(each["owner"]["name"], [member["name"] for member in each["members"]]) for each in organizations]


async def test_a_parent_gets_an_organisation_that_both_sides_show(account: Account) -> None:
    parent = await make(account.client, "Parent")
    child = await account.client.create(newest(legalName="Child", parentId=parent))
    [organization] = child["organizations"]
    assert organization == {
        "id": organization["id"],
        "owner": {"id": parent, "name": "Parent"},
        "members": [{"id": child["id"], "name": "Child"}],
    }
    assert (await account.client.customer(parent))["organizations"] == [organization]
    items = {item["id"]: item["organizations"] for item in (await account.client.page())["items"]}
    assert items == {parent: [organization], child["id"]: [organization]}


async def test_members_come_in_the_order_in_which_they_joined(account: Account) -> None:
    parent = await make(account.client, "Parent")
    for name in ("b", "a", "c"):
        await make(account.client, name, parent)
    assert await shown(account.client, parent) == [("Parent", ["b", "a", "c"])]


async def test_a_customer_owns_one_organisation_and_may_be_a_member_of_another(account: Account) -> None:
    top = await make(account.client, "Top")
    middle = await make(account.client, "Middle", top)
    bottom = await make(account.client, "Bottom", middle)
    assert sorted(await shown(account.client, middle)) == [("Middle", ["Bottom"]), ("Top", ["Middle"])]
    assert await shown(account.client, bottom) == [("Middle", ["Bottom"])]


async def test_another_parent_replaces_the_first(account: Account) -> None:
    first, second = await make(account.client, "First"), await make(account.client, "Second")
    child = await make(account.client, "Child", first)
    success(await adopt(account.client, "Child", child, second))
    assert await shown(account.client, child) == [("Second", ["Child"])]
    assert await shown(account.client, first) == [("First", [])]


async def test_the_same_parent_again_changes_nothing(account: Account) -> None:
    parent = await make(account.client, "Parent")
    child = await make(account.client, "Child", parent)
    before = await account.client.customer(child)
    assert success(await adopt(account.client, "Child", child, parent)) == before


async def test_a_new_parent_alone_is_a_change(account: Account) -> None:
    parent, child = await make(account.client, "Parent"), await make(account.client, "Child")
    before = await account.client.customer(child)
    after = success(await adopt(account.client, "Child", child, parent))
    assert after["updatedAt"] > before["updatedAt"]
    assert await account.client.customer(child) == after


async def test_a_customer_cannot_be_its_own_parent(account: Account) -> None:
    customer = await make(account.client, "Self")
    assert invalid(await adopt(account.client, "New name", customer, customer)) == {"parentId": "parent"}
    assert (await account.client.customer(customer))["legalName"] == "Self"


@pytest.mark.parametrize("height", [1, 2, 4])
async def test_a_circle_of_parents_is_refused(account: Account, height: int) -> None:
    top = await make(account.client, "Top")
    lowest = top
    for number in range(height):
        lowest = await make(account.client, f"Child {number}", lowest)
    assert invalid(await adopt(account.client, "Top", top, lowest)) == {"parentId": "parent"}
    assert await shown(account.client, lowest) == [
        (f"Child {height - 2}" if height > 1 else "Top", [f"Child {height - 1}"])
    ]


async def test_of_two_customers_that_adopt_each_other_at_once_one_is_refused(account: Account) -> None:
    for number in range(5):
        first, second = await make(account.client, f"a{number}"), await make(account.client, f"b{number}")
        answers = await asyncio.gather(
            adopt(account.client, f"a{number}", first, second), adopt(account.client, f"b{number}", second, first)
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]


async def test_two_families_that_join_each_other_at_once_make_no_circle(account: Account) -> None:
    """The two writes touch different customers, so only a lock on the whole account's families tells them apart."""
    for number in range(5):
        first, second = await make(account.client, f"a{number}"), await make(account.client, f"b{number}")
        below_first = await make(account.client, f"c{number}", first)
        below_second = await make(account.client, f"d{number}", second)
        answers = await asyncio.gather(
            adopt(account.client, f"a{number}", first, below_second),
            adopt(account.client, f"b{number}", second, below_first),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]


@pytest.mark.parametrize("parent", [MISSING, "x", ""])
async def test_an_unknown_parent_is_refused_by_name_and_nothing_is_stored(account: Account, parent: str) -> None:
    response = await account.client.post("/customers", json=newest(parentId=parent))
    assert invalid(response) == {"parentId": "parent"}
    assert parent in response.json()["error"]["message"]
    assert (await account.client.page())["items"] == []


async def test_the_customer_of_another_account_is_an_unknown_parent(account: Account, second_account: Account) -> None:
    foreign = await make(second_account.client, "Foreign")
    response = await account.client.post("/customers", json=newest(parentId=foreign))
    assert invalid(response) == {"parentId": "parent"}
    assert await shown(second_account.client, foreign) == []


async def test_an_archived_parent_takes_no_members(account: Account) -> None:
    parent = await make(account.client, "Parent")
    await account.client.archive(parent)
    refused(await account.client.post("/customers", json=newest(parentId=parent)), 409, "conflict")
    assert await shown(account.client, parent) == []


async def test_a_new_name_is_shown_in_organisations(account: Account) -> None:
    parent = await make(account.client, "Parent")
    child = await make(account.client, "Child", parent)
    await account.client.update(parent, newest(legalName="Renamed"))
    assert await shown(account.client, child) == [("Renamed", ["Child"])]


async def test_repeating_the_parent_changes_nothing_even_after_it_was_archived(account: Account) -> None:
    """Who sends back what it read is not refused for what happened to another customer."""
    parent = await account.client.create(newest(legalName="Parent"))
    child = await account.client.create(newest(parentId=parent["id"]))
    await account.client.archive(parent["id"])
    updated = await account.client.update(child["id"], newest(parentId=parent["id"], label="new"))

    assert updated["label"] == "new"
    assert [each["owner"]["id"] for each in updated["organizations"]] == [parent["id"]]


async def test_the_own_id_in_capitals_is_no_further_alias(account: Account) -> None:
    """An id is an alias in either case, so naming it among the aliases adds none."""
    created = await account.client.create(newest())
    await account.client.update(created["id"], newest(customerAliases=[created["id"].upper()]))
    aliases = await account.client.get(f"/customers/{created['id']}/aliases")

    assert aliases.json() == {"items": []}
