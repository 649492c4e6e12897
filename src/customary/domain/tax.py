"""Tax registrations: under which number a customer, or the account's own business, is registered for tax, and where.

A number is stored as it comes. Whether it is well formed is a verdict beside it and never a reason to refuse it.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import stdnum
from msgspec import Struct
from msgspec.structs import replace

from customary.domain.customer import state_problem
from customary.domain.values import parse_id
from customary.errors import Problem

# Where a business is registered under numbers besides the one that the library calls the country's VAT number, or
# under another one instead.
_NUMBERS = {
    "CH": ("vat", "uid"),
    "DE": ("vat", "stnr"),
    "NO": ("vat", "orgnr"),
    "SE": ("vat", "orgnr"),
    "US": ("ein",),
}
# What is written before the number on invoices of a country and the library does not take for a part of it.
_PREFIXES = {"JP": "T"}
# Besides the number that the library checks, these have registration numbers of other forms, which it does not know:
# Singapore those from before the common entity number, the others those of their states and provinces.
_WITH_OTHER_FORMS = frozenset({"SG"})
_WITH_OTHER_FORMS_IN_STATES = frozenset({"CA", "US"})


class Verdict(StrEnum):
    """Whether a tax number is well formed; UNKNOWN where no rule for such numbers is known."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"


class TaxRegistration(Struct, frozen=True, kw_only=True):
    """A registration for tax, of a customer, of the account as a merchant, or of both to each other."""

    id: UUID
    tax_identifier: str
    country: str
    state: str | None = None
    customer_id: UUID | None = None
    merchant_id: UUID | None = None
    created_at: datetime


class TaxRegistrationWrite(Struct, frozen=True, kw_only=True):
    """What a create or a full update asks for. The ids are as they were sent: a malformed one is nobody's.

    `hidden_states` are those that the version of the write cannot show; leaving the state out there keeps such a one.
    """

    tax_identifier: str
    country: str
    state: str | None = None
    customer_id: str | None = None
    merchant_id: str | None = None
    hidden_states: frozenset[str] = frozenset()

    @property
    def names_nobody(self) -> bool:
        """Whether it leaves open whose registration this is."""
        return self.customer_id is None and self.merchant_id is None


def problems(write: TaxRegistrationWrite, *, account_id: UUID) -> Iterable[Problem]:
    """What is wrong with a write, as far as it can be seen without the customers."""
    if write.state is not None:
        found = state_problem(write.country, write.state)
        if found is not None:
            yield Problem("state", found.code, found.message)
    if write.merchant_id is not None and parse_id(write.merchant_id) != account_id:
        message = f"There is no merchant '{write.merchant_id}' here. The merchant of this account is {account_id}."
        yield Problem("merchantId", "merchant", message)


def ownerless() -> Iterable[Problem]:
    """What is wrong with a new registration that is nobody's."""
    message = "A tax registration belongs to a customer or to the merchant: give customerId or merchantId."
    return Problem("customerId", "required", message), Problem("merchantId", "required", message)


def update(
    registration: TaxRegistration, write: TaxRegistrationWrite, *, customer_id: UUID | None, merchant_id: UUID | None
) -> TaxRegistration:
    """This registration after a full update; equal to what it was when nothing changes.

    A write that names nobody leaves it with whom it was: there is no registration of nobody to replace it with.
    """
    state = write.state
    if state is None and registration.state in write.hidden_states and registration.country == write.country:
        state = registration.state
    changed = replace(registration, tax_identifier=write.tax_identifier, country=write.country, state=state)
    return changed if write.names_nobody else replace(changed, customer_id=customer_id, merchant_id=merchant_id)


def verdict(registration: TaxRegistration) -> Verdict:
    """Whether the number is one that its country could have given out, by form and check digits; asks nobody."""
    country, number = registration.country, registration.tax_identifier.strip()
    number = number.upper().removeprefix(_PREFIXES.get(country, ""))
    modules = [stdnum.get_cc_module(country, name) for name in _NUMBERS.get(country, ("vat",))]
    known = [module for module in modules if module is not None]
    try:
        if any(module.is_valid(number) for module in known):
            return Verdict.VALID
    except Exception:  # noqa: BLE001 - what a library makes of a strange number must not cost the caller the answer
        return Verdict.UNKNOWN
    is_federal = registration.state is None or country not in _WITH_OTHER_FORMS_IN_STATES
    return Verdict.INVALID if known and is_federal and country not in _WITH_OTHER_FORMS else Verdict.UNKNOWN
