"""The API as published on 2024-01-01."""

from customary.api.version import Version
from customary.api.versions.v2024_01_01 import (
    aliases,
    customers,
    notification_policies,
    payment_settings,
    sequence_accounts,
    tax_registrations,
    users,
)

VERSION = Version(
    "2024-01-01",
    (
        *customers.ROUTES.endpoints,
        *aliases.ROUTES.endpoints,
        *tax_registrations.ROUTES.endpoints,
        *payment_settings.ROUTES.endpoints,
        *sequence_accounts.ROUTES.endpoints,
        *users.ROUTES.endpoints,
        *notification_policies.ROUTES.endpoints,
    ),
    customer=customers.to_wire,
    notification_types=notification_policies.TYPES,
)
