"""Lists of customers: limits, orders, filters and cursors."""

import base64

import pytest
from tests.support.bodies import contact, newest, of, older
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
    VERSIONS,
    Account,
    Client,
    Json,
    client_of,
    invalid,
    owner_connection,
    started,
    success,
)
from tests.support.cluster import Database

from customary.api import paging


async def make(client: Client, *names: str, **changes: object) -> list[str]:
    """Customers of these names, in this order; their ids."""
    return [(await client.create(newest(legalName=name, **changes)))["id"] for name in names]


async def walk(client: Client, cursor: str = "after", **params: Json) -> list[str]:
    """The legal names on all pages from here on in this direction, in the order in which the pages come."""
    names: list[str] = []
    page = await client.page(**params)
    while True:
        names += [item["legalName"] for item in page["items"]]
        if cursor not in page["pagination"]:
            return names
        page = await client.page(**params | {cursor: page["pagination"][cursor]})


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_empty_list(account: Account, version: str) -> None:
    assert await account.client.page(version=version) == {"items": [], "pagination": {"totalResultSize": 0}}


@pytest.mark.parametrize("limit", [1, 20, 100])
async def test_limits_that_are_allowed(account: Account, limit: int) -> None:
    await make(account.client, *(str(number) for number in range(2)))
    assert len((await account.client.page(limit=limit))["items"]) == min(limit, 2)


@pytest.mark.parametrize("limit", ["0", "-1", "101", "", "x", "1.0", "1e1", "99999999999999999999", "%2B1"])
async def test_limits_that_are_refused(account: Account, limit: str) -> None:
    assert invalid(await account.client.get(f"/customers?limit={limit}")).keys() == {"limit"}


async def test_a_page_has_twenty_customers_unless_said_otherwise(account: Account) -> None:
    await make(account.client, *(str(number) for number in range(21)))
    page = await account.client.page()
    assert [item["legalName"] for item in page["items"]] == [str(number) for number in range(20, 0, -1)]
    assert page["pagination"].keys() == {"after", "totalResultSize"}
    assert page["pagination"]["totalResultSize"] == 21


async def test_a_full_last_page_has_no_next_one(account: Account) -> None:
    await make(account.client, "a", "b")
    assert (await account.client.page(limit=2))["pagination"] == {"totalResultSize": 2}


@pytest.mark.parametrize("version", VERSIONS)
async def test_pages_lead_both_ways(account: Account, version: str) -> None:
    await make(account.client, "a", "b", "c", "d", "e")
    seen: list[Json] = [await account.client.page(version=version, limit=2)]
    while "after" in seen[-1]["pagination"]:
        seen.append(await account.client.page(version=version, limit=2, after=seen[-1]["pagination"]["after"]))
    assert [[item["legalName"] for item in page["items"]] for page in seen] == [["e", "d"], ["c", "b"], ["a"]]
    assert [sorted(page["pagination"]) for page in seen] == [
        ["after", "totalResultSize"],
        ["after", "before", "totalResultSize"],
        ["before", "totalResultSize"],
    ]
    assert {page["pagination"]["totalResultSize"] for page in seen} == {5}
    second = await account.client.page(version=version, limit=2, before=seen[2]["pagination"]["before"])
    assert second == seen[1]
    first = await account.client.page(version=version, limit=2, before=second["pagination"]["before"])
    assert first == seen[0]


async def test_a_short_page_before_has_no_page_before_it(account: Account) -> None:
    await make(account.client, "a", "b", "c")
    second = await account.client.page(limit=1, after=(await account.client.page(limit=1))["pagination"]["after"])
    first = await account.client.page(limit=100, before=second["pagination"]["before"])
    assert [item["legalName"] for item in first["items"]] == ["c"]
    assert first["pagination"].keys() == {"after", "totalResultSize"}


@pytest.mark.parametrize("sort_by", ["createdAt", "updatedAt", "legalName", "label"])
@pytest.mark.parametrize(("order", "expected"), [("ASC", "abc"), ("asc", "abc"), ("DESC", "cba"), ("Desc", "cba")])
async def test_orders(account: Account, sort_by: str, order: str, expected: str) -> None:
    for name in "abc":
        await make(account.client, name, label=name)
    assert await account.client.names(sortBy=sort_by, sortOrder=order) == list(expected)


async def test_an_update_moves_a_customer_by_updated_at_alone(account: Account) -> None:
    first, _ = await make(account.client, "a", "b")
    await account.client.update(first, newest(legalName="a", label="changed"))
    assert await account.client.names(sortBy="updatedAt") == ["a", "b"]
    assert await account.client.names(sortBy="createdAt") == ["b", "a"]


