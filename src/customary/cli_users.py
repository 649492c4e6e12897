"""`customary users`: letting people into an account, for an operator.

The command line that mounts this says how to reach the database and how to print.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

from customary.cli_options import OneOf, account_option, database_options, json_option
from customary.domain.account import Account
from customary.domain.user import Role, User
from customary.operations.accounts import find_account
from customary.operations.users import create_user_as_operator
from customary.storage import accounts, users
from customary.storage.database import Connection

WithOwner: TypeAlias = Callable[[Path | None, str | None, Callable[[Connection], Awaitable[Any]]], Any]
PrintJson: TypeAlias = Callable[[object], None]
PrintTable: TypeAlias = Callable[[tuple[str, ...], list[tuple[str, ...]]], None]


def users_app(with_owner: WithOwner, print_json: PrintJson, print_table: PrintTable) -> click.Group:
    """The commands. `with_owner` runs a function on a connection of the tables' owner and answers what it answers."""
    app = click.Group("users", help="Users: the people of an account.")

    @app.command("create")
    @click.argument("email")
    @account_option()
    @click.option("--role", type=OneOf(Role), required=True, help="What they may do.")
    @database_options
    @json_option
    def create(
        *,
        email: str,
        account: str,
        role: Role,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Let somebody into an account."""

        async def make(owner: Connection) -> tuple[Account, User]:
            found = await find_account(owner, account)
            return found, await create_user_as_operator(owner, found.id, email, role)

        found, user = with_owner(data_dir, database_url, make)
        if as_json:
            print_json(_document(found, user))
        else:
            click.echo(f"Made the user {user.email} with the id {user.id} as {user.role} of '{found.name}'.")

    @app.command("list")
    @click.option("--account", help="Only those of this account.")
    @database_options
    @json_option
    def list_all(
        *,
        account: str | None,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """List users, without the deleted ones."""

        async def read(owner: Connection) -> list[tuple[Account, User]]:
            wanted = await accounts.all_accounts(owner) if account is None else [await find_account(owner, account)]
            return [(each, user) for each in wanted for user in await users.all_of(owner, each.id)]

        found = with_owner(data_dir, database_url, read)
        if as_json:
            print_json([_document(each, user) for each, user in found])
        else:
            rows = [(str(user.id), user.email, user.role.value, each.name) for each, user in found]
            print_table(("Id", "E-mail", "Role", "Account"), rows)

    return app


def _document(account: Account, user: User) -> dict[str, str]:
    return {
        "id": str(user.id),
        "email": user.email,
        "role": user.role.value,
        "accountId": str(account.id),
        "createdAt": user.created_at.isoformat(),
    }
