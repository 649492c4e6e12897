"""The people who work in an account, and what each role lets them do."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace


class Role(StrEnum):
    """What a user is in the account; each has exactly one."""

    ADMIN = "admin"
    FINANCE_USER = "financeUser"
    SALES_USER = "salesUser"
    READ_ONLY_USER = "readOnlyUser"


class State(StrEnum):
    """Whether a user may still come in."""

    ACTIVE = "active"
    DELETED = "deleted"


class Permission(Struct, frozen=True):
    """What may be done with one kind of thing."""

    resource: str
    actions: tuple[str, ...]


class User(Struct, frozen=True, kw_only=True):
    """A person with access to the account. The e-mail is unique among those who are not deleted, ignoring case."""

    id: UUID
    email: str
    role: Role
    created_at: datetime
    deleted_at: datetime | None = None

    @property
    def state(self) -> State:
        """Whether this user may still come in."""
        return State.ACTIVE if self.deleted_at is None else State.DELETED


def delete(user: User, *, at: datetime) -> User:
    """This user without access from now on."""
    return replace(user, deleted_at=at)


# `*` stands for the five actions that most things have. Things and actions are in the order of the published sets:
# a client may compare a role with its own copy of the set.
_ALL_FIVE = ("create", "read", "update", "delete", "archive")
_PERMISSIONS = {
    Role.ADMIN: "customer *; billing * start; product *; invoice * finalize send; creditNote * finalize send;"
    " quote * publish accept execute; revenueRecognition *; usage *; settings * invite; integration *; tax *; asset *;"
    " watchtower *; bulkAction *; savedView *",
    Role.FINANCE_USER: "customer *; billing * start; product *; quote read execute; invoice * finalize send;"
    " creditNote * finalize send; usage read; revenueRecognition *; settings read invite; integration read; tax *;"
    " asset *; watchtower read; bulkAction *; savedView *",
    Role.SALES_USER: "customer *; billing read; product read; quote * publish accept; invoice read; creditNote read;"
    " usage read; revenueRecognition read; settings read invite; integration read; tax read; asset *; watchtower read;"
    " bulkAction *; savedView *",
    Role.READ_ONLY_USER: "customer read; billing read; product read; quote read; invoice read; creditNote read;"
    " usage read; revenueRecognition read; settings read; integration read; tax read; asset read; watchtower read;"
    " bulkAction read; savedView read",
}


def _permission(text: str) -> Permission:
    resource, *actions = text.split()
    if actions[0] == "*":
        actions = [*_ALL_FIVE, *actions[1:]]
    return Permission(f"org.{resource}", tuple(actions))


PERMISSIONS = {role: tuple(_permission(part) for part in text.split(";")) for role, text in _PERMISSIONS.items()}
