"""Policies by e-mail: taken where the service can send e-mail, and refused where they would tell nobody anything."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.support.clients import NEWEST, VERSIONS, Account, client_of, invalid, new_account, refused, started, success
from tests.support.cluster import Database

POLICY = {"name": "Finance", "channel": "EMAIL", "recipients": ["ada@example.com"]}
WEBHOOK = {"name": "Hooks", "channel": "WEBHOOK", "recipients": ["https://example.com/hooks"]}
POLICIES = "/notifications/policies"


@pytest_asyncio.fixture
async def without_mail(database: Database) -> AsyncIterator[Account]:
    """A tenant of a service whose operator named no mail server."""
    async with (
        started(database.service_url, has_mail=False) as app,
        new_account(app, database.owner_url, "one") as made,
    ):
        yield made


@pytest.mark.parametrize("version", VERSIONS)
async def test_with_mail(account: Account, version: str) -> None:
    made = success(await account.client.post(POLICIES, version=version, json=POLICY), 201)
    assert (made["channel"], made["recipients"]) == ("EMAIL", ["ada@example.com"])
    assert "webhookSecret" not in made
    assert success(await account.client.get(f"{POLICIES}/{made['id']}", version=version)) == made


@pytest.mark.parametrize("version", VERSIONS)
async def test_without_mail(without_mail: Account, version: str) -> None:
    """The answer says whose it is to change that, how, and what works meanwhile; nothing is stored."""
    client = without_mail.client
    error = refused(await client.post(POLICIES, version=version, json=POLICY), 400, "validationError")
    for named in ("CUSTOMARY_SMTP_URL", "CUSTOMARY_MAIL_FROM", "WEBHOOK", "operator"):
        assert named in error["message"]
    [detail] = error["errors"]
    assert (detail["key"], detail["code"], detail["message"]) == ("channel", "mailNotSetUp", error["message"])
    assert success(await client.get(POLICIES, version=version))["items"] == []


async def test_a_dry_run_without_mail(without_mail: Account) -> None:
    """Trying it out answers what doing it would."""
    answer = await without_mail.client.post(POLICIES, version=NEWEST, json=POLICY, params={"dryRun": "true"})
    assert invalid(answer) == {"channel": "mailNotSetUp"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_webhooks_need_no_mail(without_mail: Account, version: str) -> None:
    success(await without_mail.client.post(POLICIES, version=version, json=WEBHOOK), 201)


async def test_policies_outlive_the_mail_server(database: Database) -> None:
    """What was made while there was one can be read, changed and deleted after the operator took it away."""
    async with started(database.service_url) as app, new_account(app, database.owner_url, "one") as account:
        policy = success(await account.client.post(POLICIES, version=NEWEST, json=POLICY), 201)["id"]
        async with (
            started(database.service_url, has_mail=False) as later,
            client_of(later, (account.client_id, account.secret)) as client,
        ):
            path = f"{POLICIES}/{policy}"
            more = {"recipients": ["grace@example.com"]}
            assert success(await client.post(f"{path}/recipients", version=NEWEST, json=more))["recipients"] == [
                "ada@example.com",
                "grace@example.com",
            ]
            success(await client.delete(path, version=NEWEST))
            assert success(await client.get(POLICIES, version=NEWEST))["items"] == []
