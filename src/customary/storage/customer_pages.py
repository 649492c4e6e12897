"""Lists of customers: filters, sort orders and the exact number of matches."""

from typing import assert_never

from customary.domain.customer import Customer
from customary.domain.page import CustomerFilter, CustomerOrder, CustomProperty, Page, Window
from customary.domain.search import contains_pattern
from customary.domain.values import parse_id
from customary.storage import customers, keyset
from customary.storage.database import Reading

# The functions run as the owner of the tables and see the tenant of the connection alone: under a row-level policy
# LIKE could not use the trigram index.
_BY_LEGAL_NAME = "c.id IN (SELECT customers_with_legal_name(${}))"
_BY_LABEL = "c.id IN (SELECT customers_with_label(${}))"
_BY_EMAIL = "c.id IN (SELECT customers_with_email(${}))"
_BY_ALIAS = (
    "c.id = coalesce((SELECT a.customer_id FROM customer_aliases a WHERE a.account_id = $1 AND a.value = ${}), ${})"
)


async def fetch(
    reading: Reading, wanted: CustomerFilter, order: CustomerOrder | CustomProperty, window: Window
) -> Page[Customer]:
    """One page of the customers that match."""
    conditions = ["c.account_id = $1"]
    parameters: list[object] = [reading.account_id]

    def add(condition: str, *values: object) -> None:
        numbers = range(len(parameters) + 1, len(parameters) + 1 + len(values))
        conditions.append(condition.format(*numbers))
        parameters.extend(values)

    if not wanted.include_archived:
        add("c.archived_at IS NULL")
    if wanted.has_current_billing:
        add("false")  # there are no billing schedules yet, so no customer has a current one
    if wanted.legal_name is not None:
        add(_BY_LEGAL_NAME, contains_pattern(wanted.legal_name))
    if wanted.label is not None:
        add(_BY_LABEL, contains_pattern(wanted.label))
    if wanted.email is not None:
        add(_BY_EMAIL, contains_pattern(wanted.email))
    if wanted.alias is not None:
        add(_BY_ALIAS, wanted.alias, parse_id(wanted.alias))
    sort = _sort(order, first_parameter=len(parameters) + 1)
    listing = keyset.Listing(
        columns=customers.COLUMNS,
        source=f"FROM customers c WHERE {' AND '.join(conditions)}",
        parameters=tuple(parameters),
        sort=sort,
        id="c.id",
        from_row=customers.from_row,
    )
    return await keyset.fetch(reading, listing, window)


def _sort(order: CustomerOrder | CustomProperty, *, first_parameter: int) -> keyset.Sort:
    if isinstance(order, CustomProperty):
        expression = f'(c.custom_properties ->> ${first_parameter}) COLLATE "C"'
        return keyset.Sort(expression, "text", is_nullable=True, parameters=(order.key,))
    match order:
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
