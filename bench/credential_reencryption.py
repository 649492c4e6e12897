"""How long do a hundred thousand secrets take to come under another key, while webhooks are signed with them?

A real PostgreSQL, a real worker process, the real command. Every signature that arrives meanwhile is checked, and
afterwards the whole database is searched for what was encrypted.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

import standardwebhooks
from tests.support.bodies import newest
from tests.support.clients import Account, new_account, owner_connection, started, success
from tests.support.cluster import Database
from tests.support.dump import everything
from tests.support.keys import BOTH_KEYS, KEYS, OTHER_TEXT, TEXT
from tests.support.receivers import Exchange, Receiver, receiving
from tests.support.workers import settled

from bench.findings import Finding
from customary.storage import policy_secrets

MOST_SECONDS = 60.0
_BOTH = f"{OTHER_TEXT},{TEXT}"
_MARK = "what nobody may find"
_CHANGES_PER_SECOND = 20


async def reencryption(database: Database, *, secrets: int, accounts: int = 50) -> list[Finding]:
    """Fill accounts with secrets under one key, then move all of them to another one."""
    signing: dict[str, str] = {}
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        app = await stack.enter_async_context(started(database.service_url))
        made = [
            await stack.enter_async_context(new_account(app, database.owner_url, f"account {number}"))
            for number in range(accounts)
        ]
        for number, account in enumerate(made):
            policy = {"name": "bench", "channel": "WEBHOOK", "recipients": [receiver.url(f"/{number}")]}
            answer = success(await account.client.post("/notifications/policies", json=policy), 201)
            signing[f"/{number}"] = answer["webhookSecret"]
            await fill(database, account, UUID(answer["id"]), secrets // accounts)
        stack.enter_context(_worker(database))
        writer = asyncio.create_task(_write_on(made))
        try:
            seconds, done = await asyncio.to_thread(_command, database)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        await settled(database)
        return [
            Finding("secrets encrypted anew", done["encrypted"], "", None, secrets),
            Finding("the command took", seconds, "s", MOST_SECONDS),
            *await _delivered(database, receiver, signing),
            await _found(database, list(signing.values())),
        ]


async def fill(database: Database, account: Account, policy_id: UUID, count: int) -> None:
    """Give a policy this many secrets that have ended: they are encrypted like all others, and sign nothing."""
    context = policy_secrets.context(account.id, policy_id)
    rows = [KEYS.encrypt(f"{_MARK} {policy_id} {number}".encode(), context)[1] for number in range(count)]
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(
            "INSERT INTO policy_secrets (account_id, policy_id, id, key_id, ciphertext, created_at, expires_at)"
            " SELECT $1, $2, gen_random_uuid(), 'k-test', each, now() - interval '1 day', now()"
            " FROM unnest($3::bytea[]) each",
            account.id,
            policy_id,
            rows,
        )


async def _write_on(accounts: list[Account]) -> None:
    """Change something of each account in turn, until cancelled."""
    number = 0
    while True:
        await accounts[number % len(accounts)].client.create(newest())
        number += 1
        await asyncio.sleep(1 / _CHANGES_PER_SECOND)


def _environment(url: str) -> dict[str, str]:
    return {
        **os.environ,
        "CUSTOMARY_DATABASE_URL": url,
        "CUSTOMARY_SECRET_KEYS": _BOTH,
        "CUSTOMARY_WEBHOOK_ALLOW": "127.0.0.0/8",
    }


@contextmanager
def _worker(database: Database) -> Generator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "customary.cli", "worker"],
        env=_environment(database.service_url),
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _command(database: Database) -> tuple[float, dict[str, int]]:
    """How long `customary secrets reencrypt` takes, its start included, and what it says."""
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "customary.cli", "secrets", "reencrypt", "--json"],
        env=_environment(database.owner_url),
        capture_output=True,
        text=True,
        check=True,
    )
    return time.monotonic() - began, json.loads(ran.stdout)


async def _delivered(database: Database, receiver: Receiver, signing: dict[str, str]) -> list[Finding]:
    async with owner_connection(database.owner_url) as owner:
        events = await owner.fetchval("SELECT count(*) FROM events")
        missing = await owner.fetchval("SELECT count(*) FROM jobs WHERE state <> 'DELIVERED' OR attempts <> 1")
    forged = sum(not _is_signed(signing[_path(exchange)], exchange) for exchange in receiver.exchanges)
    return [
        Finding("webhooks meanwhile", len(receiver.exchanges), "", None, max(events, 1)),
        Finding("deliveries that failed or were tried again", missing, "", 0),
        Finding("webhooks whose signature does not fit", forged, "", 0),
    ]


def _path(exchange: Exchange) -> str:
    return exchange.head.split(b" ")[1].decode()


def _is_signed(secret: str, exchange: Exchange) -> bool:
    try:
        standardwebhooks.Webhook(secret).verify(exchange.body, exchange.headers())
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


async def _found(database: Database, secrets: list[str]) -> Finding:
    """How many columns of the database show a secret, after making sure that the search finds what is there."""
    async with owner_connection(database.owner_url) as owner:
        columns = await everything(owner)
        left = await owner.fetchval("SELECT count(*) FROM policy_secrets WHERE key_id <> $1", BOTH_KEYS.first)
    if b"bench" not in columns["notification_policies.name"] or left:
        message = "The search does not find what is there, or rows are left under the old key."
        raise SystemExit(message)
    forms = [
        _MARK.encode(),
        _MARK.encode().hex().encode(),
        *(secret.removeprefix("whsec_").encode() for secret in secrets),
    ]
    shown = [column for column, content in columns.items() if any(form in content for form in forms)]
    return Finding("columns of the database in which a secret can be read", len(shown), "", 0)
