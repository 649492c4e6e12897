"""A piece of work that waits in the queue: what it is about, and what a claim of it knows."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class Kind(StrEnum):
    """What kinds of work there are."""

    DELIVERY = "DELIVERY"  # tell a recipient of a policy of an event
    ALERT = "ALERT"  # tell a person of the account that a recipient was paused or disabled


class Job(Struct, frozen=True, kw_only=True):
    """A claimed piece of work. Only `lease` gives the right to record what came of it, and only until it ends.

    `attempts` counts this claim too, `attempts_left` does not. `event_id` is None for an example of `event_type`.
    """

    account_id: UUID
    id: UUID
    kind: Kind
    lane_id: UUID
    sequence_id: UUID | None
    number: int | None
    event_id: UUID | None
    event_type: str | None
    user_id: UUID | None
    attempts: int
    attempts_left: int
    lease: UUID
    queued_at: datetime
