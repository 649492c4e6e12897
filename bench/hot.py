"""The ten works of the service that are done most, by its own functions, and with why each is among them.

What they send goes over a connection that looks at the plans, so the texts are the product's whatever becomes of them.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from bench import dataset
from bench.dataset import DataSet
from customary.domain.contacts import ContactWrite
from customary.domain.customer import Customer, CustomerWrite, LinkWrite
from customary.domain.page import CustomerFilter, CustomerOrder, CustomerPart, Position, Window
from customary.domain.values import sort_form
from customary.operations import customers as customer_operations
from customary.operations import work as engine
from customary.storage import (
    activity_logs,
    api_keys,
    customer_pages,
    customers,
    event_feed,
    idempotency,
    jobs,
    organizations,
)
from customary.storage.database import BEGIN_WORK, Connection, Tx
from customary.storage.statements import Additions

MOST_READ = 3.0
# An index of trigrams finds the rows that have all groups of three letters of a word somewhere, and each of them has to
# be looked at. The names of the data set are made of few syllables, so that many have by chance what is looked for.
MOST_READ_BY_TRIGRAMS = 15.0
# A claim takes some steps in each lane before it takes what waits there: they grow with the lanes and nothing else.
MOST_READ_OF_QUEUE = 6.0
_LISTED = (CustomerPart.LINKS, CustomerPart.ORGANIZATIONS)
_NEWEST = CustomerOrder.CREATED_AT
_PAGE = 100
_LONG = len("abcdef")  # letters that few names begin with
_SEARCHES = 20
_WAITING = 200
_MOST_FOR_ACCOUNT = engine.CAPACITY // 4
_FINGERPRINT, _ANSWER = bytes(idempotency.FINGERPRINT_BYTES), idempotency.Kept(201, (), b"{}")
_LANE = """
INSERT INTO lanes (account_id, id, opens_at, claimed_at) VALUES ($1, $2, now(), now())
"""
_WAITS = """
INSERT INTO jobs (account_id, kind, lane_id, sequence_id, number, event_type, due_at, created_at, queued_at)
SELECT $1, 'DELIVERY', $2, $2, n, 'CUSTOMER_UPDATED', now() - n * interval '1 ms', now(), now()
  FROM generate_series(1, $3) n
