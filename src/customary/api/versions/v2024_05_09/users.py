"""Users as 2024-05-09 sees them: without roles; PUT says which accounts they may enter."""

from msgspec.structs import asdict

from customary.api.endpoint import Call, Outcome, Routes
from customary.api.paging import PaginationBody
from customary.api.people import AccountIds, PageQuery, UserFields, page_of, user_fields
from customary.api.wire import Id, Wire
from customary.domain.user import User
from customary.domain.values import parse_id
from customary.operations.users import delete_user, set_accounts
from customary.storage import users
from customary.storage.database import Bound, Tx

ROUTES = Routes("Users")


class UserBody(UserFields):
    """A user of the account."""


class UserAccountsBody(Wire):
    """The accounts that a user may enter."""

    id: Id
    sequence_account_ids: list[Id]


class UserRequest(Wire):
    """Which accounts a user may enter."""

    sequence_account_ids: AccountIds


class UserList(Wire):
    """A page of users."""

    items: list[UserBody]
    pagination: PaginationBody


def to_wire(user: User, account_id: object) -> UserBody:
    """This user as this version shows it."""
    return UserBody(**asdict(user_fields(user, account_id)))


async def current(tx: Tx, call: Call) -> UserBody:
    """The user as it is, locked: what If-Match is compared with."""
    return to_wire(await users.get_for_update(tx, parse_id(call.path["id"])), tx.account_id)


@ROUTES.get("/users", query=PageQuery, answer=UserList, summary="List users")
async def list_all(reading: Bound, call: Call, query: PageQuery) -> UserList:
    """Users page by page, newest first, without the deleted ones."""
    asked = page_of(reading, call, "users", query)
    page = await users.fetch(reading, asked.window)
    return UserList(items=[to_wire(user, reading.account_id) for user in page.items], pagination=asked.pagination(page))


@ROUTES.get("/users/{id}", answer=UserBody, summary="Get a user")
async def get(reading: Bound, call: Call) -> UserBody:
    """One user; a deleted one is answered like one that does not exist."""
    return to_wire(await users.get(reading, parse_id(call.path["id"])), reading.account_id)


@ROUTES.put(
    "/users/{id}", body=UserRequest, answer=UserAccountsBody, status=201, summary="Update a user", current=current
)
async def update(tx: Tx, call: Call, body: UserRequest) -> Outcome:
    """Say which accounts a user may enter. It can only be the key's own: users belong to one account."""
    user = await set_accounts(tx, parse_id(call.path["id"]), tuple(body.sequence_account_ids))
    body_of_answer = UserAccountsBody(id=str(user.id), sequence_account_ids=[str(tx.account_id)])
    return Outcome(body_of_answer, seen_as=to_wire(user, tx.account_id))


@ROUTES.delete("/users/{id}", answer=UserBody, summary="Delete a user", current=current)
async def delete(tx: Tx, call: Call) -> UserBody:
    """Take access from a user, who is answered once more with the state `deleted` and then not found."""
    return to_wire(await delete_user(tx, parse_id(call.path["id"])), tx.account_id)
