"""Verdicts on tax numbers, what is wrong with a registration, and what a write makes of one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
import stdnum
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import filled_texts

from customary.domain import payment, tax
from customary.domain.payment import PaymentProvider, PaymentSettings
from customary.domain.tax import TaxRegistration, TaxRegistrationWrite, Verdict
from customary.domain.values import COUNTRIES, STATES, STATES_BY_COUNTRY

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ACCOUNT, CUSTOMER, OTHER = (UUID(int=number) for number in (1, 2, 3))
OLD_PROVIDERS = frozenset({PaymentProvider.STRIPE, PaymentProvider.NONE})


def registration(number: str = "GB980780684", country: str = "GB", state: str | None = None) -> TaxRegistration:
    return TaxRegistration(
        id=UUID(int=9), tax_identifier=number, country=country, state=state, customer_id=CUSTOMER, created_at=NOW
    )


@pytest.mark.parametrize(
    ("country", "state", "number", "expected"),
    [
        ("GB", None, "GB980780684", Verdict.VALID),
        ("GB", None, "gb 980 7806 84 ", Verdict.VALID),
        ("GB", None, "XI980780684", Verdict.VALID),
        ("GB", None, "GB123456789", Verdict.INVALID),
        ("GB", "CA", "GB980780684", Verdict.VALID),
        ("GB", "CA", "GB123456789", Verdict.INVALID),
        ("IE", None, "GB980780684", Verdict.INVALID),
        ("DE", None, "DE136695976", Verdict.VALID),
        ("DE", None, "DE136695978", Verdict.INVALID),
        ("DE", None, "181/815/08155", Verdict.VALID),
        ("GR", None, "EL094259216", Verdict.VALID),
        ("CH", None, "CHE-107.787.577", Verdict.VALID),
        ("CH", None, "CHE-107.787.577 MWST", Verdict.VALID),
        ("NO", None, "995525828", Verdict.VALID),
        ("NO", None, "NO 995 525 828 MVA", Verdict.VALID),
        ("SE", None, "556188-8404", Verdict.VALID),
        ("AU", None, "83 914 571 673", Verdict.VALID),
        ("IN", None, "27AAPFU0939F1ZV", Verdict.VALID),
        ("IN", None, "27AAPFU0939F1ZO", Verdict.INVALID),
        ("NZ", None, "49-091-850", Verdict.VALID),
        ("JP", None, "5835678256246", Verdict.VALID),
        ("JP", None, "T5835678256246", Verdict.VALID),
        ("JP", None, "T5835678256247", Verdict.INVALID),
        ("SG", None, "00192200M", Verdict.VALID),
        ("SG", None, "M90312345A", Verdict.UNKNOWN),
        ("US", None, "91-1144442", Verdict.VALID),
        ("US", None, "07-1144442", Verdict.INVALID),
        ("US", "NY", "91-1144442", Verdict.VALID),
        ("US", "NY", "a state's own", Verdict.UNKNOWN),
        ("CA", None, "123026635 RT 0001", Verdict.VALID),
        ("CA", None, "123026636 RT 0001", Verdict.INVALID),
        ("CA", "QC", "1234567890 TQ 0001", Verdict.UNKNOWN),
        ("ZA", None, "4123456789", Verdict.UNKNOWN),
        ("XK", None, "anything", Verdict.UNKNOWN),
    ],
)
def test_the_verdict_on_a_number(country: str, state: str | None, number: str, expected: Verdict) -> None:
    assert tax.verdict(registration(number, country, state)) is expected


def test_every_number_that_the_service_names_is_one_that_the_library_knows() -> None:
    """A misspelled name would be nobody's number, and every verdict on it UNKNOWN."""
    for country, names in tax._NUMBERS.items():
        for name in names:
            assert stdnum.get_cc_module(country, name) is not None, (country, name)


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_country_has_a_verdict_on_a_strange_number(country: str) -> None:
    """Whatever the library does with it, the caller gets one of the three words."""
    for number in ("x", "0", "0" * 255, "-" * 255, country + "1" * 9, "١٢٣٤٥٦٧٨٩", "\ud7ff", "²" * 9, "ß" * 255):
        assert tax.verdict(registration(number, country)) in (Verdict.INVALID, Verdict.UNKNOWN, Verdict.VALID)


@given(st.sampled_from(COUNTRIES), st.none() | st.sampled_from(STATES), filled_texts)
def test_a_verdict_never_fails(country: str, state: str | None, number: str) -> None:
    assert isinstance(tax.verdict(registration(number, country, state)), Verdict)


