"""The rules of notification policies, over whatever recipients and types there are."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.strategies import emails

from customary.domain.contacts import email_key
from customary.domain.notification import (
    Channel,
    NotificationType,
    Policy,
    add_recipients,
    add_types,
    recipient_problems,
    remove_recipient,
    remove_type,
)
from customary.errors import Invalid, NotFound

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
types = st.lists(st.sampled_from(NotificationType), min_size=1, max_size=8).map(tuple)
addresses = st.lists(emails, min_size=1, max_size=6).map(tuple)


def policy(recipients: tuple[str, ...] = (), about: tuple[NotificationType, ...] | None = None) -> Policy:
    """A policy that tells somebody else and these recipients."""
    made = Policy(
        id=UUID(int=1),
        created_at=NOW,
        name="p",
        channel=Channel.EMAIL,
        recipients=("z@example.com",),
        notification_types=about,
        api_version="2024-07-30",
    )
    return add_recipients(made, recipients)


@given(addresses, addresses)
def test_recipients_are_added_once_each_behind_those_that_are_there(
    first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    before = policy(first)
    after = add_recipients(before, second)
    keys = [email_key(each) for each in after.recipients]
    assert after.recipients[: len(before.recipients)] == before.recipients
    assert len(set(keys)) == len(keys)
    assert set(keys) == {email_key(each) for each in (*before.recipients, *second)}
    assert add_recipients(after, second) == after


@given(addresses, st.data())
def test_a_removed_recipient_is_the_only_one_gone(recipients: tuple[str, ...], data: st.DataObject) -> None:
    added = policy(recipients)
    before = replace(added, recipients=added.recipients[1:])
    gone = data.draw(st.sampled_from(before.recipients))
    if len(before.recipients) == 1:
        with pytest.raises(Invalid):
            remove_recipient(before, gone.upper())
        return
    after = remove_recipient(before, gone.upper())
    assert after.recipients == tuple(each for each in before.recipients if each != gone)
    with pytest.raises(NotFound):
        remove_recipient(after, gone)


@given(types, types)
def test_types_are_added_once_each_and_a_policy_about_everything_stays_so(
    first: tuple[NotificationType, ...], second: tuple[NotificationType, ...]
) -> None:
    before = policy(about=tuple(dict.fromkeys(first)))
    after = add_types(before, second)
    assert after.notification_types == tuple(dict.fromkeys((*first, *second)))
    assert add_types(after, second) == after
    assert add_types(policy(), second) == policy()


@given(st.none() | types, st.sampled_from(NotificationType))
def test_a_removed_type_is_the_only_one_gone(
    about: tuple[NotificationType, ...] | None, gone: NotificationType
) -> None:
    before = policy(about=about and tuple(dict.fromkeys(about)))
    covered = set(NotificationType) if about is None else set(about)
    if gone not in covered:
        with pytest.raises(NotFound):
            remove_type(before, gone)
    elif covered == {gone}:
        with pytest.raises(Invalid):
            remove_type(before, gone)
    else:
        left = remove_type(before, gone).notification_types
        assert left is not None
        assert set(left) == covered - {gone}
        assert len(left) == len(set(left))


@pytest.mark.parametrize("channel", Channel)
def test_every_recipient_that_does_not_fit_the_channel_is_named(channel: Channel) -> None:
    recipients = ("https://example.com/", "a@example.com", "neither")
    wrong = {Channel.WEBHOOK: ["recipients[1]", "recipients[2]"], Channel.EMAIL: ["recipients[0]", "recipients[2]"]}
    assert [problem.key for problem in recipient_problems(channel, recipients)] == wrong[channel]