@pytest.mark.parametrize("order", ["ASC", "DESC"])
async def test_customers_without_a_label_come_last_in_both_orders(account: Account, order: str) -> None:
    for name, label in (("none 1", None), ("b", "b"), ("none 2", None), ("a", "a")):
        await make(account.client, name, **({} if label is None else {"label": label}))
    labelled, rest = ["a", "b"], ["none 1", "none 2"]
    if order == "DESC":
        labelled.reverse()
        rest.reverse()
    for limit in (1, 2, 3, 100):
        assert await walk(account.client, sortBy="label", sortOrder=order, limit=limit) == labelled + rest


async def test_an_empty_label_is_a_label(account: Account) -> None:
    await make(account.client, "none")
    await make(account.client, "empty", label="")
    assert await account.client.names(sortBy="label", sortOrder="ASC") == ["empty", "none"]


async def test_names_sort_by_code_point_without_case(account: Account) -> None:
    names = ["Zebra", "apple", "Äpfel", "Apple", "éclair", "_x", "東京", "Straße", "STRASSE", "😀", "1", "\uffee", "𐐷"]
    await make(account.client, *names)
    expected = sorted(names, key=lambda name: (name.casefold(), names.index(name)))
    assert await account.client.names(sortBy="legalName", sortOrder="ASC") == expected
    assert await account.client.names(sortBy="legalName", sortOrder="DESC") == expected[::-1]


@pytest.mark.parametrize("order", ["ASC", "DESC"])
async def test_customers_sort_by_a_custom_property(account: Account, order: str) -> None:
    for name, properties in (
        ("x", {"tier": "2", "a.b": "1"}),
        ("none", {}),
        ("y", {"tier": "10"}),
        ("z", {"tier": ""}),
    ):
        await make(account.client, name, customProperties=properties)
    expected = ["z", "y", "x"] if order == "ASC" else ["x", "y", "z"]
    assert await account.client.names(sortBy="customProperties.tier", sortOrder=order) == [*expected, "none"]
    for limit in (1, 2, 3):
        assert await walk(account.client, sortBy="customProperties.tier", sortOrder=order, limit=limit) == [
            *expected,
            "none",
        ]
    assert (await account.client.names(sortBy="customProperties.a.b", sortOrder=order))[0] == "x"


@pytest.mark.parametrize(
    "sort_by", ["", "id", "CREATEDAT", "legal_name", "customProperties", "customProperties.", "createdAt,legalName"]
)
async def test_another_sort_is_refused(account: Account, sort_by: str) -> None:
    assert invalid(await account.client.get("/customers", params={"sortBy": sort_by})) == {"sortBy": "enum"}


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_the_older_versions_do_not_sort_by_custom_properties(account: Account, version: str) -> None:
    response = await account.client.get("/customers", version=version, params={"sortBy": "customProperties.tier"})
    assert invalid(response) == {"sortBy": "enum"}


@pytest.mark.parametrize("order", ["", "up", "ASCENDING", "\N{LATIN SMALL LETTER DOTLESS I}"])
async def test_another_sort_order_is_refused(account: Account, order: str) -> None:
    assert invalid(await account.client.get("/customers", params={"sortOrder": order})) == {"sortOrder": "enum"}


@pytest.mark.parametrize("sort_by", ["createdAt", "updatedAt", "legalName", "label", "customProperties.k"])
@pytest.mark.parametrize("order", ["ASC", "DESC"])
async def test_a_walk_sees_each_customer_once_while_others_come_and_go(
    account: Account, sort_by: str, order: str
) -> None:
    """Before every page somebody adds a customer at either end and in the middle, and archives one already seen."""
    client = account.client
    stays = [f"n{number}" for number in range(9)]
    ids: dict[str, str] = {}
    for name in stays:
        labelled = {"label": name, "customProperties": {"k": name}} if int(name[1]) % 3 else {}
        [ids[name]] = await make(client, name, **labelled)
    gone: set[str] = set()
    seen: list[str] = []
    params: dict[str, Json] = {"sortBy": sort_by, "sortOrder": order, "limit": 2}
    page = await client.page(**params)
    while True:
        seen += [item["legalName"] for item in page["items"]]
        if "after" not in page["pagination"] or len(seen) > 100:
            break
        old = next((name for name in seen if name in ids and name not in gone), None)
        if old is not None:
            gone.add(old)
            await client.archive(ids[old])
        if len(gone) < 4:
            for name in ("a", "n5x", "z"):
                await make(client, name, label=name, customProperties={"k": name})
        page = await client.page(**params | {"after": page["pagination"]["after"]})
    assert sorted(name for name in seen if name in ids) == stays


