"""`customary users`: letting people into an account, for an operator.

The command line that mounts this says how to reach the database and how to print.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from customary.cli_options import AccountName, AsJson, DatabaseUrl, DataDir
from customary.domain.account import Account
from customary.domain.user import Role, User
from customary.operations.accounts import find_account
from customary.operations.users import create_user_as_operator
from customary.storage import accounts, users
from customary.storage.database import Connection

WithOwner: TypeAlias = Callable[[Path | None, str | None, Callable[[Connection], Awaitable[Any]]], Any]
PrintJson: TypeAlias = Callable[[object], None]
PrintTable: TypeAlias = Callable[[tuple[str, ...], list[tuple[str, ...]]], None]


def users_app(with_owner: WithOwner, print_json: PrintJson, print_table: PrintTable) -> typer.Typer:
    """The commands. `with_owner` runs a function on a connection of the tables' owner and answers what it answers."""
    app = typer.Typer(help="Users: the people of an account.", no_args_is_help=True)

    def create(
        email: Annotated[str, typer.Argument(help="Their e-mail address.")],
        account: AccountName,
        role: Annotated[Role, typer.Option("--role", help="What they may do.")],
        data_dir: DataDir = None,
        database_url: DatabaseUrl = None,
        as_json: AsJson = False,  # noqa: FBT002 - in Typer a flag is a parameter that is true or false
    ) -> None:
        """Let somebody into an account."""

        async def make(owner: Connection) -> tuple[Account, User]:
            found = await find_account(owner, account)
            return found, await create_user_as_operator(owner, found.id, email, role)

        found, user = with_owner(data_dir, database_url, make)
        if as_json:
            print_json(_document(found, user))
        else:
            typer.echo(f"Made the user {user.email} with the id {user.id} as {user.role} of '{found.name}'.")

    def list_all(
        account: Annotated[str | None, typer.Option("--account", help="Only those of this account.")] = None,
        data_dir: DataDir = None,
        database_url: DatabaseUrl = None,
        as_json: AsJson = False,  # noqa: FBT002 - in Typer a flag is a parameter that is true or false
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

    app.command("create")(create)
    app.command("list")(list_all)
    return app


def _document(account: Account, user: User) -> dict[str, str]:
    return {
        "id": str(user.id),
        "email": user.email,
        "role": user.role.value,
        "accountId": str(account.id),
        "createdAt": user.created_at.isoformat(),
    }
