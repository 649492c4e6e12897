"""Bodies to send. Each is the smallest that its version takes, with what a test adds or changes.

What people would not want to read in a log is the same everywhere: see `canaries`.
"""

from typing import Any, TypeAlias

from tests.support import canaries
from tests.support.clients import NEWEST, SECOND

Body: TypeAlias = dict[str, Any]

GERMAN: Body = {"line1": canaries.STREET, "town": "Berlin", "postcode": "10115", "country": "DE"}
LINKS = {"2024-01-01": "externalIds", "2024-05-09": "integrationIds", "2024-07-30": "integrationIds"}


def contact(email: str = canaries.EMAIL, preference: str = "PRIMARY", name: str = canaries.PERSON) -> Body:
    """A contact as the newest version writes it."""
    return {"name": name, "email": email, "billingPreference": preference}


def newest(**changes: object) -> Body:
    """A customer as the newest version creates and replaces it."""
    body: Body = {"legalName": canaries.COMPANY, "address": dict(GERMAN), "taxStatus": "TAXED", "contacts": [contact()]}
    return body | changes


def older(**changes: object) -> Body:
    """A customer as both older versions create and replace it."""
    body: Body = {
        "legalName": canaries.COMPANY,
        "address": dict(GERMAN),
        "taxStatus": "TAXED",
        "email": canaries.EMAIL,
        "telephone": canaries.TELEPHONE,
        "billingEmails": [],
    }
    return body | changes


def of(version: str, **changes: object) -> Body:
    """A customer as this version creates and replaces it."""
    return newest(**changes) if version == NEWEST else older(**changes)


def link(version: str, service: str, external_id: str) -> Body:
    """A link to an outside service as this version writes it."""
    if version in {SECOND, NEWEST}:
        return {"service": service, "id": external_id}
    return {"key": service, "value": external_id}
