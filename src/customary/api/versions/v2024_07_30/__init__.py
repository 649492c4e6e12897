"""The API as published on 2024-07-30."""

from customary.api.version import Version
from customary.api.versions.v2024_07_30 import (
    activity_logs,
    aliases,
    contacts,
    custom_properties,
    customer_pages,
    customers,
    extensions,
    notification_policies,
    organizations,
    payment_settings,
    sequence_accounts,
    tax_registrations,
    users,
)

VERSION = Version(
    "2024-07-30",
    (
        *customer_pages.ROUTES.endpoints,
        *customers.ROUTES.endpoints,
        *aliases.ROUTES.endpoints,
        *contacts.ROUTES.endpoints,
        *custom_properties.ROUTES.endpoints,
        *organizations.ROUTES.endpoints,
        *tax_registrations.ROUTES.endpoints,
        *payment_settings.ROUTES.endpoints,
        *sequence_accounts.ROUTES.endpoints,
        *users.ROUTES.endpoints,
        *notification_policies.ROUTES.endpoints,
        *activity_logs.ROUTES.endpoints,
        *extensions.ROUTES.endpoints,
    ),
    has_extensions=True,
)