def test_a_fault_of_the_library_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def is_valid(self, number: str) -> bool:
            raise IndexError(number)

    monkeypatch.setattr(stdnum, "get_cc_module", lambda _country, _name: Broken())
    assert tax.verdict(registration()) is Verdict.UNKNOWN


@given(st.sampled_from(COUNTRIES), st.sampled_from(STATES))
def test_a_state_has_to_be_the_countrys_where_the_country_has_states(country: str, state: str) -> None:
    write = TaxRegistrationWrite(tax_identifier="1", country=country, state=state)
    expected = [] if state in STATES_BY_COUNTRY.get(country, {state}) else ["state"]
    assert [problem.key for problem in tax.problems(write, account_id=ACCOUNT)] == expected


@pytest.mark.parametrize("country", ["US", "CA", "GB"])
def test_no_country_needs_a_state(country: str) -> None:
    """Federal registrations exist in the United States and Canada too."""
    assert not list(tax.problems(TaxRegistrationWrite(tax_identifier="1", country=country), account_id=ACCOUNT))


@pytest.mark.parametrize(
    ("merchant_id", "is_right"),
    [(str(ACCOUNT), True), (str(ACCOUNT).upper(), True), (str(OTHER), False), ("", False), (ACCOUNT.hex, False)],
)
def test_the_only_merchant_is_the_account(merchant_id: str, is_right: bool) -> None:
    write = TaxRegistrationWrite(tax_identifier="1", country="GB", merchant_id=merchant_id)
    found = [problem.key for problem in tax.problems(write, account_id=ACCOUNT)]
    assert found == ([] if is_right else ["merchantId"])


def test_all_problems_are_named_at_once() -> None:
    write = TaxRegistrationWrite(tax_identifier="1", country="US", state="ON", merchant_id="x")
    assert [problem.key for problem in tax.problems(write, account_id=ACCOUNT)] == ["state", "merchantId"]


@pytest.mark.parametrize(
    ("before", "country", "state", "after"),
    [
        ("NU", "CA", None, "NU"),
        ("NU", "CA", "ON", "ON"),
        ("NU", "GB", None, None),
        ("ON", "CA", None, None),
        (None, "CA", None, None),
    ],
)
def test_a_state_that_the_version_cannot_show_is_kept(
    before: str | None, country: str, state: str | None, after: str | None
) -> None:
    write = TaxRegistrationWrite(
        tax_identifier="1", country=country, state=state, hidden_states=frozenset({"NT", "NU", "YT"})
    )
    updated = tax.update(registration("1", "CA", before), write, customer_id=None, merchant_id=None)
    assert updated.state == after


def test_an_update_that_names_somebody_replaces_whose_it_is() -> None:
    write = TaxRegistrationWrite(tax_identifier="1", country="GB", merchant_id=str(ACCOUNT))
    updated = tax.update(registration(), write, customer_id=None, merchant_id=ACCOUNT)
    assert (updated.customer_id, updated.merchant_id) == (None, ACCOUNT)


def test_an_update_that_names_nobody_changes_nobody() -> None:
    write = TaxRegistrationWrite(tax_identifier="1", country="GB")
    updated = tax.update(registration(), write, customer_id=None, merchant_id=None)
    assert (updated.customer_id, updated.merchant_id, updated.tax_identifier) == (CUSTOMER, None, "1")


@given(st.sampled_from(PaymentProvider), st.sampled_from([OLD_PROVIDERS, frozenset(PaymentProvider)]))
def test_writing_what_a_version_shows_changes_nothing(
    provider: PaymentProvider, known: frozenset[PaymentProvider]
) -> None:
    settings = PaymentSettings(OTHER, CUSTOMER, provider, NOW)
    shown = payment.shown(settings, known)
    assert shown in known
    assert payment.update(settings, shown, known=known) is settings


@given(st.sampled_from(PaymentProvider), st.sampled_from(sorted(OLD_PROVIDERS)))
def test_writing_something_else_through_an_older_version_replaces_the_provider(
    provider: PaymentProvider, wanted: PaymentProvider
) -> None:
    settings = PaymentSettings(OTHER, CUSTOMER, provider, NOW)
    updated = payment.update(settings, wanted, known=OLD_PROVIDERS)
    assert payment.shown(updated, OLD_PROVIDERS) is wanted
    assert (updated.payment_provider is wanted) or provider is PaymentProvider.GOCARDLESS
