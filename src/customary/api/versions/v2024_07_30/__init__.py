"""The API as published on 2024-07-30."""

from customary.api.version import Version
from customary.api.versions.v2024_07_30 import (
    activity_logs,
    aliases,
    contacts,
    custom_properties,
    customer_pages,
    customers,
    deliveries,
    events,
    extensions,
    notification_policies,
    organizations,
    payment_settings,
    policy_secrets,
    recipients,
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
        *policy_secrets.ROUTES.endpoints,
        *deliveries.ROUTES.endpoints,
        *recipients.ROUTES.endpoints,
        *activity_logs.ROUTES.endpoints,
        *extensions.ROUTES.endpoints,
        *events.ROUTES.endpoints,
    ),
    customer=lambda customer, _account_id: customers.to_wire(customer),
    notification_types=notification_policies.TYPES,
    has_extensions=True,
)