async def test_the_row_of_a_cursor_may_be_archived(account: Account) -> None:
    first, *_ = await make(account.client, "a", "b", "c")
    params: dict[str, Json] = {"sortBy": "legalName", "sortOrder": "ASC", "limit": 1}
    page = await account.client.page(**params)
    await account.client.archive(first)
    page = await account.client.page(**params | {"after": page["pagination"]["after"]})
    assert [item["legalName"] for item in page["items"]] == ["b"]
    assert page["pagination"].keys() == {"after", "totalResultSize"}
    assert page["pagination"]["totalResultSize"] == 2


async def test_a_page_that_became_empty_leads_back(account: Account) -> None:
    _, last = await make(account.client, "a", "b")
    params: dict[str, Json] = {"sortBy": "legalName", "sortOrder": "ASC", "limit": 1}
    page = await account.client.page(**params)
    await account.client.archive(last)
    empty = await account.client.page(**params | {"after": page["pagination"]["after"]})
    assert empty["items"] == []
    assert empty["pagination"].keys() == {"before", "totalResultSize"}
    back = await account.client.page(**params | {"before": empty["pagination"]["before"]})
    assert [item["legalName"] for item in back["items"]] == ["a"]


async def test_after_and_before_at_once_are_refused(account: Account) -> None:
    await make(account.client, "a", "b", "c")
    cursor = (await account.client.page(limit=1))["pagination"]["after"]
    answer = invalid(await account.client.get("/customers", params={"after": cursor, "before": cursor}))
    assert answer == {"after": "cursor", "before": "cursor"}


@pytest.mark.parametrize(
    "other",
    [
        {"sortBy": "legalName"},
        {"sortOrder": "DESC"},
        {"sortBy": "customProperties.k"},
        {"includeArchived": "true"},
        {"legalName": "a"},
        {"email": "a"},
        {"label": "x"},
        {"alias": "x"},
        {"billingStatus": "INACTIVE"},
    ],
)
@pytest.mark.parametrize("name", ["after", "before"])
async def test_a_cursor_is_good_for_its_own_list_only(account: Account, other: dict[str, str], name: str) -> None:
    await make(account.client, "a", "b", "c")
    own = {"sortBy": "createdAt", "sortOrder": "ASC"}
    cursor = (await account.client.page(limit=1, **own))["pagination"]["after"]
    success(await account.client.get("/customers", params=own | {name: cursor}))
    assert invalid(await account.client.get("/customers", params=own | other | {name: cursor})) == {name: "cursor"}


async def test_a_cursor_is_good_for_another_limit_and_version(account: Account) -> None:
    await make(account.client, "a", "b", "c")
    cursor = (await account.client.page(limit=1))["pagination"]["after"]
    assert await account.client.names(version=FIRST, limit=2, after=cursor) == ["b", "a"]


async def test_a_cursor_of_another_account_is_refused(account: Account, second_account: Account) -> None:
    for client in (account.client, second_account.client):
        await make(client, "a", "b")
    cursor = (await account.client.page(limit=1))["pagination"]["after"]
    assert invalid(await second_account.client.get("/customers", params={"after": cursor})) == {"after": "cursor"}


