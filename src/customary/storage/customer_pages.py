"""Lists of customers: filters, sort orders and the exact number of matches.

Every filter is a condition of the list's own statement, which decides what matches. Under a row-level policy such a
condition can use no index (LIKE and @> are not leakproof), so the filter that promises most is first looked up by a
function that runs as the owner of the tables and sees the tenant of the connection alone. Where it finds few
customers, the list is read from these; where it finds many, reading in the order of the list meets enough of them.
"""

from collections.abc import Collection
from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from customary.domain.customer import Customer
from customary.domain.page import (
    CustomerFilter,
    CustomerOrder,
    CustomerPart,
    CustomProperty,
    Page,
    Relevance,
    Window,
)
from customary.domain.search import at_start, contains_pattern, exactly, index_pattern, is_indexed, word_pattern, words
from customary.domain.values import parse_id
from customary.storage import customers, keyset
from customary.storage.database import Reading

Order: TypeAlias = CustomerOrder | CustomProperty | Relevance

# How many customers are few. Their ids are sent back and forth, and more would cost more than they save.
FEW = 3_000

WITH_TEXT = "SELECT customers_with_text($1, $2)"
WITH_PROPERTIES = "SELECT customers_with_properties($1, $2)"
COUNT_UNARCHIVED = "SELECT coalesce(sum(unarchived), 0)::bigint FROM customer_counts WHERE account_id = $1"
COUNT_ALL = "SELECT coalesce(sum(unarchived + archived), 0)::bigint FROM customer_counts WHERE account_id = $1"
UPDATED_SINCE = """
SELECT c.id FROM customers c WHERE c.account_id = $1 AND c.updated_at >= $2 ORDER BY c.updated_at DESC LIMIT $3
"""

# Under a policy the planner has no statistics of such a condition and thinks that hardly any row fulfils it. Of this
# form it thinks that every second one does, which is right wherever few customers have not been found beforehand: it
# then reads in the order of the list until a page is full, instead of reading and sorting everything.
_HAS = "coalesce({}, false)"
# Compared with a subquery as a whole, because under a policy an expression could not use the key.
_BY_ALIAS = (
    "c.id = (SELECT coalesce("
    "(SELECT a.customer_id FROM customer_aliases a WHERE a.account_id = $1 AND a.value = ${}), ${}))"
)
# One text, so that a cursor can hold it: the rank's digit, then the name. The first parameter is null for most.
_RELEVANCE = (
    "(CASE WHEN c.id = ${} OR strpos(c.search_document, ${}) > 0 THEN '0'"
    " WHEN strpos(c.search_document, ${}) > 0 THEN '1' ELSE '2' END || c.legal_name_sort)"
)

_encode = msgspec.json.Encoder().encode


async def fetch(
    reading: Reading,
    wanted: CustomerFilter,
    order: Order,
    window: Window,
    parts: Collection[CustomerPart] = tuple(CustomerPart),
) -> Page[Customer]:
    """One page of the customers that match, each with these parts."""
    conditions = _Conditions([], [reading.account_id])
    conditions.add("c.account_id = $1")
    _add_filters(conditions, wanted)
    few = await _few(reading, wanted, order)
    if few is not None:
        conditions.add("c.id = ANY (${}::uuid[])", few)
    listing = keyset.Listing(
        columns=customers.columns(parts),
        source=f"FROM customers c WHERE {' AND '.join(conditions.texts)}",
        parameters=tuple(conditions.parameters),
        sort=_sort(order, wanted, first_parameter=len(conditions.parameters) + 1),
        id="c.id",
        from_row=customers.from_row,
        count=_count(wanted, conditions),
    )
    return await keyset.fetch(reading, listing, window)


def _count(wanted: CustomerFilter, conditions: "_Conditions") -> str | None:
    """How many there are of all or of the unarchived ones is kept; None where something else is wanted."""
    if len(conditions.parameters) > 1 or wanted.has_current_billing:
        return None
    return COUNT_ALL if wanted.include_archived else COUNT_UNARCHIVED


