"""What is sent and what is answered, as Pydantic models."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AnyHttpUrl, BaseModel, ConfigDict, EmailStr, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

MOST_CONTACTS, MOST_ALIASES, MOST_LINKS = 100, 100, 50
Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000)]


class Body(BaseModel):
    """In JSON the names are in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class TaxStatus(StrEnum):
    """How tax applies to what a customer buys."""

    TAXED = "TAXED"
    TAX_EXEMPT = "TAX_EXEMPT"
    REVERSE_CHARGED = "REVERSE_CHARGED"


class CustomerStatus(StrEnum):
    """Whether somebody has approved a customer yet."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"


class BillingPreference(StrEnum):
    """Which bills a contact gets."""

    PRIMARY = "PRIMARY"
    STANDARD = "STANDARD"
    NONE = "NONE"


class Service(StrEnum):
    """The systems that a customer can be linked to."""

    AMAZON_REDSHIFT = "Amazon_Redshift"
    GOOGLE_BIGQUERY = "Google_BigQuery"
    GOOGLE_SHEETS = "Google_Sheets"
    HUBSPOT = "HubSpot"
    NETSUITE = "NetSuite"
    QUICKBOOKS_ONLINE = "QuickBooks_Online"
    SALESFORCE = "Salesforce"
    SLACK = "Slack"
    SNOWFLAKE = "Snowflake"
    STRIPE = "Stripe"
    XERO = "Xero"
    GOCARDLESS = "GoCardless"
    AVALARA = "Avalara"
    ANROK = "Anrok"
    ATTIO = "Attio"
    NUMERAL = "Numeral"
    RILLET = "Rillet"
    SPHERE = "Sphere"


class Address(Body):
    """A postal address."""

    line1: Text
    line2: Text | None = None
    town: Text
    state: Text | None = None
    postcode: Text
    country: Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]


class NewContact(Body):
    """A contact, as it is sent."""

    name: Text
    email: EmailStr
    billing_preference: BillingPreference


class NewIntegrationId(Body):
    """The id of a customer in another system, as it is sent."""

    service: Service
    id: Text


class NewCustomer(Body):
    """A customer, as it is sent."""

    legal_name: Text
    address: Address
    tax_status: TaxStatus
    contacts: Annotated[list[NewContact], Field(max_length=MOST_CONTACTS)]
    url: AnyHttpUrl | None = None
    label: Text | None = None
    status: CustomerStatus = CustomerStatus.ACTIVE
    custom_properties: dict[Text, Text] = {}
    customer_aliases: Annotated[list[Text], Field(max_length=MOST_ALIASES)] = []
    integration_ids: Annotated[list[NewIntegrationId], Field(max_length=MOST_LINKS)] = []

    @model_validator(mode="after")
    def _bills_reach_somebody(self) -> "NewCustomer":
        preferences = {contact.billing_preference for contact in self.contacts}
        if BillingPreference.STANDARD in preferences and BillingPreference.PRIMARY not in preferences:
            message = "One of the contacts that receive bills has to be the primary one."
            raise ValueError(message)
        return self

    @property
    def domain(self) -> str | None:
        """The customer's domain, as its address in the web says it."""
        host = urlsplit(str(self.url)).hostname if self.url else None
        return host.removeprefix("www.") if host else None


class Contact(Body):
    """A contact, as it is answered."""

    id: UUID
    name: str
    email: str
    billing_preference: BillingPreference
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None


class IntegrationId(Body):
    """The id of a customer in another system, as it is answered."""

    service: Service
    id: Annotated[str, Field(validation_alias="external_id")]
    is_pending: bool


class CustomerName(Body):
    """A customer in few words."""

    id: UUID
    name: Annotated[str, Field(validation_alias="legal_name")]


class Organization(Body):
    """An owner and the members around it."""

    id: UUID
    owner: CustomerName
    members: list[CustomerName]


class ListedCustomer(Body):
    """A customer, as a page shows it."""

    id: UUID
    created_at: datetime
    updated_at: datetime
    organizations: list[Organization]
    legal_name: str
    address: Address
    url: str | None = None
    domain: str | None = None
    label: str | None = None
    integration_ids: list[IntegrationId]
    archived_at: datetime | None = None
    tax_status: TaxStatus
    custom_properties: dict[str, str]


class Customer(ListedCustomer):
    """A customer with everything that belongs to it."""

    contacts: list[Contact]
    status: CustomerStatus


class Pagination(Body):
    """Where a page stands."""

    after: str | None = None
    total_result_size: int


class CustomerPage(Body):
    """A page of customers."""

    items: list[ListedCustomer]
    pagination: Pagination
