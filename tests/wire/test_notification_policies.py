"""Notification policies in all versions: who is told of what, whatever version wrote it, and who sees the secret."""

import asyncio
import base64
import json as json_module
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from tests.support import records
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
    VERSIONS,
    Account,
    Json,
    client_of,
    invalid,
    new_key,
    owner_connection,
    refused,
    success,
)
from tests.support.cluster import Database
from tests.support.keys import live_secrets
from tests.support.published import Published

from customary.app import Application
from customary.domain.account import Scope

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
OLDER = (FIRST, SECOND)
LIST = "/notifications/policies"
PATH = LIST + "/{id}"
TYPES = PATH + "/notification-types"
TYPE = TYPES + "/{type}"
RECIPIENTS = PATH + "/recipients"
RECIPIENT = RECIPIENTS + "/{recipient}"
OPERATIONS = [
    (version, method, path)
    for version in VERSIONS
    for method, path in (
        ("GET", LIST),
        ("POST", LIST),
        ("GET", PATH),
        ("DELETE", PATH),
        ("POST", TYPES),
        ("DELETE", TYPE),
        ("POST", RECIPIENTS),
        ("DELETE", RECIPIENT),
    )
]
WITH_ID = [each for each in OPERATIONS if "{" in each[2]]
CHANGES = [each for each in OPERATIONS if each[1] != "GET" and each[2] != LIST]
BODIES: dict[str, Json] = {
    TYPES: {"notificationTypes": ["INVOICE_CREATED"]},
    RECIPIENTS: {"recipients": ["new@example.com"]},
}
# What each version calls what the other calls otherwise, and what only one of them has.
RENAMED = {
    "CUSTOMER_DELETED": "CUSTOMER_ARCHIVED",
    "BILLING_SCHEDULE_DELETED": "BILLING_SCHEDULE_ARCHIVED",
}
ONLY_OLDER = {
    "NOTIFICATION_SENT",
    "MERCHANT_CUSTOM_FIELDS_CREATED",
    "MERCHANT_CUSTOM_FIELDS_UPDATED",
    "MERCHANT_CUSTOM_FIELDS_DELETED",
}
ONLY_NEWEST = {"QUOTE_SIGNED", "INVOICE_REMINDER_SENT", "WATCHTOWER_TASK_ASSIGNED"}


def mail(**changes: object) -> Json:
    """A policy that sends e-mail about three things."""
    return {
        "name": "Finance",
        "channel": "EMAIL",
        "recipients": ["a@example.com", "b@example.com"],
        "notificationTypes": ["CUSTOMER_CREATED", "CUSTOMER_UPDATED", "QUOTE_ACCEPTED"],
    } | changes


def webhook(**changes: object) -> Json:
    """A policy about everything that posts to one URL."""
    return {"name": "Warehouse", "channel": "WEBHOOK", "recipients": ["https://example.com/hooks?a=b/c"]} | changes


async def made(account: Account, body: Json, version: str = NEWEST) -> Json:
    return success(await account.client.post(LIST, version=version, json=body), 201)


async def shown(account: Account, policy_id: str, version: str = NEWEST) -> Json:
    return success(await account.client.get(PATH.format(id=policy_id), version=version))


def url_of(path: str, policy_id: object) -> str:
    """A path on a policy made by `mail`, with a type and a recipient that it has."""
    return path.format(id=policy_id, type="CUSTOMER_UPDATED", recipient="a%40example.com")


def types_of(published: Callable[[str], Published], version: str) -> list[str]:
    return published(version).document["components"]["schemas"]["NotificationType"]["enum"]


def test_every_published_operation_is_listed_here(published: Callable[[str], Published]) -> None:
    found = {
        (version, method.upper(), path)
        for version in VERSIONS
        for path, methods in published(version).document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/notifications") and "responses" in operation
    }
    assert found == set(OPERATIONS)


def test_the_differences_between_the_versions_are_the_published_ones(published: Callable[[str], Published]) -> None:
    newest = set(types_of(published, NEWEST))
    for version in OLDER:
        older = set(types_of(published, version))
        assert older - newest == ONLY_OLDER | RENAMED.keys()
        assert newest - older == ONLY_NEWEST | set(RENAMED.values())


