"""What the people of an account get by e-mail: what their policies are about, and that a recipient was paused."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

from tests.faults.support_mail import Letterbox, mail_server
from tests.support.bodies import newest
from tests.support.clients import Account, owner_connection, success
from tests.support.cluster import Database
from tests.support.receivers import answer, answering, receiving
from tests.support.workers import advance, work_off

from customary.connectors.mail import Mailer
from customary.connectors.mail_server import mail_server as configured
from customary.domain.user import Role
from customary.operations.users import create_user_as_operator

STATES = "SELECT kind, state, count(*)::int FROM jobs GROUP BY kind, state ORDER BY kind, state"


@asynccontextmanager
async def mailer_to(letterbox: Letterbox) -> AsyncGenerator[Mailer]:
    """A mailer as an operator sets it up, to a real server on loopback."""
    async with mail_server(letterbox) as port:
        server = configured(f"smtp://127.0.0.1:{port}", "Customary <customary@example.com>")
        assert server is not None
        yield Mailer(server)


async def states(database: Database) -> list[tuple[str, str, int]]:
    """How many pieces of work of each kind are in which state."""
    async with owner_connection(database.owner_url) as owner:
        return [tuple(row) for row in await owner.fetch(STATES)]


async def make_policy(account: Account, channel: str, *recipients: str) -> str:
    """The id of a policy about everything."""
    body = {"name": "Finance", "channel": channel, "recipients": list(recipients)}
    return success(await account.client.post("/notifications/policies", json=body), 201)["id"]


async def test_each_recipient_gets_a_mail_of_each_change(database: Database, account: Account) -> None:
    """One mail for each person and event, with a stable id, that says what happened to whom."""
    letterbox = Letterbox()
    await make_policy(account, "EMAIL", "ada@example.com", "bob@example.com")
    customer = await account.client.create(newest(legalName="Université Gärtner"))
    await account.client.archive(customer["id"])
    async with mailer_to(letterbox) as mailer:
        await work_off(database, mailer=mailer)
    assert sorted((each.recipient, str(each.mail["Subject"])) for each in letterbox.received) == [
        ("ada@example.com", "Customer archived: Université Gärtner"),
        ("ada@example.com", "Customer created: Université Gärtner"),
        ("bob@example.com", "Customer archived: Université Gärtner"),
        ("bob@example.com", "Customer created: Université Gärtner"),
    ]
    assert len({each.mail["Message-ID"] for each in letterbox.received}) == 4
    text = letterbox.received[0].mail.get_content()
    assert customer["id"] in text
    assert "Finance" in text
    assert await states(database) == [("DELIVERY", "DELIVERED", 4)]


async def test_mail_that_is_refused_is_tried_again(database: Database, account: Account) -> None:
    letterbox = Letterbox(to_recipient="451 Come back later")
    policy_id = await make_policy(account, "EMAIL", "ada@example.com")
    await account.client.create(newest())
    async with mailer_to(letterbox) as mailer:
        await work_off(database, mailer=mailer)
    (shown,) = success(await account.client.get(f"/notifications/policies/{policy_id}/deliveries"))["items"]
    assert (shown["state"], shown["attempts"], shown["lastResponseStatus"]) == ("PENDING", 1, 451)


async def test_a_worker_without_a_mail_server_holds_mail(database: Database, account: Account) -> None:
    """It waits, and says why, instead of being lost."""
    policy_id = await make_policy(account, "EMAIL", "ada@example.com")
    await account.client.create(newest())
    await work_off(database)
    path = f"/notifications/policies/{policy_id}/deliveries"
    (shown,) = success(await account.client.get(path))["items"]
    assert (shown["state"], shown["attempts"]) == ("PENDING", 1)
    (attempt,) = success(await account.client.get(f"{path}/{shown['id']}/attempts"))["items"]
    assert "CUSTOMARY_SMTP_URL" in attempt["error"]


async def test_administrators_are_told_of_a_recipient_that_only_fails(
    database: Database, account: Account, second_account: Account
) -> None:
    """After the fourth failure, once, and only the administrators of that account."""
    letterbox = Letterbox()
    async with owner_connection(database.owner_url) as owner:
        await create_user_as_operator(owner, account.id, "admin@example.com", Role.ADMIN)
        await create_user_as_operator(owner, account.id, "reader@example.com", Role.READ_ONLY_USER)
        await create_user_as_operator(owner, second_account.id, "other@example.com", Role.ADMIN)
    async with receiving(answering(answer(500))) as receiver, mailer_to(letterbox) as mailer:
        await make_policy(account, "WEBHOOK", receiver.url("/hooks?token=hidden"))
        for number in range(3):
            await account.client.create(newest(legalName=f"customer {number}"))
        await work_off(database, mailer=mailer)
        assert letterbox.received == []
        await account.client.create(newest())
        await work_off(database, mailer=mailer)
    (mail,) = letterbox.received
    assert mail.recipient == "admin@example.com"
    assert "paused" in str(mail.mail["Subject"])
    text = mail.mail.get_content()
    assert receiver.url("/hooks") in text
    assert "hidden" not in text
    assert "500" in text
    assert ("ALERT", "DELIVERED", 1) in await states(database)


async def test_a_worker_without_a_mail_server_leaves_alerts_to_one_that_has_it(
    database: Database, account: Account
) -> None:
    """Administrators are told later, instead of never."""
    letterbox = Letterbox()
    async with owner_connection(database.owner_url) as owner:
        await create_user_as_operator(owner, account.id, "admin@example.com", Role.ADMIN)
    async with receiving(answering(answer(410))) as receiver, mailer_to(letterbox) as mailer:
        await make_policy(account, "WEBHOOK", receiver.url())
        await account.client.create(newest())
        await work_off(database)
        assert ("ALERT", "PENDING", 1) in await states(database)
        await advance(database, timedelta(hours=1))
        await work_off(database, mailer=mailer)
    (mail,) = letterbox.received
    assert mail.recipient == "admin@example.com"
    assert ("ALERT", "DELIVERED", 1) in await states(database)


async def test_administrators_are_told_of_a_recipient_that_wants_no_more(database: Database, account: Account) -> None:
    letterbox = Letterbox()
    async with owner_connection(database.owner_url) as owner:
        await create_user_as_operator(owner, account.id, "admin@example.com", Role.ADMIN)
    async with receiving(answering(answer(410))) as receiver, mailer_to(letterbox) as mailer:
        await make_policy(account, "WEBHOOK", receiver.url())
        await account.client.create(newest())
        await work_off(database, mailer=mailer)
    (mail,) = letterbox.received
    assert "disabled" in str(mail.mail["Subject"])