class _Conditions(msgspec.Struct):
    """A WHERE clause as it grows, with its parameters."""

    texts: list[str]
    parameters: list[object]

    def add(self, text: str, *values: object) -> None:
        """One more condition; each `${}` in it becomes the number of one of these parameters."""
        first = len(self.parameters) + 1
        self.texts.append(text.format(*range(first, first + len(values))))
        self.parameters.extend(values)


def _add_filters(conditions: _Conditions, wanted: CustomerFilter) -> None:
    if not wanted.include_archived:
        conditions.add("c.archived_at IS NULL")
    if wanted.has_current_billing:
        conditions.add("false")  # there are no billing schedules yet, so no customer has a current one
    if wanted.q is not None:
        patterns = [word_pattern(word) for word in words(wanted.q)]
        every = " AND ".join(_HAS.format("c.search_document LIKE ${}") for _ in patterns) or "true"
        conditions.add(f"({every} OR c.id = ${{}})", *patterns, parse_id(wanted.q.strip()))
    if wanted.legal_name is not None:
        conditions.add(_HAS.format("c.legal_name_search LIKE ${}"), contains_pattern(wanted.legal_name))
    if wanted.label is not None:
        conditions.add(_HAS.format("c.label_search LIKE ${}"), contains_pattern(wanted.label))
    if wanted.email is not None:
        # They stand on lines of their own, so what is typed must not reach from one to the next.
        conditions.add(_HAS.format("c.search_emails LIKE ${}"), contains_pattern(wanted.email.replace("\n", " ")))
    if wanted.alias is not None:
        conditions.add(_BY_ALIAS, wanted.alias, parse_id(wanted.alias))
    if wanted.updated_since is not None:
        conditions.add("c.updated_at >= ${}", wanted.updated_since)
    if wanted.custom_properties:
        conditions.add(_HAS.format("c.custom_properties @> ${}::jsonb"), _encode(wanted.custom_properties).decode())


async def _few(reading: Reading, wanted: CustomerFilter, order: Order) -> list[UUID] | None:
    """The ids of few customers with all that match among them; None where there is no such filter."""
    if wanted.alias is not None:
        return None  # this is one customer at most, and found by a key
    texts = (wanted.q, wanted.legal_name, wanted.label, wanted.email)
    looked_for = words(" ".join(text for text in texts if text is not None))
    named = None if wanted.q is None else parse_id(wanted.q.strip())
    attempts: list[tuple[str, tuple[object, ...]]] = []
    if any(map(is_indexed, looked_for)):
        attempts.append((WITH_TEXT, (list(map(index_pattern, looked_for)), FEW + 1)))
    if wanted.custom_properties:
        attempts.append((WITH_PROPERTIES, (_encode(wanted.custom_properties).decode(), FEW + 1)))
    if wanted.updated_since is not None and order is not CustomerOrder.UPDATED_AT:
        attempts.append((UPDATED_SINCE, (reading.account_id, wanted.updated_since, FEW + 1)))
    for statement, parameters in attempts:
        found = [row[0] for row in await reading.connection.fetch(statement, *parameters)]
        if len(found) <= FEW:
            return found if named is None else [*found, named]
    return None


def _sort(order: Order, wanted: CustomerFilter, *, first_parameter: int) -> keyset.Sort:
    match order:
        case CustomProperty():
            expression = f'(c.custom_properties ->> ${first_parameter}) COLLATE "C"'
            return keyset.Sort(expression, "text", is_nullable=True, parameters=(order.key,))
        case Relevance():
            q = wanted.q or ""
            expression = _RELEVANCE.format(first_parameter, first_parameter + 1, first_parameter + 2)
            parameters = (parse_id(q.strip()), exactly(q), at_start(q))
            return keyset.Sort(expression, "text", is_nullable=False, parameters=parameters)
        case CustomerOrder.CREATED_AT:
            return keyset.Sort("c.created_at", "timestamptz", is_nullable=False)
        case CustomerOrder.UPDATED_AT:
            return keyset.Sort("c.updated_at", "timestamptz", is_nullable=False)
        case CustomerOrder.LEGAL_NAME:
            return keyset.Sort("c.legal_name_sort", "text", is_nullable=False)
        case CustomerOrder.LABEL:
            return keyset.Sort("c.label_sort", "text", is_nullable=True)
        case _:
            assert_never(order)
