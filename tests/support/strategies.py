"""What Hypothesis makes up: texts, addresses and contacts that the service accepts."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st

from customary.domain.contacts import BillingPreference, Contact, FlatContacts, email_key

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

# A small alphabet in both cases, so that the same address comes up again, also in another spelling.
emails = st.builds(
    "{}@{}".format,
    st.text("abAB", min_size=1, max_size=2),
    st.sampled_from(["example.com", "EXAMPLE.com", "straße.example"]),
)
# Everything that can be stored: no U+0000, and no half of a surrogate pair, which is no character.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
filled_texts = texts.filter(lambda text: bool(text.strip()))
preferences = st.sampled_from(BillingPreference)


@st.composite
def contact_lists(draw: st.DrawFn, *, with_primary: bool = False) -> tuple[Contact, ...]:
    """The contacts of a customer, oldest first; some were made at the same moment, and some after `NOW`.

    A transaction that waited for another one has an older time than what that one wrote.
    """
    addresses = draw(st.lists(emails, unique_by=email_key, min_size=1, max_size=6))
    wanted = [draw(preferences) for _ in addresses]
    if with_primary and BillingPreference.PRIMARY not in wanted:
        wanted[draw(st.integers(0, len(wanted) - 1))] = BillingPreference.PRIMARY
    contacts: list[Contact] = []
    for position, (address, preference) in enumerate(zip(addresses, wanted, strict=True)):
        created_at = NOW + timedelta(days=draw(st.integers(-3, 1)))
        name = draw(st.sampled_from(["Ada", "Grace", "Acme"]))
        contacts.append(Contact(UUID(int=position + 1), name, address, preference, created_at, created_at))
    return tuple(sorted(contacts, key=lambda contact: (contact.created_at, contact.id)))


flat_contacts = st.builds(
    FlatContacts,
    email=emails,
    name=st.none() | st.sampled_from(["Ada", "Acme", "Nobody yet"]),
    billing_emails=st.lists(emails, max_size=4).map(tuple),
)
