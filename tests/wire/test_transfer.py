"""Exports and imports against the API: what goes out is what it shows, what comes in is what it would have made."""

import asyncio
import csv
import io
import json
from itertools import count

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import transfers
from tests.support.bodies import contact, link, newest, older
from tests.support.clients import FIRST, NEWEST, VERSIONS, Account, Json, new_account, owner_connection, success
from tests.support.cluster import Database
from tests.support.receivers import InTurn, answer, receiving
from tests.support.records import events
from tests.support.strategies import contact_lists, filled_texts, texts
from tests.support.transfers import exported, imported, lines
from tests.support.workers import work_off

from customary.app import Application
from customary.domain.customer import Service
from customary.domain.transfer import Format
from customary.errors import SetupError
from customary.operations.importing import BATCH_ROWS, Outcome, Status
from customary.storage import imports

END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = 'customary_owner' AND pid <> pg_backend_pid()
"""
MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
BEYOND = {"telephone", "customerAliases", "customerAliasLabels", "parentId", "organizationOwnerIds"}
_names = count()


@st.composite
def bodies(draw: st.DrawFn) -> Json:
    """A customer as the newest version creates it, with whatever it may have."""
    contacts = [
        contact(each.email, each.billing_preference, each.name) for each in draw(contact_lists(with_primary=True))
    ]
    services = draw(st.lists(st.sampled_from(Service), unique=True, max_size=4))
    body = newest(
        legalName=draw(texts.filter(bool)),
        contacts=contacts,
        taxStatus=draw(st.sampled_from(["TAXED", "TAX_EXEMPT", "REVERSE_CHARGED"])),
        status=draw(st.sampled_from(["ACTIVE", "DRAFT"])),
        integrationIds=[link(NEWEST, service, draw(texts.filter(bool))) for service in services],
        customProperties=draw(st.dictionaries(texts.filter(bool), texts, max_size=3)),
        customerAliases=[f"{next(_names)} {text}" for text in draw(st.lists(filled_texts, max_size=3))],
    )
    optional = {
        "label": draw(st.none() | texts.filter(bool)),
        "url": draw(st.sampled_from([None, "https://www.example.co.uk/x", "http://10.0.0.1:8080"])),
        "pushToIntegrations": draw(st.sampled_from([None, ["Xero"]])),
    }
    body["address"]["line2"] = draw(filled_texts)
    return body | {name: value for name, value in optional.items() if value is not None}


async def ids_of(account: Account) -> list[str]:
    return sorted(item["id"] for item in (await account.client.page(limit=100))["items"])


# --- What comes of it ---------------------------------------------------------------------------------------


@settings(max_examples=8)
@given(st.lists(bodies(), min_size=1, max_size=5))
async def test_an_import_leaves_what_as_many_creates_leave(app: Application, database: Database, given_: Json) -> None:
    """In every table: customers with all that is theirs, activities, events, and the work of telling recipients."""
    number = next(_names)
    async with (
        new_account(app, database.owner_url, f"one by one {number}") as first,
        new_account(app, database.owner_url, f"at once {number}") as second,
    ):
        for each in (first, second):
            policy = {"name": "Hooks", "channel": "WEBHOOK", "recipients": ["https://example.com/hook"]}
            success(await each.client.post("/notifications/policies", version=NEWEST, json=policy), 201)
        for body in given_:
            await first.client.create(body)
        outcome = await imported(database, second, lines(*given_))
        assert (outcome.status, outcome.imported, outcome.problems) == (Status.IMPORTED, len(given_), ())
        expected, found = await transfers.rows(database, first.id), await transfers.rows(database, second.id)
        assert {name for name, rows in found.items() if rows} >= {"customers", "contacts", "events", "jobs"}
        # Making the policy is an activity of the API's key in both.
        assert found == expected


@settings(max_examples=8)
@given(st.lists(bodies(), min_size=1, max_size=4), st.sampled_from(Format))
async def test_an_export_that_is_imported_elsewhere_exports_the_same(
    app: Application, database: Database, given_: Json, form: Format
) -> None:
    """Ids, times, archived customers, labels of aliases, parents and other organisations included."""
    number = next(_names)
    async with (
        new_account(app, database.owner_url, f"from {number}") as first,
        new_account(app, database.owner_url, f"to {number}") as second,
    ):
        await furnish(first, given_)
        data = await exported(database, first, form)
        outcome = await imported(database, second, data, form)
        assert (outcome.status, outcome.problems) == (Status.IMPORTED, ())
        again = await exported(database, second, form)
        if form is Format.CSV:
            assert without_changes(again) == without_changes(data)
        else:
            assert [bare(each) for each in again.splitlines()] == [bare(each) for each in data.splitlines()]


async def furnish(account: Account, given_: Json) -> None:
    """Make these customers, with whatever a create alone cannot give them."""
    client = account.client
    parent = await client.create(newest(legalName="Parent"))
    other = await client.create(older(legalName="Other", telephone="+44 117 496 0321"), version=FIRST)
    made = [await client.create(body | {"parentId": parent["id"]}) for body in given_]
    organization = {"ownerId": other["id"], "memberIds": [made[0]["id"]]}
    success(await client.post("/customer-organizations", version=NEWEST, json=organization), 201)
    alias = {"customerId": made[0]["id"], "value": f"labelled {next(_names)}", "label": "CRM"}
    success(await client.post("/customer-aliases", version=NEWEST, json=alias), 201)
    await client.archive(made[-1]["id"])


def bare(line: bytes) -> Json:
    """A line without when it last changed: joining an organisation is a change."""
    return {name: value for name, value in json.loads(line).items() if name != "updatedAt"}


def without_changes(data: bytes) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO(data.decode(), newline=""))
    return [{name: value for name, value in row.items() if name != "updatedAt"} for row in rows]


async def test_a_line_of_an_export_is_what_the_api_shows(account: Account, database: Database) -> None:
    """With what a request may say and no answer shows; members of organisations stand with the members alone."""
    client = account.client
    parent = await client.create(newest(legalName="Parent", customerAliases=["the parent"]))
    links = [link(NEWEST, service, "1") for service in ("Xero", "Anrok", "Slack")]
    await client.create(
        newest(label='a "label"\\\n\u2028', parentId=parent["id"], integrationIds=links, customProperties={"ä": "ß"})
    )
    await client.create(older(telephone="1"), version=FIRST)
    found = [json.loads(line) for line in (await exported(database, account)).splitlines()]
    assert [each["id"] for each in found] == await ids_of(account)
    assert [each.get("parentId") for each in found] == [None, parent["id"], None]
    assert found[0]["customerAliases"] == ["the parent"]
    assert found[2]["telephone"] == "1"
    for each in found:
        shown = await client.customer(each["id"])
        del shown["organizations"]
        assert {name: value for name, value in each.items() if name not in BEYOND} == shown


async def test_an_export_is_of_one_moment(account: Account, database: Database) -> None:
    """Whatever is written while it runs is not in it, nor a part of that."""
    bodies_ = [newest(legalName=f"Customer {number}", label="x" * 200) for number in range(2_000)]
    await imported(database, account, lines(*bodies_))
    first = (await account.client.page(sortBy="createdAt", sortOrder="DESC", limit=1))["items"][0]
    written: list[str] = []

    async def write() -> None:
        if not written:
            written.append(first["id"])
            await account.client.update(first["id"], newest(legalName="Changed"))
            await account.client.create(newest(legalName="Late"))

    data = await exported(database, account, on_piece=write)
    names = [json.loads(line)["legalName"] for line in data.splitlines()]
    assert sorted(names) == sorted(body["legalName"] for body in bodies_)
    assert written == [first["id"]]
    later = await exported(database, account)
    assert {json.loads(line)["legalName"] for line in later.splitlines()} - set(names) == {"Changed", "Late"}


async def test_an_export_that_cannot_be_written_ends_at_once(account: Account, database: Database) -> None:
    await imported(database, account, lines(*[newest(label="x" * 200)] * 1_000))

    async def refuse() -> None:
        raise BrokenPipeError

    async with asyncio.timeout(20):
        with pytest.raises(BrokenPipeError):
            await exported(database, account, on_piece=refuse)


async def test_archived_customers_are_exported_where_that_is_asked_for(account: Account, database: Database) -> None:
    kept = await account.client.create(newest())
    gone = await account.client.create(newest())
    await account.client.archive(gone["id"])
    for has_archived, expected in ((False, {kept["id"]}), (True, {kept["id"], gone["id"]})):
        for form in Format:
            data = (await exported(database, account, form, has_archived=has_archived)).decode()
            assert {each for each in (kept["id"], gone["id"]) if each in data} == expected


# --- What is refused ----------------------------------------------------------------------------------------


def said(outcome: Outcome) -> list[tuple[int, str, str]]:
    return [(each.line, each.column, each.message) for each in outcome.problems]


async def test_names_that_are_taken_are_said_with_their_lines_and_nothing_is_imported(
    account: Account, second_account: Account, database: Database
) -> None:
    """In the account or in the file; in another account they do not matter."""
    held = await account.client.create(newest(customerAliases=["held"]))
    await second_account.client.create(newest(customerAliases=["free"]))
    data = lines(
        newest(customerAliases=["free", "held"]),
        newest(customerAliases=["free"]),
        newest(id=MISSING),
        newest(id=MISSING, customerAliases=[held["id"]]),
        newest(customerAliases=[MISSING.upper()]),
        newest(id=held["id"]),
        newest(contacts=[{**contact(), "id": held["contacts"][0]["id"]}]),
        newest(contacts=[contact("a@example.com"), contact("A@example.com")]),
        newest(parentId="nobody"),
        newest(parentId=MISSING),
    )
    before = await transfers.rows(database, account.id)
    for is_check in (True, False):
        outcome = await imported(database, account, data, is_check=is_check)
        assert outcome.status is Status.REFUSED
        assert [(line, column) for line, column, _ in said(outcome)] == [
            (1, "customerAliases"),
            (2, "customerAliases"),
            (4, "customerAliases"),
            (4, "id"),
            (5, "customerAliases"),
            (6, "id"),
            (7, "contacts"),
            (8, "contacts[1].email"),
            (9, "parentId"),
        ]
        assert f"belongs to customer {held['id']}" in said(outcome)[0][2]
        assert "line 1 already" in said(outcome)[1][2]
    assert await transfers.rows(database, account.id) == before


async def test_what_is_there_already_can_be_skipped(account: Account, database: Database) -> None:
    await account.client.create(newest(legalName="Old", customerAliases=["one"]))
    data = await exported(database, account)
    assert (await imported(database, account, data)).status is Status.REFUSED
    more = data + lines(newest(legalName="New", customerAliases=["two"]))
    outcome = await imported(database, account, more, skips=True)
    assert (outcome.status, outcome.imported, outcome.skipped) == (Status.IMPORTED, 1, 1)
    assert await account.client.names(sortBy="legalName", sortOrder="ASC") == ["New", "Old"]


async def test_times_that_cannot_have_been_are_refused(account: Account, database: Database) -> None:
    early, late = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
    data = lines(
        newest(createdAt=late),
        newest(createdAt="2021-01-01T00:00:00Z", updatedAt=early),
        newest(updatedAt=early),
        newest(archivedAt=late),
        newest(contacts=[contact(), {**contact("b@example.com"), "createdAt": early, "updatedAt": late}]),
        newest(createdAt=early, updatedAt=early, archivedAt=early),
    )
    outcome = await imported(database, account, data, is_check=True)
    assert [(line, column) for line, column, _ in said(outcome)] == [
        (1, "createdAt"),
        (2, "updatedAt"),
        (3, "updatedAt"),
        (4, "archivedAt"),
        (5, "contacts[1].updatedAt"),
    ]


async def test_problems_are_counted_and_the_first_are_said(account: Account, database: Database) -> None:
    outcome = await imported(database, account, lines(*[{"legalName": ""}] * 300), is_check=True)
    assert outcome.problem_count == 300 * 3
    assert len(outcome.problems) == 100
    assert (outcome.rows, outcome.problems[0].line) == (300, 1)


async def test_an_alias_that_is_taken_meanwhile_is_said_and_its_batch_is_undone(
    account: Account, database: Database
) -> None:
    """Then what was imported before stays, and the same file goes on once the alias is free."""
    data = lines(*[newest(customerAliases=[f"alias {number}"]) for number in range(BATCH_ROWS + 5)])
    await transfers.begun(database, account, data)
    await account.client.create(newest(customerAliases=[f"alias {BATCH_ROWS}"]))
    outcome = await imported(database, account, data)
    assert outcome.status is Status.REFUSED
    assert [line for line, _, _ in said(outcome)] == [BATCH_ROWS + 1]
    assert outcome.imported == BATCH_ROWS
    aliases = success(await account.client.get("/customer-aliases", params={"value": f"alias {BATCH_ROWS}"}))
    for alias in aliases["items"]:
        await account.client.delete(f"/customer-aliases/{alias['id']}")
    outcome = await imported(database, account, data)
    assert (outcome.status, outcome.imported, outcome.resumed_at) == (Status.IMPORTED, 5, BATCH_ROWS)


# --- Organisations ------------------------------------------------------------------------------------------


async def test_parents_may_stand_behind_their_children_and_be_named_by_an_alias(
    account: Account, database: Database
) -> None:
    there = await account.client.create(newest(legalName="There", customerAliases=["there"]))
    data = lines(
        newest(legalName="Child", parentId="the parent"),
        newest(legalName="Grandchild", parentId=MISSING.upper(), organizationOwnerIds=["there"]),
        newest(legalName="Parent", customerAliases=["the parent"], parentId=there["id"]),
        newest(legalName="Middle", id=MISSING, parentId="the parent"),
    )
    assert (await imported(database, account, data)).status is Status.IMPORTED
    items = (await account.client.page(limit=100))["items"]
    found = {
        item["legalName"]: {
            (each["owner"]["name"], *sorted(member["name"] for member in each["members"]))
            for each in item["organizations"]
        }
        for item in items
    }
    below_there, below_parent = ("There", "Grandchild", "Parent"), ("Parent", "Child", "Middle")
    assert found == {
        "There": {below_there},
        "Parent": {below_there, below_parent},
        "Child": {below_parent},
        "Middle": {below_parent, ("Middle", "Grandchild")},
        "Grandchild": {below_there, ("Middle", "Grandchild")},
    }
    for item in items:
        told = await events(database, item["id"])
        assert [version for version, _, _ in told] == list(range(1, len(told) + 1))
        assert told[-1][2]["organizations"]
    child = next(item for item in items if item["legalName"] == "Child")
    # Naming the parent again through the API changes nothing: it is one already.
    again = await account.client.update(child["id"], newest(legalName="Child", parentId=(await parent_of(items))))
    assert again["updatedAt"] == child["updatedAt"]


async def parent_of(items: Json) -> str:
    return next(item["id"] for item in items if item["legalName"] == "Parent")


async def test_circles_and_unfit_parents_are_refused(account: Account, database: Database) -> None:
    archived = await account.client.create(newest())
    await account.client.archive(archived["id"])
    data = lines(
        newest(customerAliases=["a"], parentId="b"),
        newest(customerAliases=["b"], parentId="c"),
        newest(customerAliases=["c"], parentId="a"),
        newest(customerAliases=["d"], parentId="d"),
        newest(parentId=archived["id"]),
        newest(customerAliases=["e"], parentId="f"),
        newest(customerAliases=["f"]),
    )
    outcome = await imported(database, account, data)
    assert outcome.status is Status.REFUSED
    assert [line for line, _, _ in said(outcome)] == [1, 2, 3, 4, 5]
    assert "circle" in said(outcome)[0][2]
    assert "its own organisation" in said(outcome)[3][2]
    assert "is archived" in said(outcome)[4][2]


# --- Beside a service, and interrupted ----------------------------------------------------------------------


async def test_recipients_are_told_of_imported_customers(account: Account, database: Database) -> None:
    """Once each, while the service answers."""
    async with receiving(InTurn(answer(200))) as receiver:
        policy = {"name": "Hooks", "channel": "WEBHOOK", "recipients": [receiver.url("/hook")]}
        success(await account.client.post("/notifications/policies", version=NEWEST, json=policy), 201)
        importing = asyncio.create_task(
            imported(database, account, lines(*[newest(legalName=f"Customer {number}") for number in range(40)]))
        )
        while not importing.done():
            for version in VERSIONS:
                await account.client.page(version=version)
        assert importing.result().status is Status.IMPORTED
        await work_off(database)
        told = receiver.told()
    assert len(told) == len({each for each, _ in told}) == 40
    assert sorted(body["resource"]["legalName"] for _, body in told) == sorted(
        f"Customer {number}" for number in range(40)
    )
    assert {body["notificationType"] for _, body in told} == {"CUSTOMER_CREATED"}


async def test_an_import_whose_connection_ends_goes_on_where_it_ended(account: Account, database: Database) -> None:
    """However often: everything is there once, with its first version and its one event."""
    total = 2 * BATCH_ROWS + 10
    data = lines(*[newest(legalName=f"Customer {number}", customerAliases=[f"{number}"]) for number in range(total)])
    outcomes: list[Outcome] = []
    ended: list[BaseException] = []
    async with owner_connection(database.owner_url) as killer:
        while not outcomes:
            tasks: list[asyncio.Task[Json]] = []

            def kill(tasks: list[asyncio.Task[Json]] = tasks) -> None:
                if len(ended) < 2 and not tasks:
                    tasks.append(asyncio.ensure_future(killer.fetch(END_OTHERS)))

            try:
                outcomes.append(await imported(database, account, data, on_batch=kill))
            except (asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError) as error:
                ended.append(error)
            await asyncio.gather(*tasks)
        assert (outcomes[0].status, len(ended)) == (Status.IMPORTED, 2)
        assert outcomes[0].resumed_at
        counted = "SELECT count(*), count(DISTINCT legal_name), max(version) FROM customers WHERE account_id = $1"
        assert tuple(await killer.fetchrow(counted, account.id)) == (total, total, 1)  # pyright: ignore[reportArgumentType]
        for table in ("events", "customer_aliases", "activity_logs"):
            assert await killer.fetchval(f"SELECT count(*) FROM {table} WHERE account_id = $1", account.id) == total  # noqa: S608
    last = await imported(database, account, data)
    assert (last.status, last.imported, last.rows) == (Status.COMPLETE_ALREADY, 0, total)


async def test_a_parent_that_is_gone_meanwhile_stops_it_until_there_is_one(
    account: Account, database: Database
) -> None:
    """The check would have said so, had it been so then; circles are seen at the end as well."""
    data = lines(newest(legalName="Child", parentId="the parent"), newest(legalName="Other"))
    await transfers.begun(database, account, data)
    with pytest.raises(SetupError, match="Line 1: there is no customer 'the parent' in this account any more"):
        await imported(database, account, data)
    assert (await account.client.page())["pagination"]["totalResultSize"] == 2
    await account.client.create(newest(legalName="Parent", customerAliases=["the parent"]))
    outcome = await imported(database, account, data)
    assert (outcome.status, outcome.imported, outcome.resumed_at) == (Status.IMPORTED, 0, 2)
    [child] = (await account.client.page(legalName="Child"))["items"]
    assert [each["owner"]["name"] for each in child["organizations"]] == ["Parent"]
    circle = lines(newest(customerAliases=["a"], parentId="b"), newest(customerAliases=["b"], parentId="a"))
    await transfers.begun(database, account, circle)
    with pytest.raises(SetupError, match="so it cannot be above it too"):
        await imported(database, account, circle)


async def test_one_file_is_imported_by_one_process(
    account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = lines(newest())
    monkeypatch.setattr(imports, "_LOCK_WAIT_SECONDS", 0.05)
    async with owner_connection(database.owner_url) as other:
        async with imports.alone(other, account.id, transfers.source(data, Format.JSONL).digest):
            with pytest.raises(SetupError, match="is being imported by another process"):
                await imported(database, account, data)
        assert (await imported(database, account, data)).status is Status.IMPORTED


async def test_a_file_that_is_changed_while_it_is_read_is_left(account: Account, database: Database) -> None:
    with pytest.raises(SetupError, match="The file was changed while it was imported"):
        await imported(database, account, lines(newest()), is_unchanged=False)
    assert (await account.client.page())["items"] == []
