"""Users as 2024-07-30 sees them: with the permissions of their role."""

from typing import Annotated

from msgspec import Meta
from msgspec.structs import asdict

from customary.api.endpoint import Call, Routes
from customary.api.people import PageQuery, UserFields, page_of, user_fields
from customary.api.versions.v2024_07_30.sequence_accounts import NullablePaginationBody, nullable
from customary.api.wire import Wire, one_of
from customary.domain.user import PERMISSIONS, Role, User
from customary.domain.values import parse_id
from customary.operations.users import delete_user
from customary.storage import users
from customary.storage.database import Bound, Tx

ROUTES = Routes("Users")


class PermissionBody(Wire):
    """What may be done with one kind of thing."""

    resource: Annotated[str, Meta(examples=["org.customer"])]
    actions: list[Annotated[str, Meta(examples=["read"])]]


class RoleBody(Wire):
    """A role with all that it permits."""

    role_name: Annotated[str, one_of(Role, "What the role is called.")]
    permissions: list[PermissionBody]


class UserBody(UserFields):
    """A user of the account."""

    roles: list[RoleBody]


class UserList(Wire):
    """A page of users."""

    items: list[UserBody]
    pagination: NullablePaginationBody


ROLES = {
    role: RoleBody(
        role_name=role.value,
        permissions=[PermissionBody(resource=each.resource, actions=list(each.actions)) for each in all_of_it],
    )
    for role, all_of_it in PERMISSIONS.items()
}


def to_wire(user: User, account_id: object) -> UserBody:
    """This user as this version shows it."""
    return UserBody(**asdict(user_fields(user, account_id)), roles=[ROLES[user.role]])


async def current(tx: Tx, call: Call) -> UserBody:
    """The user as it is, locked: what If-Match is compared with."""
    return to_wire(await users.get_for_update(tx, parse_id(call.path["id"])), tx.account_id)


@ROUTES.get("/users", query=PageQuery, answer=UserList, summary="List users")
async def list_all(reading: Bound, call: Call, query: PageQuery) -> UserList:
    """Users page by page, newest first, without the deleted ones."""
    asked = page_of(reading, call, "users", query)
    page = await users.fetch(reading, asked.window)
    return UserList(
        items=[to_wire(user, reading.account_id) for user in page.items], pagination=nullable(asked.pagination(page))
    )


@ROUTES.get("/users/{id}", answer=UserBody, summary="Get a user")
async def get(reading: Bound, call: Call) -> UserBody:
    """One user; a deleted one is answered like one that does not exist."""
    return to_wire(await users.get(reading, parse_id(call.path["id"])), reading.account_id)


@ROUTES.delete("/users/{id}", answer=UserBody, summary="Delete a user", current=current)
async def delete(tx: Tx, call: Call) -> UserBody:
    """Take access from a user, who is answered once more with the state `deleted` and then not found."""
    return to_wire(await delete_user(tx, parse_id(call.path["id"])), tx.account_id)
