"""Real deliveries are verified by the published recipe and by the libraries of receivers, also during rotations."""

import asyncio
import hashlib
import hmac
import random
from collections.abc import Callable

import pytest
import standardwebhooks
import svix
from tests.support.bodies import newest
from tests.support.clients import Account, success
from tests.support.cluster import Database
from tests.support.receivers import Exchange, answer, receiving
from tests.support.workers import settled, work_off, working

Verifier = Callable[[str, Exchange], bool]
ROTATIONS = 100
MOST_BEHIND = 5


def recipe(secret: str, exchange: Exchange) -> bool:
    """The published recipe: HMAC-SHA256 with the secret as it is over the time, a dot and the raw body."""
    parts = [part.partition("=") for part in exchange.headers()["sequence-signature"].split(",")]
    sent_at = next(value for name, _, value in parts if name == "t")
    expected = hmac.new(secret.encode(), sent_at.encode() + b"." + exchange.body, hashlib.sha256).hexdigest()
    return any(hmac.compare_digest(value, expected) for name, _, value in parts if name == "s")


def by_standard_webhooks(secret: str, exchange: Exchange) -> bool:
    try:
        standardwebhooks.Webhook(secret).verify(exchange.body, exchange.headers())
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def by_svix(secret: str, exchange: Exchange) -> bool:
    try:
        svix.Webhook(secret).verify(exchange.body, exchange.headers())
    except svix.WebhookVerificationError:
        return False
    return True


VERIFIERS = (recipe, by_standard_webhooks, by_svix)


async def make_policy(account: Account, url: str, **more: str) -> tuple[str, str]:
    """The id and the secret of a new policy for this recipient."""
    body = {"name": "Warehouse", "channel": "WEBHOOK", "recipients": [url], **more}
    made = success(await account.client.post("/notifications/policies", json=body), 201)
    return made["id"], made["webhookSecret"]


@pytest.mark.parametrize("verify", VERIFIERS)
async def test_a_delivery_is_verified(account: Account, database: Database, verify: Verifier) -> None:
    """With its secret, and with no other one, nor with another body."""
    async with receiving() as receiver:
        _, secret = await make_policy(account, receiver.url())
        await account.client.create(newest(legalName="Université 東京 🏫"))
        await work_off(database)
        (exchange,) = receiver.exchanges
    assert verify(secret, exchange)
    assert not verify("whsec_" + "A" * 43 + "=", exchange)
    exchange.body = exchange.body.replace(b"Universit", b"universit")
    assert not verify(secret, exchange)


async def test_a_secret_of_another_form_signs_by_the_recipe_alone(account: Account, database: Database) -> None:
    async with receiving() as receiver:
        _, secret = await make_policy(account, receiver.url(), webhookSecret="correct horse battery")
        await account.client.create(newest())
        await work_off(database)
        (exchange,) = receiver.exchanges
    assert recipe(secret, exchange)
    assert not [name for name in exchange.headers() if name.startswith("webhook-")]


async def test_a_hundred_rotations_under_load_reject_nothing(account: Account, database: Database) -> None:
    """A receiver learns of each new secret some rotations later, and lets go of the old one after that: none is lost.

    It holds the secret that it learnt last and the one before, because what was signed before a rotation may arrive
    after it.
    """
    chance = random.Random(20240730)  # noqa: S311 - what is random here is when a receiver learns of a secret
    held: list[str] = []
    refused: list[tuple[str, str]] = []

    async def behave(exchange: Exchange) -> None:
        names = [v.__name__ for v in VERIFIERS if not any(v(secret, exchange) for secret in held[-2:])]
        refused.extend((exchange.headers()["webhook-id"], name) for name in names)
        await exchange.send(answer(401 if names else 200))

    async def load(ending: asyncio.Event) -> int:
        made = 0
        while not ending.is_set():
            await account.client.create(newest(legalName=f"customer {made}"))
            made += 1
        return made

    async with receiving(behave) as receiver, working(database.service_url):
        policy_id, first = await make_policy(account, receiver.url())
        held.append(first)
        ending = asyncio.Event()
        loads = [asyncio.create_task(load(ending)) for _ in range(2)]
        unlearnt: list[str] = []
        for _ in range(ROTATIONS):
            path = f"/notifications/policies/{policy_id}/rotate-secret"
            unlearnt.append(success(await account.client.post(path, json={}))["webhookSecret"])
            while unlearnt and (len(unlearnt) > MOST_BEHIND or chance.random() < 0.5):
                held.append(unlearnt.pop(0))
        ending.set()
        made = sum(await asyncio.gather(*loads))
        await settled(database)
    assert refused == []
    assert len({exchange.headers()["webhook-id"] for exchange in receiver.exchanges}) == made
    assert len(receiver.exchanges) == made, "without a fault nothing arrives twice"
    assert made >= ROTATIONS, "there was hardly any load"