async def test_a_cursor_with_any_byte_changed_is_refused(account: Account) -> None:
    await make(account.client, "a", "b")
    cursor = (await account.client.page(limit=1))["pagination"]["after"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for position in range(len(raw)):
        changed = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        text = base64.urlsafe_b64encode(changed).decode().rstrip("=")
        assert invalid(await account.client.get("/customers", params={"after": text})) == {"after": "cursor"}, position


async def test_a_cursor_is_good_for_thirty_days(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(account.client, "a", "b")
    cursor = (await account.client.page(limit=1))["pagination"]["after"]
    today = paging._today()
    monkeypatch.setattr(paging, "_today", lambda: today + 30)
    assert await account.client.names(limit=1, after=cursor) == ["a"]
    monkeypatch.setattr(paging, "_today", lambda: today + 31)
    assert invalid(await account.client.get("/customers", params={"after": cursor})) == {"after": "cursor"}


async def test_a_cursor_is_refused_once_the_secret_is_another(account: Account, database: Database) -> None:
    """Every process of the installation has the secret of the database, from its start on."""
    await make(account.client, "a", "b")
    cursor = (await account.client.page(limit=1))["pagination"]["after"]
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("UPDATE installation SET cursor_secret = sha256(cursor_secret)")
    async with (
        started(database.service_url) as restarted,
        client_of(restarted, (account.client_id, account.secret)) as client,
    ):
        assert invalid(await client.get("/customers", params={"after": cursor})) == {"after": "cursor"}
        assert invalid(await client.get("/customers", params={"before": cursor})) == {"before": "cursor"}


@pytest.mark.parametrize("text", ["", "x", "MDE4NDUyNjYtNmQ2NC03N2M4LTlhZGYtNDQ4N2Q5NGQxNDU3", "é", "=", "a" * 5_000])
@pytest.mark.parametrize("name", ["after", "before"])
async def test_what_is_no_cursor_is_refused(account: Account, name: str, text: str) -> None:
    assert invalid(await account.client.get("/customers", params={name: text})) == {name: "cursor"}


async def test_a_cursor_says_nothing_in_the_clear(account: Account) -> None:
    """Opaque: a client that reads it breaks when it changes, so it should not look like a page number or an id."""
    ids = await make(account.client, "Acme", "Zeta")
    cursor = (await account.client.page(limit=1, sortBy="legalName"))["pagination"]["after"]
    assert not any(each in cursor for each in (*ids, "Acme", "Zeta"))


@pytest.mark.parametrize(
    "typed", ["Universite", "université", "UNIVERSITE DE", "universite\N{COMBINING ACUTE ACCENT} de", "sité de l"]
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_name_is_found_by_any_part_without_case_and_accents(account: Account, version: str, typed: str) -> None:
    await make(account.client, "Université de Lyon", "Universität Lyon", "University of Lyon")
    assert await account.client.names(version=version, legalName=typed) == ["Université de Lyon"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [("%", ["50% off"]), ("_", ["a_b"]), ("\\", ["c\\d"]), ("a%b", []), ("a_b", ["a_b"]), ("\\%", [])],
)
async def test_wildcards_are_taken_literally(account: Account, typed: str, found: list[str]) -> None:
    await make(account.client, "50% off", "a_b", "axb", "c\\d")
    assert await account.client.names(legalName=typed) == found


@pytest.mark.parametrize("typed", ["x", "xy", "ü", "東", "a'b"])
async def test_short_texts_are_found_as_well(account: Account, typed: str) -> None:
    await make(account.client, f"one {typed} two", "other")
    assert await account.client.names(legalName=typed) == [f"one {typed} two"]


@pytest.mark.parametrize("name", ["legalName", "email", "label", "alias"])
async def test_an_empty_filter_is_refused(account: Account, name: str) -> None:
    assert invalid(await account.client.get("/customers", params={name: ""})) == {name: "tooShort"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_email_of_any_contact_is_found(account: Account, version: str) -> None:
    contacts = [
        contact("ada@example.com"),
        contact("Billing@Sub.example.com", "STANDARD"),
        contact("x@example.com", "NONE"),
    ]
    await make(account.client, "a", contacts=contacts)
    await make(account.client, "b", contacts=[contact("someone@else.example")])
    for typed in ("ADA@", "billing@sub", "x@example.com", "g@S"):
        assert await account.client.names(version=version, email=typed) == ["a"], typed
    assert await account.client.names(version=version, email="nobody") == []


async def test_the_email_of_an_archived_contact_is_not_found(account: Account) -> None:
    [customer_id] = await make(account.client, "a", contacts=[contact("old@example.com")])
    await account.client.update(customer_id, newest(legalName="a", contacts=[contact("new@example.com")]))
    assert await account.client.names(email="old@") == []
    assert await account.client.names(email="new@") == ["a"]


async def test_a_customer_with_two_matching_contacts_is_listed_once(account: Account) -> None:
    await make(account.client, "a", contacts=[contact("one@example.com"), contact("two@example.com")])
    page = await account.client.page(email="example.com")
    assert (len(page["items"]), page["pagination"]["totalResultSize"]) == (1, 1)


async def test_a_label_is_found_by_any_part(account: Account) -> None:
    await make(account.client, "a", label="Große Kunden")
    await make(account.client, "b")
    assert await account.client.names(label="grosse") == ["a"]
    assert await account.client.names(label="klein") == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_alias_is_matched_exactly(account: Account, version: str) -> None:
    [wanted] = await make(account.client, "a", customerAliases=["Alias-1", "second"])
    await make(account.client, "b", customerAliases=["Alias-10"])
    assert await account.client.names(version=version, alias="Alias-1") == ["a"]
    assert await account.client.names(version=version, alias="second") == ["a"]
    assert await account.client.names(version=version, alias=wanted) == ["a"]
    assert await account.client.names(version=version, alias=wanted.upper()) == ["a"]
    for typed in ("alias-1", "Alias-", "Alias%", "nothing"):
        assert await account.client.names(version=version, alias=typed) == []


async def test_filters_combine_with_and(account: Account) -> None:
    await make(account.client, "one", "two", label="l", contacts=[contact("x@example.com")])
    await make(account.client, "one", label="l", contacts=[contact("y@example.com")])
    page = await account.client.page(legalName="one", label="l", email="x@")
    assert [item["legalName"] for item in page["items"]] == ["one"]
    assert page["pagination"]["totalResultSize"] == 1
    assert await account.client.names(legalName="two", email="y@") == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_archived_customers_are_listed_only_when_asked_for(account: Account, version: str) -> None:
    gone, _ = await make(account.client, "gone", "here", customerAliases=[])
    await account.client.archive(gone)
    assert await account.client.names(version=version) == ["here"]
    assert await account.client.names(version=version, includeArchived="false") == ["here"]
    page = await account.client.page(version=version, includeArchived="true")
    assert [("archivedAt" in item, item["legalName"]) for item in page["items"]] == [(False, "here"), (True, "gone")]
    assert page["pagination"]["totalResultSize"] == 2
    assert await account.client.names(version=version, legalName="gone") == []
    assert await account.client.names(version=version, legalName="gone", includeArchived="true") == ["gone"]


@pytest.mark.parametrize("value", ["", "yes", "1", "True", "TRUE"])
async def test_another_flag_is_refused(account: Account, value: str) -> None:
    assert invalid(await account.client.get("/customers", params={"includeArchived": value})) == {
        "includeArchived": "type"
    }


async def test_nobody_has_a_current_billing_schedule_yet(account: Account) -> None:
    await make(account.client, "a")
    assert await account.client.names(billingStatus="INACTIVE") == ["a"]
    assert await account.client.page(billingStatus="ACTIVE") == {"items": [], "pagination": {"totalResultSize": 0}}
    assert invalid(await account.client.get("/customers", params={"billingStatus": "OLD"})) == {"billingStatus": "enum"}


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_parameters_of_the_newest_version_mean_nothing_to_the_older_ones(account: Account, version: str) -> None:
    await make(account.client, "a")
    assert await account.client.names(version=version, billingStatus="ACTIVE", label="x") == ["a"]


async def test_items_of_the_newest_version_have_neither_contacts_nor_status(account: Account) -> None:
    customer = await account.client.create(newest(label="l", url="https://example.com/", customProperties={"k": "v"}))
    [item] = (await account.client.page())["items"]
    assert item == {name: value for name, value in customer.items() if name not in {"contacts", "status"}}
    assert {"contacts", "status"} <= customer.keys()


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_items_of_the_older_versions_are_whole_customers(account: Account, version: str) -> None:
    customer = await account.client.create(older(label="l", telephone="1", contactName="Ada"), version=version)
    assert (await account.client.page(version=version))["items"] == [customer]


async def test_all_wrong_parameters_are_named_at_once(account: Account) -> None:
    params = {"limit": "0", "includeArchived": "x", "legalName": "", "billingStatus": "?"}
    answer = invalid(await account.client.get("/customers", params=params))
    assert answer == {"limit": "range", "includeArchived": "type", "legalName": "tooShort", "billingStatus": "enum"}


async def test_a_wrong_order_is_named_with_the_rest(account: Account) -> None:
    """A cursor is not: which one it must be depends on the order."""
    params = {"limit": "0", "sortBy": "x", "sortOrder": "x"}
    answer = invalid(await account.client.get("/customers", version=NEWEST, params=params))
    assert answer.keys() == {"limit", "sortBy", "sortOrder"}


async def test_a_plus_in_a_filter_is_a_space_and_an_encoded_one_is_a_plus(account: Account) -> None:
    await make(account.client, "a b", "a+b")
    found = success(await account.client.get("/customers?legalName=a+b"))["items"]
    assert [item["legalName"] for item in found] == ["a b"]
    found = success(await account.client.get("/customers?legalName=a%2Bb"))["items"]
    assert [item["legalName"] for item in found] == ["a+b"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_list_and_a_single_read_agree(account: Account, version: str) -> None:
    customer = await account.client.create(of(version, label="l"), version=version)
    [item] = (await account.client.page(version=version))["items"]
    assert item.items() <= customer.items()
