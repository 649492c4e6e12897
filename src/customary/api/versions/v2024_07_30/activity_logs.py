"""Activity logs as 2024-07-30 sees them: each entry has one item, which says what was done."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias, cast
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Routes
from customary.api.paging import Cursor, Limit, PageParameters, PaginationBody, pager
from customary.api.wire import Id, Time, Wire, or_unset, rule, time_form, time_text
from customary.domain.activity import Activity, ActorType, Caller, FieldChange, ObjectType, Reference, Verb
from customary.domain.values import parse_id
from customary.storage import activity_logs
from customary.storage.activity_logs import reference_id
from customary.storage.database import Bound

ROUTES = Routes("Activities")


def _check_id(text: str) -> None:
    if parse_id(text) is None:
        message = "This is not an id. Use a UUID, such as 01a1facc-35ad-7467-ab73-16626f891b76."
        raise ValueError(message)


IdFilter: TypeAlias = Annotated[str, Meta(extra=rule("id", _check_id))]


class ReferenceBody(Wire):
    """A thing as the log knows it: `id` stands for it in all entries, `entityId` is the thing's own id."""

    id: Id
    entity_type: Annotated[str, Meta(examples=["CUSTOMER"])]
    entity_id: Id | UnsetType = UNSET


class ActorBody(ReferenceBody):
    """Who did something. An operator on the command line has no id of their own."""

    email: Annotated[str, Meta(description="A user's.")] | UnsetType = UNSET


class FieldChangeBody(Wire):
    """One field before and after; absent where it had no value."""

    field: Annotated[str, Meta(examples=["legalName"])]
    before: Annotated[Any, Meta(examples=["Fernhill Ltd"])] = UNSET
    after: Annotated[Any, Meta(examples=["Fernhill Instruments Ltd"])] = UNSET


class ActivityLogItemBody(Wire):
    """What was done, by whom, and to what."""

    id: Id
    activity_log_id: Id
    verb: Annotated[str, Meta(description="What was done.", examples=["UPDATED"])]
    name: str
    summary: Annotated[str, Meta(description="The same as a sentence.", examples=["An API key updated customer X."])]
    reason: Annotated[str, Meta(description="Why, where somebody said so; nobody can yet.")] | UnsetType = UNSET
    metadata: Annotated[
        list[FieldChangeBody], Meta(description="The fields that changed, with their values before and after.")
    ]
    activity_log_actor: ActorBody
    activity_log_object: ReferenceBody
    activity_log_target: Annotated[ReferenceBody, Meta(description="What the object belongs to.")] | UnsetType = UNSET


class ActivityLogBody(Wire):
    """One committed change."""

    id: Id
    sequence_account_id: Id
    activity_type: Annotated[str, Meta(description="The kind of thing and the verb.", examples=["CUSTOMER_UPDATED"])]
    api_version: (
        Annotated[str, Meta(description="Absent for what was not done through the API.", examples=["2024-07-30"])]
        | UnsetType
    ) = UNSET
    origin: Annotated[str, Meta(description="What it was done through.", examples=["API"])]
    trace_id: Annotated[str, Meta(description="The id of the request, as its answer had it.")]
    created_at: Annotated[Time, Meta(extra_json_schema={"format": "date-time"})]
    activity_log_items: list[ActivityLogItemBody]


class ActivityLogList(Wire):
    """A page of the log."""

    items: list[ActivityLogBody]
    pagination: PaginationBody


class ActivityLogQuery(Wire):
    """Which entries to list."""

    before: Cursor | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    sort_order: Annotated[str, Meta(description="ASC or DESC, which is the default.")] | UnsetType = UNSET
    activity_log_object_id: (
        Annotated[IdFilter, Meta(description="Only what happened to the thing with this `activityLogObject.id`.")]
        | UnsetType
    ) = UNSET
    activity_log_object_entity_id: (
        Annotated[IdFilter, Meta(description="Only what happened to the thing with this id of its own.")] | UnsetType
    ) = UNSET


_NOUNS = {
    ObjectType.CUSTOMER: "customer",
    ObjectType.CONTACT: "contact",
    ObjectType.CUSTOMER_ALIAS: "customer alias",
    ObjectType.CUSTOMER_ORGANIZATION: "customer organization",
    ObjectType.CUSTOMER_PAYMENT_SETTINGS: "customer payment settings",
    ObjectType.TAX_REGISTRATION: "tax registration",
    ObjectType.SEQUENCE_ACCOUNT: "account",
    ObjectType.SEQUENCE_USER: "user",
    ObjectType.NOTIFICATION_POLICY: "notification policy",
}
_ACTORS = {
    ActorType.API_KEY: "An API key",
    ActorType.USER: "A user",
    ActorType.OPERATOR: "An operator",
    ActorType.SERVICE: "The service",
}
# They have no id of their own.
_NAMELESS = frozenset({ActorType.OPERATOR, ActorType.SERVICE})
# Bookkeeping of ours, which no version of the API shows.
_INTERNAL = frozenset({"version"})
# What the API calls by another name than we do.
_FIELD_NAMES = {"aliases": "customerAliases", "links": "integrationIds"}
# Their keys are the caller's own.
_VERBATIM = frozenset({"custom_properties", "recipient_states"})


