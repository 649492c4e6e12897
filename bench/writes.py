"""The bar of writing: a customer with a contact, an alias and two links, under an idempotency key of its own."""

import asyncio
import re
import time
from collections.abc import Iterator
from uuid import UUID

import httpx

from bench.bars import Bar
from bench.reads import Effort
from bench.rounds import Compared, compare
from bench.site import Site, floor
from bench.wrk import Generator
from customary.storage import schema

BODY = (
    '{"legalName":"Doboso Pervefaner BV","address":{"line1":"Permustraße 0","town":"Zürich","postcode":"14515",'
    '"country":"CH"},"taxStatus":"TAXED","url":"https://www.{}.com/","label":"nova {}",'
    '"customProperties":{"region":"CH","segment":"0"},"customerAliases":["bench-{}"],'
    '"integrationIds":[{"service":"Stripe","id":"s{}"},{"service":"Xero","id":"x{}"}],'
    '"contacts":[{"name":"Ada Lovelace","email":"ada@{}.com","billingPreference":"PRIMARY"}]}'
)
# The tables that a create adds rows to, and how many each time.
_ADDED = {
    "customers": 1,
    "contacts": 1,
    "customer_aliases": 1,
    "integration_links": 2,
    "events": 1,
    "activity_logs": 1,
    "idempotency_keys": 1,
}
_EVENT = "SELECT customer::text FROM events WHERE account_id = $1 AND customer_id = $2"
_ACTIVITY = "SELECT changes::text FROM activity_logs WHERE account_id = $1 AND object_id = $2"
_OWN = re.compile(rb"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")


def bars(site: Site, effort: Effort) -> Iterator[Bar]:
    """The only one."""
    common = [("Content-Type", "application/json"), ("Idempotency-Key", "bench-{}")]
    product = Generator(site.service.url, ["/api/customers"], [*site.headers(effort.written), *common], BODY)
    with floor(site, "create", effort.written) as url:
        base = Generator(url, ["/api/customers"], common, BODY)
        _require_same(site, effort.written, base, product)
        before = asyncio.run(_rows(site, effort.written))
        found = compare(base.run, product.run, rounds=effort.rounds, seconds=effort.seconds)
        _require_rows(found, before, asyncio.run(_rows(site, effort.written)))
    sides = f"{found.base_rate:,.0f}/s", f"{found.other_rate:,.0f}/s"
    yield Bar(4, "POST of a customer, to the floor", found.rates(), least=0.50, base=sides[0], other=sides[1])
    p99s = [f"{max(each.p99_milliseconds for each in side):.1f} ms" for side in (found.base, found.other)]
    yield Bar(4, "its p99", found.p99s(), base=p99s[0], other=p99s[1])


def _require_same(site: Site, size: int, base: Generator, product: Generator) -> None:
    """Raise `SystemExit` unless both answer one body with the same bytes and store the same of it, but for own ids."""
    seen: list[list[bytes]] = []
    for name, side in (("floor", base), ("product", product)):
        mark = f"same-{name}-{time.time_ns()}"
        headers = {key: value.replace("{}", mark) for key, value in side.headers}
        content = BODY.replace("{}", mark).encode()
        answer = httpx.post(f"{side.url}/api/customers", content=content, headers=headers, trust_env=False, timeout=30)
        stored = asyncio.run(_stored(site, size, UUID(answer.json()["id"])))
        texts = (answer.content, *(text.encode() for text in stored))
        seen.append([_OWN.sub(b"own", text).replace(mark.encode(), b"mark") for text in texts])
    for ours, theirs in zip(*seen, strict=True):
        if ours != theirs:
            message = f"The floor answers or stores something else than the product.\n{ours!r}\n{theirs!r}"
            raise SystemExit(message)


async def _stored(site: Site, size: int, customer_id: UUID) -> list[str]:
    """The event and the activity of a new customer."""
    async with schema.connection(site.owner_url) as owner:
        account_id = site.sets[size].account_id
        return [await owner.fetchval(text, account_id, customer_id) for text in (_EVENT, _ACTIVITY)]


async def _rows(site: Site, size: int) -> dict[str, int]:
    async with schema.connection(site.owner_url) as owner:
        count = "SELECT count(*) FROM {} WHERE account_id = $1"
        return {table: await owner.fetchval(count.format(table), site.sets[size].account_id) for table in _ADDED}


def _require_rows(found: Compared, before: dict[str, int], after: dict[str, int]) -> None:
    """Raise `SystemExit` unless every answer of both sides has left all of its rows.

    What was under way when a round ended can have left rows without an answer.
    """
    loads = (*found.base, *found.other, *found.warm_ups)
    answered, most_unanswered = sum(load.requests for load in loads), sum(load.connections for load in loads)
    for table, rows in _ADDED.items():
        added = (after[table] - before[table]) / rows
        if not answered <= added <= answered + most_unanswered:
            message = f"{answered} requests were answered, and {table} has rows of {added:.0f}."
            raise SystemExit(message)