# --- Creating ---


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_create_is_accepted_and_kept(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    body = published(version).example("POST", LIST)
    answer = await made(account, body, version)
    published(version).check("POST", LIST, 201, answer)
    new = {"id": answer["id"], "createdAt": answer["createdAt"], "sequenceAccountId": str(account.id)}
    assert answer == new | body
    del body["webhookSecret"]
    assert await shown(account, answer["id"], version) == new | body


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_policy_without_types_is_about_everything(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    """Which all versions say by leaving the types out."""
    policy = await made(account, webhook(), version)
    assert "notificationTypes" not in policy
    for other in VERSIONS:
        answer = await shown(account, policy["id"], other)
        published(other).check("GET", PATH, 200, answer)
        assert "notificationTypes" not in answer


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_webhook_without_a_secret_gets_one_that_no_other_has(account: Account, version: str) -> None:
    """In the form that the Standard Webhooks libraries read: 32 random bytes in base64."""
    secrets = [(await made(account, webhook(), version))["webhookSecret"] for _ in range(3)]
    assert len(set(secrets)) == 3
    for secret in secrets:
        prefix, text = secret[:6], secret[6:]
        assert prefix == "whsec_"
        assert len(base64.b64decode(text, validate=True)) == 32


@pytest.mark.parametrize("secret", ["12345678", "é" * 200, " spaces are kept "])
async def test_a_secret_of_ones_own_is_kept_as_it_is(account: Account, database: Database, secret: str) -> None:
    policy = await made(account, webhook(webhookSecret=secret))
    assert policy["webhookSecret"] == secret
    assert await live_secrets(database, account.id, policy["id"]) == (secret,)


@pytest.mark.parametrize("given", [True, False])
async def test_the_secret_is_shown_once_and_never_again(
    account: Account, database: Database, capfd: pytest.CaptureFixture[str], *, given: bool
) -> None:
    """Not by a read, a list, a change or a deletion in any version, and not in the activity log."""
    policy = await made(account, webhook(**({"webhookSecret": "a secret of ours"} if given else {})))
    secret = policy["webhookSecret"]
    answers: list[str] = []
    for version in VERSIONS:
        answers.append((await account.client.get(LIST, version=version)).text)
        answers.append((await account.client.get(PATH.format(id=policy["id"]), version=version)).text)
        body = {"recipients": [f"https://example.com/{version}"]}
        answers.append((await account.client.post(RECIPIENTS.format(id=policy["id"]), json=body)).text)
    answers.append((await account.client.delete(PATH.format(id=policy["id"]))).text)
    answers.append((await account.client.get("/activity-logs")).text)
    async with owner_connection(database.owner_url) as connection:
        answers += [row[0] for row in await connection.fetch("SELECT changes::text FROM activity_logs")]
    assert policy["id"] in answers[-1] + answers[-2] + answers[0]
    for text in answers:
        assert secret not in text
        assert "webhookSecret" not in text
        assert "webhook_secret" not in text
    assert secret not in "".join(capfd.readouterr())


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_version_that_a_policy_is_made_under_is_kept(
    account: Account, database: Database, version: str
) -> None:
    policy = await made(account, mail(), version)
    await account.client.post(RECIPIENTS.format(id=policy["id"]), json=BODIES[RECIPIENTS])
    async with owner_connection(database.owner_url) as connection:
        assert await connection.fetchval("SELECT api_version FROM notification_policies") == version


@pytest.mark.parametrize(
    ("channel", "recipients", "kept"),
    [
        ("EMAIL", ["A@example.com", "b@example.com", "a@EXAMPLE.com"], ["A@example.com", "b@example.com"]),
        ("WEBHOOK", ["https://e.com/a", "https://e.com/A", "https://e.com/a"], ["https://e.com/a", "https://e.com/A"]),
    ],
)
async def test_a_recipient_given_twice_counts_once(
    account: Account, channel: str, recipients: list[str], kept: list[str]
) -> None:
    """E-mail ignores case; in a URL it matters."""
    policy = await made(account, mail(channel=channel, recipients=recipients))
    assert policy["recipients"] == kept
    added = success(await account.client.post(RECIPIENTS.format(id=policy["id"]), json={"recipients": recipients}))
    assert added["recipients"] == kept


async def test_a_type_given_twice_counts_once(account: Account) -> None:
    policy = await made(account, mail(notificationTypes=["QUOTE_SIGNED", "INVOICE_ISSUED", "QUOTE_SIGNED"]))
    assert policy["notificationTypes"] == ["QUOTE_SIGNED", "INVOICE_ISSUED"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_that_is_wrong_is_said_at_once(account: Account, version: str) -> None:
    body = {
        "name": "",
        "recipients": [1, ""],
        "channel": "PIGEON",
        "notificationTypes": ["CUSTOMER_CREATED", "CUSTOMER_EATEN"],
        "webhookSecret": "short",
    }
    assert invalid(await account.client.post(LIST, version=version, json=body)) == {
        "name": "tooShort",
        "recipients[0]": "type",
        "recipients[1]": "tooShort",
        "channel": "enum",
        "notificationTypes[1]": "enum",
        "webhookSecret": "tooShort",
    }
    required = invalid(await account.client.post(LIST, version=version, json={}))
    assert required == {"name": "required", "recipients": "required", "channel": "required"}
    assert success(await account.client.get(LIST))["items"] == []


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        (mail(recipients=[]), {"recipients": "tooFew"}),
        (mail(recipients=[f"{number}@example.com" for number in range(101)]), {"recipients": "tooMany"}),
        (mail(notificationTypes=[]), {"notificationTypes": "tooFew"}),
        (mail(notificationTypes=None), {"notificationTypes": "type"}),
        (mail(name="n" * 256), {"name": "tooLong"}),
        (webhook(webhookSecret="s" * 201), {"webhookSecret": "tooLong"}),
        (mail(webhookSecret="12345678"), {"webhookSecret": "channel"}),
        (
            mail(recipients=["https://example.com/", "nobody", "a" * 250 + "@example.com"], webhookSecret="12345678"),
            {
                "recipients[0]": "email",
                "recipients[1]": "email",
                "recipients[2]": "tooLong",
                "webhookSecret": "channel",
            },
        ),
        (
            webhook(recipients=["a@example.com", "ftp://example.com", "https://", "/hooks", "https://example.com"]),
            {f"recipients[{position}]": "url" for position in range(4)},
        ),
    ],
)
async def test_a_policy_that_cannot_be_is_refused(account: Account, body: Json, problems: Json) -> None:
    assert invalid(await account.client.post(LIST, json=body)) == problems


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_version_refuses_the_types_of_the_others(account: Account, version: str) -> None:
    foreign = ONLY_OLDER | RENAMED.keys() if version == NEWEST else ONLY_NEWEST | set(RENAMED.values())
    for name in foreign:
        answer = await account.client.post(LIST, version=version, json=mail(notificationTypes=[name]))
        assert invalid(answer) == {"notificationTypes[0]": "enum"}


# --- Versions as translations ---


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_type_is_kept_and_shown_by_all_that_know_it(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    names = types_of(published, version)
    policy = await made(account, mail(notificationTypes=names), version)
    assert policy["notificationTypes"] == names
    newest = [RENAMED.get(name, name) for name in names if name not in ONLY_OLDER]
    back = {today: name for name, today in RENAMED.items()}
    older = [back.get(name, name) for name in names if name not in ONLY_NEWEST]
    for other in VERSIONS:
        answer = await shown(account, policy["id"], other)
        published(other).check("GET", PATH, 200, answer)
        assert answer["notificationTypes"] == (newest if other == NEWEST else older)


@pytest.mark.parametrize("version", OLDER)
async def test_what_an_older_version_cannot_show_survives_its_writes(account: Account, version: str) -> None:
    policy = await made(account, mail(notificationTypes=["QUOTE_SIGNED", "CUSTOMER_ARCHIVED", "INVOICE_ISSUED"]))
    path = TYPES.format(id=policy["id"])
    body = {"notificationTypes": ["NOTIFICATION_SENT", "CUSTOMER_DELETED"]}
    answer = success(await account.client.post(path, version=version, json=body))
    assert answer["notificationTypes"] == ["CUSTOMER_DELETED", "INVOICE_ISSUED", "NOTIFICATION_SENT"]
    assert (await shown(account, policy["id"]))["notificationTypes"] == [
        "QUOTE_SIGNED",
        "CUSTOMER_ARCHIVED",
        "INVOICE_ISSUED",
    ]
    for name in ("CUSTOMER_DELETED", "INVOICE_ISSUED", "NOTIFICATION_SENT"):
        answer = success(await account.client.delete(f"{path}/{name}", version=version))
    assert answer["notificationTypes"] == [], "about something that this version cannot name, not about everything"
    assert (await shown(account, policy["id"]))["notificationTypes"] == ["QUOTE_SIGNED"]


# --- Lists ---


@pytest.mark.parametrize("version", VERSIONS)
async def test_policies_are_listed_newest_first_page_by_page(
    account: Account, second_account: Account, published: Callable[[str], Published], version: str
) -> None:
    ids = [(await made(account, mail(name=str(number)), version))["id"] for number in range(3)]
    await made(second_account, mail())
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = success(await account.client.get(LIST, version=version, params=params))
        published(version).check("GET", LIST, 200, page)
        assert page["pagination"]["totalResultSize"] == 3
        assert page["items"] == [await shown(account, each["id"], version) for each in page["items"]]
        seen += [each["id"] for each in page["items"]]
        if "after" not in page["pagination"]:
            break
        params["after"] = page["pagination"]["after"]
    assert seen == ids[::-1]


async def test_policies_about_one_type_include_those_about_everything(account: Account) -> None:
    everything = (await made(account, webhook()))["id"]
    customers = (await made(account, mail(notificationTypes=["CUSTOMER_CREATED", "CUSTOMER_ARCHIVED"])))["id"]
    deleted = (await made(account, mail(notificationTypes=["CUSTOMER_DELETED"]), FIRST))["id"]
    for name, expected in (
        ("CUSTOMER_CREATED", [customers, everything]),
        ("CUSTOMER_ARCHIVED", [deleted, customers, everything]),
        ("QUOTE_SIGNED", [everything]),
    ):
        page = success(await account.client.get(LIST, params={"notificationType": name}))
        assert [each["id"] for each in page["items"]] == expected
        assert page["pagination"]["totalResultSize"] == len(expected)


async def test_a_cursor_belongs_to_its_filter(account: Account) -> None:
    for _ in range(2):
        await made(account, webhook())
    page = success(await account.client.get(LIST, params={"limit": 1, "notificationType": "QUOTE_SIGNED"}))
    cursor = page["pagination"]["after"]
    assert invalid(await account.client.get(LIST, params={"after": cursor})) == {"after": "cursor"}


@pytest.mark.parametrize("name", ["CUSTOMER_DELETED", "NOTIFICATION_SENT", "customer_created", ""])
async def test_a_filter_by_no_type_is_refused(account: Account, name: str) -> None:
    assert invalid(await account.client.get(LIST, params={"notificationType": name})) == {"notificationType": "enum"}


@pytest.mark.parametrize("version", OLDER)
async def test_an_older_version_has_no_filter(account: Account, version: str) -> None:
    await made(account, mail())
    page = success(await account.client.get(LIST, version=version, params={"notificationType": "QUOTE_SIGNED"}))
    assert len(page["items"]) == 1


# --- Changing and deleting ---


@pytest.mark.parametrize(("version", "method", "path"), CHANGES)
async def test_a_change_is_answered_as_published_and_recorded_once(
    account: Account, database: Database, published: Callable[[str], Published], version: str, method: str, path: str
) -> None:
    before = await made(account, mail())
    counted = await records.count(database)
    answer = await account.client.request(method, url_of(path, before["id"]), version=version, json=BODIES.get(path))
    document = published(version)
    policy = success(answer, document.success(method, path))
    document.check(method, path, answer.status_code, policy)
    expected = {
        PATH: {},
        TYPES: {"notificationTypes": [*before["notificationTypes"], "INVOICE_CREATED"]},
        TYPE: {"notificationTypes": ["CUSTOMER_CREATED", "QUOTE_ACCEPTED"]},
        RECIPIENTS: {"recipients": [*before["recipients"], "new@example.com"]},
        RECIPIENT: {"recipients": ["b@example.com"]},
    }[path]
    assert policy == before | expected
    last = (await records.activities(database, "NOTIFICATION_POLICY"))[-1]
    assert (last.verb, last.object[1]) == ("DELETED" if path == PATH else "UPDATED", before["id"])
    if path == PATH:
        refused(await account.client.get(PATH.format(id=before["id"])), 404, "notFound")
    else:
        assert await shown(account, before["id"]) == policy
        assert [name.replace("_", "") for name in last.changes] == [name.lower() for name in expected]
    assert await records.count(database) == (counted[0] + 1, 0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", [TYPES, RECIPIENTS])
async def test_the_published_addition_is_accepted(
    account: Account, published: Callable[[str], Published], version: str, path: str
) -> None:
    policy = await made(account, mail(notificationTypes=["INVOICE_CREATED"]), version)
    body = published(version).example("POST", path)
    answer = success(await account.client.post(path.format(id=policy["id"]), version=version, json=body))
    for name, added in body.items():
        assert answer[name] == [*policy[name], *added]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TYPES, {"notificationTypes": ["CUSTOMER_UPDATED", "CUSTOMER_CREATED"]}),
        (TYPES, {"notificationTypes": []}),
        (RECIPIENTS, {"recipients": ["B@EXAMPLE.com"]}),
        (RECIPIENTS, {"recipients": []}),
    ],
)
async def test_adding_what_is_there_changes_and_records_nothing(
    account: Account, database: Database, version: str, path: str, body: Json
) -> None:
    policy = await made(account, mail(), version)
    answer = success(await account.client.post(path.format(id=policy["id"]), version=version, json=body))
    assert answer == policy
    assert await records.count(database) == (1, 0)