"""


class Place(Struct, frozen=True):
    """Whose rows are read: an account of the data set, and a key of it."""

    account: DataSet
    client_id: UUID

    def customer(self, share: float) -> Customer:
        """The customer that so much of the account was made before."""
        return dataset.customer_of(self.account.size, int((self.account.size - 1) * share))


class Work(Struct, frozen=True):
    """Something that the service does: what it is called, why it is hot, and how it is done in a transaction.

    `before` makes what there has to be for that, over the same connection. `most_read` is how many rows may be read for
    each that is returned. What is wrong with one that is `is_known` is told and not held against it.
    """

    name: str
    why: str
    run: Callable[[Tx, Place], Awaitable[object]]
    before: Callable[[Connection, Place], Awaitable[object]] | None = None
    most_read: float = MOST_READ
    is_known: bool = False


async def _find_key(tx: Tx, place: Place) -> None:
    await api_keys.find(tx.connection, place.client_id)


async def _read(tx: Tx, place: Place) -> None:
    await customers.get(tx, place.customer(0.5).id)


async def _read_by_alias(tx: Tx, place: Place) -> None:
    await customers.get_by_alias(tx, place.customer(0.5).aliases[0].value)


async def _first_page(tx: Tx, _: Place) -> None:
    await customer_pages.fetch(tx, CustomerFilter(), _NEWEST, Window(_PAGE), _LISTED)


async def _deepest_page(tx: Tx, place: Place) -> None:
    last = dataset.customer_of(place.account.size, _PAGE)
    window = Window(_PAGE, after=Position(last.created_at, last.id))
    await customer_pages.fetch(tx, CustomerFilter(), _NEWEST, window, _LISTED)


async def _page_by_name(tx: Tx, place: Place) -> None:
    middle = place.customer(0.5)
    window = Window(_PAGE, is_descending=False, after=Position(sort_form(middle.legal_name), middle.id))
    await customer_pages.fetch(tx, CustomerFilter(), CustomerOrder.LEGAL_NAME, window, _LISTED)


async def _search(tx: Tx, place: Place) -> None:
    """For the first words of names, as far as they are long enough to be rare."""
    names = (place.customer(number / _SEARCHES).legal_name.split(" ")[0] for number in range(_SEARCHES))
    for name in names:
        if len(name) > _LONG:
            await customer_pages.fetch(tx, CustomerFilter(legal_name=name), _NEWEST, Window(20), _LISTED)


async def _create(tx: Tx, place: Place) -> None:
    """Under an idempotency key, by one statement; and the look-up by which a retry is answered, and what is purged."""
    additions, key = Additions(), "bench-new"
    for _ in ("the first time", "a retry"):
        first = await tx.connection.fetchrow(idempotency.LOOK, tx.account_id, [key, None])
        adding = replace(tx, connection=additions, first=first)
        if idempotency.found(adding, key, _FINGERPRINT) is None:
            await customer_operations.create_customer(adding, _write_of(dataset.customer_of(0, place.account.size)))
            idempotency.keep(adding, key, _FINGERPRINT, _ANSWER)
            await additions.send(tx.connection)
    tx.connection.later(idempotency.PURGE, tx.account_id, key)
    await tx.connection.flush()


async def _create_in_turn(tx: Tx, place: Place) -> None:
    """The same where it takes a transaction."""
    key = "bench-new"
    beginning = idempotency.beginning(tx.account_id, key)
    tx = replace(tx, first=await tx.connection.fetchrow(beginning.text, *beginning.parameters))
    await idempotency.claim(tx, key, _FINGERPRINT)
    await customer_operations.create_customer(tx, _write_of(dataset.customer_of(0, place.account.size)))
    idempotency.keep(tx, key, _FINGERPRINT, _ANSWER)
    await tx.connection.flush()


def _write_of(customer: Customer) -> CustomerWrite:
    return CustomerWrite(
        legal_name=customer.legal_name,
        address=customer.address,
        contacts=tuple(ContactWrite(each.name, each.email, each.billing_preference) for each in customer.contacts),
        aliases=tuple(each.value for each in customer.aliases),
        links=tuple(LinkWrite(each.service, each.external_id) for each in customer.links),
        custom_properties=customer.custom_properties,
    )


async def _update(tx: Tx, place: Place) -> None:
    customer = place.customer(0.75)
    write = replace(_write_of(customer), legal_name="Another Name Ltd")
    await customer_operations.update_customer(tx, customer.id, write)
    await tx.connection.flush()


async def _make_wait(connection: Connection, place: Place) -> None:
    await connection.execute(_LANE, place.account.account_id, place.client_id)
    await connection.execute(_WAITS, place.account.account_id, place.client_id, _WAITING)
    await connection.execute(BEGIN_WORK)


async def _claim(tx: Tx, _: Place) -> None:
    """Of two hundred that wait beside what is finished. The worker's transaction belongs to no account."""
    await tx.connection.fetch(jobs.CLAIM, [], [], _MOST_FOR_ACCOUNT, engine.CAPACITY, jobs.LEASE_SECONDS)


async def _feed(tx: Tx, _: Place) -> None:
    await event_feed.read(tx, event_feed.BEGINNING, event_feed.Wanted(), limit=_PAGE)


async def _activities(tx: Tx, place: Place) -> None:
    await activity_logs.fetch(tx, Window(20), object_reference=None, object_id=place.customer(0.001).id)


async def _all_activities(tx: Tx, _: Place) -> None:
    await activity_logs.fetch(tx, Window(20), object_reference=None, object_id=None)


async def _organizations(tx: Tx, _: Place) -> None:
    await organizations.fetch(tx, Window(20))


HOTTEST = (
    Work("key look-up", "before every request of a key that is not remembered", _find_key),
    Work("GET by id", "the most frequent request, and the answer of every write", _read),
    Work("GET by alias", "what systems ask that know customers by ids of their own", _read_by_alias),
    Work("first page", "how every list and every walk begins; with the total", _first_page),
    Work("deepest page", "the end of a walk through everything, which has ten thousand pages", _deepest_page),
    Work("page by legalName", "the order that people want, from the middle on", _page_by_name),
    Work("search of a name", "what people type, with each letter", _search, most_read=MOST_READ_BY_TRIGRAMS),
    Work("create under a key", "the write that comes most often, with everything that belongs to it", _create),
    Work("update", "the other write: lock, read, change, record", _update),
    Work(
        "claim of jobs",
        "every worker asks several times a second, whether there is work or not",
        _claim,
        before=_make_wait,
        most_read=MOST_READ_OF_QUEUE,
    ),
)
"""The ten that are asked most."""

ALSO = (
    Work("create in a transaction", "what a create comes to whose alias looks like an id", _create_in_turn),
    Work("change feed", "read all the time by whoever follows", _feed),
    Work("activities of a customer", "the log grows with every change", _activities),
    Work("all activities", "the same without a filter: their total is counted anew", _all_activities, is_known=True),
    Work("organisations", "the list of them: their total is counted anew", _organizations, is_known=True),
)
"""Another way to create, and lists of what grows with the customers or their changes, which are asked less often."""
