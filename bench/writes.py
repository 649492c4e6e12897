"""The bar of writing: a customer with a contact, an alias and two links, under an idempotency key of its own."""

from collections.abc import Iterator

from bench.bars import Bar
from bench.reads import Effort
from bench.rounds import compare
from bench.site import Site, floor
from bench.wrk import Generator

BODY = (
    '{"legalName":"Doboso Pervefaner BV","address":{"line1":"Permustraße 0","town":"Zürich","postcode":"14515",'
    '"country":"CH"},"taxStatus":"TAXED","url":"https://www.{}.com/","label":"nova {}",'
    '"customProperties":{"region":"CH","segment":"0"},"customerAliases":["bench-{}"],'
    '"integrationIds":[{"service":"Stripe","id":"s{}"},{"service":"Xero","id":"x{}"}],'
    '"contacts":[{"name":"Ada Lovelace","email":"ada@{}.com","billingPreference":"PRIMARY"}]}'
)


def bars(site: Site, effort: Effort) -> Iterator[Bar]:
    """The only one."""
    headers = [
        *site.headers(effort.small),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "bench-{}"),
    ]
    product = Generator(site.service.url, ["/api/customers"], headers, BODY)
    with floor(site, "create", effort.small) as url:
        base = Generator(url, ["/api/customers"], (), BODY)
        found = compare(base.run, product.run, rounds=effort.rounds, seconds=effort.seconds)
    sides = f"{found.base_rate:,.0f}/s", f"{found.other_rate:,.0f}/s"
    yield Bar(4, "POST of a customer, to the floor", found.rates(), least=0.50, base=sides[0], other=sides[1])
