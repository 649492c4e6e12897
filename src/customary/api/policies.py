"""Notification policies on the wire, as far as all versions share them: everything but the types of notifications."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call
from customary.api.paging import PageParameters, Pager, pager
from customary.api.wire import Id, RequiredText, Time, Wire, or_unset, time_form
from customary.domain.notification import Channel, NotificationType, Policy
from customary.storage.database import Reading

Recipient: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=2048, examples=["https://example.com/hooks/customers"])
]
ShownRecipient: TypeAlias = Annotated[str, Meta(examples=["https://example.com/hooks/customers"])]
GivenSecret: TypeAlias = Annotated[
    str,
    Meta(
        min_length=8,
        max_length=200,
        description="Signs what is sent. Only for WEBHOOK, where one is made if none is given.",
        examples=["whsec_a-secret-of-your-own"],
    ),
]
ChannelOfPolicy: TypeAlias = Annotated[Channel, Meta(description="How recipients are told. It stays as it is.")]
MOST_TYPES = 100


class PolicyRequestFields(Wire):
    """What every version takes of a policy."""

    name: Annotated[RequiredText, Meta(description="What people call this policy.")]
    recipients: Annotated[
        list[Recipient],
        Meta(
            min_length=1,
            max_length=100,
            description="http or https URLs for WEBHOOK, e-mail addresses for EMAIL. One given twice counts once.",
        ),
    ]
    channel: ChannelOfPolicy
    webhook_secret: GivenSecret | UnsetType = UNSET


class RecipientsRequest(Wire):
    """Recipients to add to a policy."""

    recipients: Annotated[
        list[Recipient],
        Meta(max_length=100, description="URLs or e-mail addresses, as the channel wants; known ones change nothing."),
    ]


class PolicyFields(Wire):
    """What every version shows of a policy."""

    id: Id
    created_at: Time
    sequence_account_id: Id
    name: str
    recipients: list[ShownRecipient]
    channel: ChannelOfPolicy
    webhook_secret: (
        Annotated[
            str,
            Meta(
                description="The secret that signs what is sent; only in the answer to what made it.",
                examples=["whsec_a-secret-of-your-own"],
            ),
        ]
        | UnsetType
    ) = UNSET


def policy_fields(policy: Policy, account_id: UUID, *, with_secret: bool) -> PolicyFields:
    """What every version shows of this policy. Its secret is shown once, like that of an API key."""
    return PolicyFields(
        id=str(policy.id),
        created_at=time_form(policy.created_at),
        sequence_account_id=str(account_id),
        name=policy.name,
        recipients=list(policy.recipients),
        channel=policy.channel,
        webhook_secret=or_unset(policy.webhook_secret if with_secret else None),
    )


def shown_types(policy: Policy, names: Mapping[str, NotificationType]) -> list[str] | UnsetType:
    """The policy's types as far as a version has names for them; absent for a policy about everything."""
    if policy.notification_types is None:
        return UNSET
    by_type = {each: name for name, each in names.items()}
    return [by_type[each] for each in policy.notification_types if each in by_type]


def page_of_policies(
    reading: Reading, call: Call, parameters: PageParameters, about: NotificationType | None = None
) -> Pager:
    """The page of the policies that these parameters ask for. Raises `Invalid`."""
    return pager(call, (reading.account_id, "notification-policies", about), parameters)
