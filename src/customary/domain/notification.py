"""Notification policies: who is told of what, and through which channel."""

from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from customary.domain.contacts import email_key
from customary.domain.values import check_email, check_url
from customary.errors import Invalid, NotFound, Problem

MAXIMUM_RECIPIENTS = 100
_MAXIMUM_LENGTHS = {"WEBHOOK": 2048, "EMAIL": 254}


class NotificationType(StrEnum):
    """All that a policy can be about, in any version; each version shows those that it knows."""

    CUSTOMER_CREATED = "CUSTOMER_CREATED"
    CUSTOMER_UPDATED = "CUSTOMER_UPDATED"
    CUSTOMER_ARCHIVED = "CUSTOMER_ARCHIVED"
    NOTIFICATION_SENT = "NOTIFICATION_SENT"
    INVOICE_CREATED = "INVOICE_CREATED"
    INVOICE_ISSUED = "INVOICE_ISSUED"
    INVOICE_UPDATED = "INVOICE_UPDATED"
    INTEGRATION_SYNC_COMPLETED = "INTEGRATION_SYNC_COMPLETED"
    INTEGRATION_WEBHOOK_HANDLED = "INTEGRATION_WEBHOOK_HANDLED"
    MERCHANT_UPDATED = "MERCHANT_UPDATED"
    MERCHANT_CUSTOM_FIELDS_CREATED = "MERCHANT_CUSTOM_FIELDS_CREATED"
    MERCHANT_CUSTOM_FIELDS_UPDATED = "MERCHANT_CUSTOM_FIELDS_UPDATED"
    MERCHANT_CUSTOM_FIELDS_DELETED = "MERCHANT_CUSTOM_FIELDS_DELETED"
    BILLING_SCHEDULE_CREATED = "BILLING_SCHEDULE_CREATED"
    BILLING_SCHEDULE_UPDATED = "BILLING_SCHEDULE_UPDATED"
    BILLING_SCHEDULE_ARCHIVED = "BILLING_SCHEDULE_ARCHIVED"
    CREDIT_NOTE_CREATED = "CREDIT_NOTE_CREATED"
    CREDIT_NOTE_UPDATED = "CREDIT_NOTE_UPDATED"
    CREDIT_NOTE_ISSUED = "CREDIT_NOTE_ISSUED"
    QUOTE_PUBLISHED = "QUOTE_PUBLISHED"
    QUOTE_ACCEPTED = "QUOTE_ACCEPTED"
    QUOTE_SIGNED = "QUOTE_SIGNED"
    INVOICE_REMINDER_SENT = "INVOICE_REMINDER_SENT"
    WATCHTOWER_TASK_ASSIGNED = "WATCHTOWER_TASK_ASSIGNED"


class Channel(StrEnum):
    """How recipients are told; a policy keeps the one it was made with."""

    WEBHOOK = "WEBHOOK"
    EMAIL = "EMAIL"


class Policy(Struct, frozen=True, kw_only=True):
    """Who is told of what. `notification_types` is None for a policy about everything, also what comes later.

    `api_version` is the version that it was made under, in whose form resources are sent. Only a WEBHOOK has a secret,
    and it is here only where it was just made: a policy is read without it.
    With `is_ordered` no recipient is told of a customer's change before it was told of the one before.
    """

    id: UUID
    created_at: datetime
    name: str
    channel: Channel
    recipients: tuple[str, ...]
    notification_types: tuple[NotificationType, ...] | None
    api_version: str
    webhook_secret: str | None = None
    is_ordered: bool = False


class PolicyWrite(Struct, frozen=True, kw_only=True):
    """A policy as somebody asks for it. Without types it is about everything; without a secret one is made."""

    name: str
    channel: Channel
    recipients: tuple[str, ...]
    notification_types: tuple[NotificationType, ...] | None = None
    webhook_secret: str | None = None


def create(write: PolicyWrite, *, policy_id: UUID, at: datetime, api_version: str, new_secret: str) -> Policy:
    """The policy that this write makes; `new_secret` is for a webhook that brings none. Raises `Invalid`."""
    problems = list(recipient_problems(write.channel, write.recipients))
    is_webhook = write.channel is Channel.WEBHOOK
    if write.webhook_secret is not None and not is_webhook:
        message = "Only a policy with the channel WEBHOOK has a secret. Leave it out."
        problems.append(Problem("webhookSecret", "channel", message))
    if problems:
        raise _invalid(problems)
    return Policy(
        id=policy_id,
        created_at=at,
        name=write.name,
        channel=write.channel,
        recipients=_distinct(write.channel, write.recipients),
        notification_types=None if write.notification_types is None else tuple(dict.fromkeys(write.notification_types)),
        api_version=api_version,
        webhook_secret=(write.webhook_secret or new_secret) if is_webhook else None,
    )