def to_wire(activity: Activity, account_id: UUID) -> ActivityLogBody:
    """This entry as this version shows it."""
    return ActivityLogBody(
        id=str(activity.id),
        sequence_account_id=str(account_id),
        activity_type=f"{activity.object.type}_{activity.verb}",
        api_version=activity.caller.api_version or UNSET,
        origin=activity.caller.origin,
        trace_id=activity.caller.request_id,
        created_at=time_form(activity.created_at),
        activity_log_items=[_item(activity)],
    )


def _item(activity: Activity) -> ActivityLogItemBody:
    """The one item of an entry, which shares its id."""
    noun = _NOUNS[activity.object.type]
    return ActivityLogItemBody(
        id=str(activity.id),
        activity_log_id=str(activity.id),
        verb=activity.verb,
        name=f"{noun.capitalize()} {activity.verb.lower()}",
        summary=_summary(activity, noun),
        metadata=[_change(change) for change in activity.changes if change.field not in _INTERNAL],
        activity_log_actor=_actor(activity.caller),
        activity_log_object=_reference(activity.object),
        activity_log_target=or_unset(activity.target and _reference(activity.target)),
    )


def _summary(activity: Activity, noun: str) -> str:
    caller, target = activity.caller, activity.target
    belonging = f" of {_NOUNS[target.type]} {target.id}" if target else ""
    fields = [_field_name(change) for change in activity.changes if change.field not in _INTERNAL]
    named = f": {', '.join(fields)}" if activity.verb is Verb.UPDATED and fields else ""
    return f"{_ACTORS[caller.actor_type]} {activity.verb.lower()} {noun} {activity.object.id}{belonging}{named}."


def _actor(caller: Caller) -> ActorBody:
    return ActorBody(
        id=str(reference_id(caller.actor_type, caller.actor_id)),
        entity_type=caller.actor_type,
        entity_id=UNSET if caller.actor_type in _NAMELESS else str(caller.actor_id),
        email=or_unset(caller.email),
    )


def _reference(thing: Reference) -> ReferenceBody:
    return ReferenceBody(id=str(reference_id(thing.type, thing.id)), entity_type=thing.type, entity_id=str(thing.id))


def _change(change: FieldChange) -> FieldChangeBody:
    names_are_ours = change.field not in _VERBATIM
    before, after = (
        _shown(change.field, value, names_are_ours=names_are_ours) for value in (change.before, change.after)
    )
    return FieldChangeBody(field=_field_name(change), before=or_unset(before), after=or_unset(after))


def _field_name(change: FieldChange) -> str:
    return _FIELD_NAMES.get(change.field, _camel(change.field))


def _shown(name: str, value: Any, *, names_are_ours: bool) -> Any:  # noqa: ANN401 - any part of a thing
    """What a thing has under this name, with names and times as the API writes them, and without what has no value."""
    if isinstance(value, list):
        return [_shown(name, each, names_are_ours=names_are_ours) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            _camel(inner) if names_are_ours else inner: _shown(inner, each, names_are_ours=names_are_ours)
            for inner, each in cast("dict[str, Any]", value).items()
            if each is not None
        }
    is_time = names_are_ours and name.endswith("_at") and isinstance(value, str)
    return time_text(datetime.fromisoformat(cast("str", value))) if is_time else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


@ROUTES.get("/activity-logs", query=ActivityLogQuery, answer=ActivityLogList, summary="List activity logs")
async def list_all(reading: Bound, call: Call, query: ActivityLogQuery) -> ActivityLogList:
    """What was changed, newest first unless asked otherwise. Entries are added and never changed."""
    object_reference, object_id = (
        None if text is UNSET else parse_id(text)
        for text in (query.activity_log_object_id, query.activity_log_object_entity_id)
    )
    parameters = PageParameters(query.limit, query.after, query.before, sort_order=query.sort_order)
    asked = pager(call, (reading.account_id, "activity-logs", object_reference, object_id), parameters)
    page = await activity_logs.fetch(reading, asked.window, object_reference=object_reference, object_id=object_id)
    items = [to_wire(activity, reading.account_id) for activity in page.items]
    return ActivityLogList(items=items, pagination=asked.pagination(page))


@ROUTES.get("/activity-logs/{id}", answer=ActivityLogBody, summary="Get an activity log")
async def get(reading: Bound, call: Call) -> ActivityLogBody:
    """One entry."""
    return to_wire(await activity_logs.get(reading, parse_id(call.path["id"])), reading.account_id)
