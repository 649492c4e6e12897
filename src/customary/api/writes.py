"""Runs one write in one transaction: the claim of its idempotency key, its precondition, the change and the answer.

They are committed together before a byte of the answer is sent, so no crash can come between them.
"""

import asyncio
import hashlib
import random
import re
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import msgspec

from customary import errors
from customary.api import conditions, failures
from customary.api.endpoint import Call, Endpoint, Outcome
from customary.api.http import Response
from customary.crashpoint import crashpoint
from customary.domain.activity import Caller
from customary.storage import idempotency
from customary.storage.database import Database, Tx
from customary.storage.statements import NotAdded

_ATTEMPTS = 4
_LONGEST_PAUSE_SECONDS = 0.05
MOST_KEY_CHARACTERS = 255
_is_visible = re.compile("[!-~]+").fullmatch
# The answers under an idempotency key that a retry must not get again: they say nothing of what was asked for.
_NOT_KEPT = (errors.Unauthorized, errors.Forbidden, errors.RateLimited, errors.Unavailable, errors.Internal)
REPLAYED = (b"idempotent-replayed", b"true")

_encode = msgspec.json.Encoder().encode


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write as it was asked for. `idempotency_key` and `if_match` are None where the request has none."""

    account_id: UUID
    caller: Caller
    endpoint: Endpoint
    call: Call
    arguments: tuple[object, ...]
    idempotency_key: str | None
    fingerprint: bytes
    if_match: list[bytes] | None
    is_dry_run: bool


class _Undone(Exception):
    """Carries the answer of a dry run, or a refusal, out of the transaction that it undoes."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


async def run(database: Database, write: Write) -> Response:
    """The answer to this write, which is committed by then. One that was in another's way is tried again."""
    crashpoint("write.before_begin")
    attempts = _ATTEMPTS
    if write.endpoint.only_adds and not write.is_dry_run:
        try:
            return await _at_once(database, write)
        except NotAdded as refusal:
            attempts -= refusal.is_of_database
    for attempt in range(1, attempts + 1):
        try:
            return await _once(database, write)
        except errors.Contended:
            if attempt == attempts:
                raise
            # Jitter, so that two that met once do not meet again; nothing depends on its being unpredictable.
            await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # noqa: S311
    raise AssertionError  # the last attempt either answers or raises


async def _at_once(database: Database, write: Write) -> Response:
    """The answer to a write that is one statement. Raises `NotAdded` where it is not, or has to be refused."""
    key = write.idempotency_key
    first = await idempotency.look(database, write.account_id, key)
    async with database.adding(write.account_id, write.caller, first) as tx:
        try:
            kept = None if key is None else idempotency.found(tx, key, write.fingerprint)
            if kept is not None:
                return _replayed(kept)
            crashpoint("write.after_claim")
            response = await _handle(tx, write)
        except errors.Failure:
            raise NotAdded from None  # a refusal is kept under its key, which takes a transaction
        if key is not None:
            _keep(tx, write, key, response)
        crashpoint("write.before_commit")
    crashpoint("write.after_commit")
    return response


async def _once(database: Database, write: Write) -> Response:
    key = None if write.is_dry_run else write.idempotency_key
    try:
        async with _begun(database, write, key) as tx:
            response = await (_handle(tx, write) if key is None else _under_key(tx, write, key))
            await _undo_dry_run(tx, write, response)
            crashpoint("write.before_commit")
    except _Undone as undone:
        response = undone.response
        if key is not None:
            response = await _keep_refusal(database, write, key, response)
    crashpoint("write.after_commit")
    return response


def _begun(database: Database, write: Write, key: str | None) -> AbstractAsyncContextManager[Tx]:
    if key is None:
        return database.transaction(write.account_id, write.caller)
    return database.transaction(write.account_id, write.caller, beginning=idempotency.beginning(write.account_id, key))


async def _under_key(tx: Tx, write: Write, key: str) -> Response:
    kept = await idempotency.claim(tx, key, write.fingerprint)
    if kept is not None:
        return _replayed(kept)
    crashpoint("write.after_claim")
    try:
        response = await _handle(tx, write)
        _keep(tx, write, key, response)
        await tx.connection.flush()  # what is refused about what was added is a refusal as well
    except errors.Failure as failure:
        if isinstance(failure, _NOT_KEPT):
            raise
        raise _Undone(failures.response(failure)) from None
    return response


async def _keep_refusal(database: Database, write: Write, key: str, refusal: Response) -> Response:
    """Keep a refusal under its key once what it refused is undone.

    In between an equal request may have been answered: then that answer is this one's as well.
    """
    async with _begun(database, write, key) as tx:
        kept = await idempotency.claim(tx, key, write.fingerprint)
        if kept is not None:
            return _replayed(kept)
        _keep(tx, write, key, refusal)
    return refusal


def _keep(tx: Tx, write: Write, key: str, response: Response) -> None:
    headers = tuple((name.decode(), value.decode()) for name, value in response.headers)
    idempotency.keep(tx, key, write.fingerprint, idempotency.Kept(response.status, headers, response.body))


def _replayed(kept: idempotency.Kept) -> Response:
    headers = tuple((name.encode(), value.encode()) for name, value in kept.headers)
    return Response(kept.status, kept.body, (*headers, REPLAYED))


async def _handle(tx: Tx, write: Write) -> Response:
    endpoint = write.endpoint
    if write.if_match is not None and endpoint.current is not None:
        # `current` locks what it reads, so nobody changes it between this comparison and the write.
        conditions.require_match(write.if_match, _encode(await endpoint.current(tx, write.call)))
    answer = await endpoint.handler(tx, write.call, *write.arguments)
    outcome = answer if isinstance(answer, Outcome) else Outcome(answer)
    body = _encode(outcome.body)
    seen = body if outcome.seen_as is None else _encode(outcome.seen_as)
    headers = (conditions.etag_header(seen),) if endpoint.is_single else ()
    return Response(outcome.status or endpoint.status, body, headers)


async def _undo_dry_run(tx: Tx, write: Write, response: Response) -> None:
    """Leave the transaction of a dry run with what would be stored and which events would follow."""
    if not write.is_dry_run:
        return
    await tx.connection.flush()  # what the database would refuse is refused here as well
    events: list[dict[str, Any]] = [
        {"notificationType": event.type, "resourceType": "CUSTOMER", "resourceId": event.customer.id}
        for event in tx.events
    ]
    raise _Undone(Response(200, _encode({"dryRun": True, "result": msgspec.Raw(response.body), "events": events})))


def fingerprint(method: str, segments: tuple[str, ...], query_string: bytes, version: str, body: bytes) -> bytes:
    """What makes two requests the same one: verb, path, query, version and body."""
    head = _encode((method, segments, query_string.decode("latin-1"), version))
    return hashlib.sha256(head + b"\0" + body).digest()


def idempotency_key(values: list[bytes] | None) -> str | None:
    """The key of a request. Raises `Invalid` for one that is not 1 to 255 visible ASCII characters, or for several."""
    if values is None:
        return None
    text = values[0].strip(b" \t").decode("latin-1")
    if len(text) > 1 and text[0] == text[-1] == '"':  # the two quotes that the IETF's draft allows
        text = text[1:-1]
    if len(values) > 1 or len(text) > MOST_KEY_CHARACTERS or not _is_visible(text):
        message = f"An Idempotency-Key is 1 to {MOST_KEY_CHARACTERS} visible ASCII characters, given once."
        raise errors.Invalid(message, (errors.Problem("Idempotency-Key", "header", message),))
    return text