def add_recipients(policy: Policy, recipients: tuple[str, ...]) -> Policy:
    """This policy with more recipients; those that it has already change nothing. Raises `Invalid`."""
    problems = list(recipient_problems(policy.channel, recipients))
    if problems:
        raise _invalid(problems)
    all_of_them = _distinct(policy.channel, (*policy.recipients, *recipients))
    if len(all_of_them) > MAXIMUM_RECIPIENTS:
        message = f"A policy has at most {MAXIMUM_RECIPIENTS} recipients; this would make {len(all_of_them)}."
        raise Invalid(message, (Problem("recipients", "tooMany", message),))
    return replace(policy, recipients=all_of_them)


def remove_recipient(policy: Policy, recipient: str) -> Policy:
    """This policy without a recipient. Raises `NotFound` for one that it does not have, `Invalid` for the last one."""
    key = _recipient_key(policy.channel, recipient)
    left = tuple(each for each in policy.recipients if _recipient_key(policy.channel, each) != key)
    if left == policy.recipients:
        message = "This notification policy has no such recipient."
        raise NotFound(message)
    if not left:
        message = "A notification policy needs a recipient and this is its last one. Delete the policy instead."
        raise Invalid(message, (Problem("recipient", "last", message),))
    return replace(policy, recipients=left)


def named_recipient(policy: Policy, recipient: str) -> str | None:
    """The recipient of this policy that is meant, as the policy writes it; None where it has none such."""
    key = _recipient_key(policy.channel, recipient)
    return next((each for each in policy.recipients if _recipient_key(policy.channel, each) == key), None)


def add_types(policy: Policy, types: tuple[NotificationType, ...]) -> Policy:
    """This policy about more; one about everything is about these already."""
    if policy.notification_types is None:
        return policy
    return replace(policy, notification_types=tuple(dict.fromkeys((*policy.notification_types, *types))))


def remove_type(policy: Policy, removed: NotificationType | None) -> Policy:
    """This policy without a type; one about everything is about all others from then on.

    Raises `NotFound` for a type that it does not have or that is none, `Invalid` for the last one.
    """
    types = tuple(NotificationType) if policy.notification_types is None else policy.notification_types
    if removed not in types:
        message = "This notification policy has no such notification type."
        raise NotFound(message)
    left = tuple(each for each in types if each is not removed)
    if not left:
        message = "This is the last notification type of the policy, which would tell of nothing. Delete it instead."
        raise Invalid(message, (Problem("type", "last", message),))
    return replace(policy, notification_types=left)


def with_secret(policy: Policy, secret: str) -> Policy:
    """This policy with a new secret. Raises `Invalid` for one whose channel has none."""
    if policy.channel is not Channel.WEBHOOK:
        message = "Only a policy with the channel WEBHOOK has a secret, and this one tells by e-mail."
        raise Invalid(message, (Problem("", "channel", message),))
    return replace(policy, webhook_secret=secret)


def recipient_problems(channel: Channel, recipients: tuple[str, ...]) -> tuple[Problem, ...]:
    """What is wrong with recipients of this channel: a webhook needs URLs, e-mail needs addresses."""
    problems: list[Problem] = []
    for position, recipient in enumerate(recipients):
        key, most = f"recipients[{position}]", _MAXIMUM_LENGTHS[channel]
        if len(recipient) > most:
            message = f"This has {len(recipient)} characters; at most {most} are allowed."
            problems.append(Problem(key, "tooLong", message))
            continue
        try:
            _check_recipient(channel, recipient)
        except ValueError as error:
            problems.append(Problem(key, "url" if channel is Channel.WEBHOOK else "email", str(error)))
    return tuple(problems)


def _check_recipient(channel: Channel, recipient: str) -> None:
    match channel:
        case Channel.WEBHOOK:
            check_url(recipient)
        case Channel.EMAIL:
            check_email(recipient)
        case _:
            assert_never(channel)


def _recipient_key(channel: Channel, recipient: str) -> str:
    return email_key(recipient) if channel is Channel.EMAIL else recipient


def _distinct(channel: Channel, recipients: tuple[str, ...]) -> tuple[str, ...]:
    first: dict[str, str] = {}
    for recipient in recipients:
        first.setdefault(_recipient_key(channel, recipient), recipient)
    return tuple(first.values())


def _invalid(problems: list[Problem]) -> Invalid:
    named = ", ".join(problem.key for problem in problems)
    return Invalid(f"The request is not valid: {named}.", tuple(problems))
