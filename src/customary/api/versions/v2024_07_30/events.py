"""The change feed, which is ours alone: every event of an account in a fixed order, for reading at one's own pace."""

from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Routes
from customary.api.paging import DEFAULT_LIMIT, Limit
from customary.api.versions.v2024_07_30.activity_logs import IdFilter
from customary.api.versions.v2024_07_30.customers import CustomerBody, to_wire
from customary.api.wire import GivenTime, Id, Time, Wire, one_of, time_form, time_of
from customary.domain.activity import RESOURCE_TYPE, Event, EventType
from customary.domain.values import parse_id
from customary.errors import Invalid, Problem
from customary.storage import event_feed
from customary.storage.database import Bound
from customary.storage.event_feed import Place, Wanted

ROUTES = Routes("Events", is_extension=True)


class EventBody(Wire):
    """Something that happened to a customer: what a webhook tells, and where it belongs."""

    id: Id
    created_at: Time
    notification_type: Annotated[str, one_of(EventType, "What happened.")]
    resource_type: Annotated[str, Meta(examples=[RESOURCE_TYPE])]
    resource_id: Id
    resource_version: Annotated[
        int,
        Meta(
            ge=1,
            description="Counts what happened to this customer, without a gap.",
            extra_json_schema={"format": "int64"},
        ),
    ]
    resource: CustomerBody


class FeedPaginationBody(Wire):
    """Where to read on."""

    next: (
        Annotated[
            str,
            Meta(
                description="What to give as `after` to read on, now or whenever there may be more. Absent only where"
                " nothing has been read yet: ask the same again.",
                examples=["01a1facc-35ad-7467-ab73-16626f891b76"],
            ),
        ]
        | UnsetType
    ) = UNSET
    has_more: Annotated[
        bool, Meta(description="Whether to read on at once. Without it, what comes next has not happened yet.")
    ]


class EventList(Wire):
    """The next events. There can be fewer than asked for, or none, while there are more."""

    items: list[EventBody]
    pagination: FeedPaginationBody


class EventQuery(Wire):
    """Where to read on, and what."""

    after: (
        Annotated[
            str,
            Meta(
                description="The id of an event, such as `pagination.next` of an earlier answer: what follows it is"
                " listed. Without it, and without `since`, the feed starts with the first event that there was."
            ),
        ]
        | UnsetType
    ) = UNSET
    since: (
        Annotated[GivenTime, Meta(description="Start with what happened at this time of RFC 3339 or later.")]
        | UnsetType
    ) = UNSET
    limit: Annotated[Limit, Meta(extra_json_schema={"format": "int32"})] | UnsetType = UNSET
    notification_type: Annotated[str, one_of(EventType, "Only what happened in this way.")] | UnsetType = UNSET
    resource_id: Annotated[IdFilter, Meta(description="Only what happened to this customer.")] | UnsetType = UNSET


def to_body(event: Event) -> EventBody:
    """This event as this version shows it."""
    return EventBody(
        id=str(event.id),
        created_at=time_form(event.created_at),
        notification_type=event.type,
        resource_type=RESOURCE_TYPE,
        resource_id=str(event.customer.id),
        resource_version=event.version,
        resource=to_wire(event.customer),
    )


async def _start(reading: Bound, query: EventQuery) -> Place | None:
    """Where this query starts to read; None where what it waits for has not happened."""
    if query.after is not UNSET and query.since is not UNSET:
        message = "'after' and 'since' name two places to start at; give one of them."
        raise Invalid(message, (Problem("after", "cursor", message), Problem("since", "cursor", message)))
    if query.after is not UNSET:
        return await event_feed.place_of(reading, parse_id(query.after))
    if query.since is not UNSET:
        return await event_feed.place_at(reading, time_of(query.since))
    return event_feed.BEGINNING


def _wanted(query: EventQuery) -> Wanted:
    return Wanted(
        types=None if query.notification_type is UNSET else frozenset({EventType(query.notification_type)}),
        customer_id=None if query.resource_id is UNSET else parse_id(query.resource_id),
        since=None if query.since is UNSET else time_of(query.since),
    )


@ROUTES.get("/events", query=EventQuery, answer=EventList, summary="Read the change feed")
async def list_all(reading: Bound, _call: Call, query: EventQuery) -> EventList:
    """Events in a fixed order, the oldest first, each with the customer as it was after the change.

    Whoever reads on with `pagination.next` gets every event exactly once: none is ever added in front of one that was
    given out. The events of a customer have the order of its versions. An event can be read as soon as no change that
    began before it is still being made, which is at once as a rule.
    """
    start = await _start(reading, query)
    if start is None:
        return EventList(items=[], pagination=FeedPaginationBody(has_more=False))
    limit = DEFAULT_LIMIT if query.limit is UNSET else query.limit
    feed = await event_feed.read(reading, start, _wanted(query), limit=limit)
    return EventList(
        items=[to_body(event) for event in feed.events],
        pagination=FeedPaginationBody(next=_text(feed.end.id), has_more=feed.has_more),
    )


def _text(event_id: UUID | None) -> str | UnsetType:
    return UNSET if event_id is None else str(event_id)
