"""The API as published on 2024-05-09."""

from customary.api.version import Version
from customary.api.versions.v2024_05_09 import (
    aliases,
    contacts,
    customers,
    notification_policies,
    payment_settings,
    sequence_accounts,
    users,
)

VERSION = Version(
    "2024-05-09",
    (
        *customers.ROUTES.endpoints,
        *aliases.ROUTES.endpoints,
        *contacts.ROUTES.endpoints,
        *payment_settings.ROUTES.endpoints,
        *sequence_accounts.ROUTES.endpoints,
        *users.ROUTES.endpoints,
        *notification_policies.ROUTES.endpoints,
    ),
    customer=lambda customer, _account_id: customers.to_wire(customer),
    notification_types=notification_policies.TYPES,
)