async def test_types_added_to_a_policy_about_everything_change_nothing(account: Account, database: Database) -> None:
    policy = await made(account, webhook())
    success(await account.client.post(TYPES.format(id=policy["id"]), json=BODIES[TYPES]))
    assert "notificationTypes" not in await shown(account, policy["id"])
    assert await records.count(database) == (1, 0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_policy_about_everything_loses_one_type_and_keeps_all_others(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    policy = await made(account, webhook())
    path = f"{TYPES.format(id=policy['id'])}/CUSTOMER_CREATED"
    answer = success(await account.client.delete(path, version=version))
    assert set(answer["notificationTypes"]) == set(types_of(published, version)) - {"CUSTOMER_CREATED"}
    for other in VERSIONS:
        left = (await shown(account, policy["id"], other))["notificationTypes"]
        assert set(left) == set(types_of(published, other)) - {"CUSTOMER_CREATED"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("last", ["type", "recipient"])
async def test_the_last_one_stays(account: Account, database: Database, version: str, last: str) -> None:
    policy = await made(account, mail(notificationTypes=["CUSTOMER_UPDATED"], recipients=["a@example.com"]), version)
    path = url_of(TYPE if last == "type" else RECIPIENT, policy["id"])
    assert invalid(await account.client.delete(path, version=version)) == {last: "last"}
    assert await shown(account, policy["id"], version) == policy
    assert await records.count(database) == (1, 0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("channel", "recipient", "named"),
    [
        ("EMAIL", "Ada+hooks@example.com", "ada+HOOKS@example.com"),
        ("WEBHOOK", "https://example.com/a%2Fb?c=d&e#f", "https://example.com/a%2Fb?c=d&e#f"),
        ("WEBHOOK", "https://bücher.example/é", "https://bücher.example/é"),
    ],
)
async def test_a_recipient_is_named_in_the_path_by_any_text(
    account: Account, version: str, channel: str, recipient: str, named: str
) -> None:
    kept = "a@example.com" if channel == "EMAIL" else "https://example.com/a/b?c=d&e#f"
    policy = await made(account, mail(channel=channel, recipients=[recipient, kept]), version)
    path = f"{RECIPIENTS.format(id=policy['id'])}/{quote(named, safe='')}"
    assert success(await account.client.delete(path, version=version))["recipients"] == [kept]
    refused(await account.client.delete(path, version=version), 404, "notFound")


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_a_policy_does_not_have_cannot_be_removed(
    account: Account, database: Database, version: str
) -> None:
    """A type that it is not about, one that only another version knows, and one that nobody knows."""
    policy = await made(account, mail(), version)
    foreign = "CUSTOMER_DELETED" if version == NEWEST else "QUOTE_SIGNED"
    types = TYPES.format(id=policy["id"])
    errors = [
        refused(await account.client.delete(f"{types}/{name}", version=version), 404, "notFound")
        for name in ("INVOICE_CREATED", foreign, "nothing", "customer_updated")
    ]
    assert all(error == errors[0] for error in errors)
    path = f"{RECIPIENTS.format(id=policy['id'])}/c%40example.com"
    refused(await account.client.delete(path, version=version), 404, "notFound")
    assert await shown(account, policy["id"], version) == policy
    assert await records.count(database) == (1, 0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_addition_that_cannot_be_is_refused(account: Account, version: str) -> None:
    policy = await made(account, mail(), version)
    types, recipients = TYPES.format(id=policy["id"]), RECIPIENTS.format(id=policy["id"])
    for path, body, problems in (
        (types, {}, {"notificationTypes": "required"}),
        (types, {"notificationTypes": ["x", None]}, {"notificationTypes[0]": "enum", "notificationTypes[1]": "type"}),
        (recipients, {}, {"recipients": "required"}),
        (recipients, {"recipients": ["c@example.com", "https://example.com/"]}, {"recipients[1]": "email"}),
        (recipients, {"recipients": [f"{number}@example.com" for number in range(99)]}, {"recipients": "tooMany"}),
    ):
        assert invalid(await account.client.post(path, version=version, json=body)) == problems
    assert await shown(account, policy["id"], version) == policy


async def test_additions_at_once_all_count(account: Account, database: Database) -> None:
    policy = await made(account, mail())
    path = RECIPIENTS.format(id=policy["id"])
    await asyncio.gather(
        *(account.client.post(path, json={"recipients": [f"{number}@example.com"]}) for number in range(8))
    )
    assert len((await shown(account, policy["id"]))["recipients"]) == 10
    assert await records.count(database) == (9, 0)


@pytest.mark.parametrize(("version", "method", "path"), CHANGES)
async def test_a_stale_tag_is_refused(account: Account, version: str, method: str, path: str) -> None:
    policy = await made(account, mail(), version)
    url, body = url_of(path, policy["id"]), BODIES.get(path)
    stale = await account.client.request(method, url, version=version, json=body, headers={"If-Match": '"stale"'})
    refused(stale, 412, "preconditionFailed")
    assert await shown(account, policy["id"], version) == policy
    tag = (await account.client.get(PATH.format(id=policy["id"]), version=version)).headers["etag"]
    success(await account.client.request(method, url, version=version, json=body, headers={"If-Match": tag}))


@pytest.mark.parametrize(("version", "method", "path"), WITH_ID)
async def test_another_tenants_policy_is_answered_like_one_that_does_not_exist(
    account: Account, second_account: Account, version: str, method: str, path: str
) -> None:
    foreign = await made(second_account, mail())
    errors = [
        refused(
            await account.client.request(method, url_of(path, each), version=version, json=BODIES.get(path)),
            404,
            "notFound",
        )
        for each in (MISSING, foreign["id"], "nonsense")
    ]
    assert all(error == errors[0] for error in errors)
    assert await shown(second_account, foreign["id"]) == foreign


@pytest.mark.parametrize(("version", "method", "path"), OPERATIONS)
async def test_without_a_key_or_its_scope_nothing_is_answered(
    app: Application, account: Account, database: Database, version: str, method: str, path: str
) -> None:
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    url = url_of(path, MISSING)
    async with client_of(app, None) as anonymous, client_of(app, key) as limited:
        refused(await anonymous.request(method, url, version=version), 401, "unauthorized")
        refused(await limited.request(method, url, version=version), 403, "forbidden")


async def test_the_creation_is_recorded_with_all_but_the_secret(account: Account, database: Database) -> None:
    policy = await made(account, webhook())
    [activity] = await records.activities(database, "NOTIFICATION_POLICY")
    assert (activity.verb, activity.object[1]) == ("CREATED", policy["id"])
    assert activity.changes["name"] == (None, "Warehouse")
    shown = {"id", "created_at", "name", "channel", "recipients", "api_version", "is_ordered"}
    assert activity.changes.keys() == shown
    assert policy["webhookSecret"] not in json_module.dumps(list(activity.changes.values()))
