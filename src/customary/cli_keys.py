"""`customary keys`: what programs call the API with, for an operator.

The command line that mounts this says how to reach the database, with the secret keys, and how to print.
"""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import click

from customary.api import versions
from customary.cli_options import OneOf, account_option, database_options, json_option
from customary.connectors.addresses import parse_networks
from customary.domain.account import ApiKey, ApiSecret, Scope, state_of
from customary.errors import SetupError
from customary.operations.accounts import find_account
from customary.operations.api_keys import create_key, revoke_key, rotate_key
from customary.storage import accounts, api_keys
from customary.storage.database import Connection
from customary.storage.secret_keys import KeyRing

WithOwner: TypeAlias = Callable[[Path | None, str | None, Callable[[Connection], Awaitable[Any]]], Any]
WithKeys: TypeAlias = Callable[[Path | None, str | None, Callable[[Connection, KeyRing], Awaitable[Any]]], Any]
PrintJson: TypeAlias = Callable[[object], None]
PrintTable: TypeAlias = Callable[[tuple[str, ...], list[tuple[str, ...]]], None]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")


class Duration(click.ParamType[timedelta]):
    """A time such as 30m, 24h or 90d; 0 needs no unit."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The length of this time."""
        found = _DURATION.fullmatch(str(value))
        if found is None and value != "0":
            self.fail(f"'{value}' is no time such as 30m, 24h or 90d.", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)


class Moment(click.ParamType[datetime]):
    """A date, with or without a time of day; without an offset it is in UTC."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """This moment."""
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"'{value}' is no time such as 2027-01-31 or 2027-01-31T18:00:00Z.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def keys_app(with_owner: WithOwner, with_keys: WithKeys, print_json: PrintJson, print_table: PrintTable) -> click.Group:
    """The commands. `with_owner` runs a function on a connection of the tables' owner, `with_keys` with the keys."""
    app = click.Group("keys", help="API keys: what programs call the API with.")
    _add_create(app, with_keys, print_json)
    _add_rotate(app, with_keys, print_json)

    @app.command("list")
    @database_options
    @json_option
    def list_all(*, data_dir: Path | None, database_url: str | None, as_json: bool) -> None:
        """List all keys, without their secrets."""
        listed = with_owner(data_dir, database_url, _look)
        if as_json:
            print_json([_document(each, listed) for each in listed.keys])
        else:
            print_table(_HEADS, [_row(each, listed) for each in listed.keys])

    @app.command("revoke")
    @click.argument("client_id", metavar="ID")
    @database_options
    def revoke(*, client_id: str, data_dir: Path | None, database_url: str | None) -> None:
        """Revoke the key with this client id: from now on it opens nothing."""
        key = with_owner(data_dir, database_url, lambda owner: revoke_key(owner, client_id))
        click.echo(f"Revoked the key {key.client_id}.")

    return app


def _add_create(app: click.Group, with_keys: WithKeys, print_json: PrintJson) -> None:
    @app.command("create")
    @account_option()
    @click.option("--name", default="", show_default=False, help="What the key is for.")
    @click.option(
        "--scope", type=OneOf(Scope), multiple=True, help="What it may do; give it twice for both. Without it: both."
    )
    @click.option("--requests-per-minute", type=click.IntRange(1, 1_000_000), help="Its rate limit. Without it: 1500.")
    @click.option("--pin", help="The API version of requests that name none. Without it: the newest.")
    @click.option(
        "--expires-in", type=Duration(), help="How long it opens anything, as 90d or 12h. Without it: for ever."
    )
    @click.option("--expires-at", type=Moment(), help="When it ends, as 2027-01-31 or 2027-01-31T18:00:00Z, instead.")
    @click.option(
        "--allow-address",
        multiple=True,
        help="A network that it may be used from, as 203.0.113.0/24; give it once for each. Without it: from anywhere.",
    )
    @database_options
    @json_option
    def create(
        *,
        account: str,
        name: str,
        scope: tuple[Scope, ...],
        requests_per_minute: int | None,
        pin: str | None,
        expires_in: timedelta | None,
        expires_at: datetime | None,
        allow_address: tuple[str, ...],
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Make an API key and show its secret, this once."""
        _require_version(pin)
        _require_one_end(expires_in, expires_at)
        networks = tuple(str(each) for each in parse_networks(",".join(allow_address), "--allow-address"))

        async def make(owner: Connection, ring: KeyRing) -> tuple[ApiKey, str]:
            found = await find_account(owner, account)
            return await create_key(
                owner,
                found.id,
                ring=ring,
                name=name,
                scopes=frozenset(scope or Scope),
                pinned_version=pin,
                requests_per_minute=requests_per_minute,
                expires_at=expires_at if expires_in is None else await _from_now(owner, expires_in),
                allowed_addresses=networks,
            )

        key, secret = with_keys(data_dir, database_url, make)
        if as_json:
            print_json({"clientId": str(key.client_id), "clientSecret": secret})
        else:
            _show(key, secret)


def _add_rotate(app: click.Group, with_keys: WithKeys, print_json: PrintJson) -> None:
    @app.command("rotate")
    @click.argument("client_id", metavar="ID")
    @click.option(
        "--overlap",
        type=Duration(),
        default="24h",
        help="How long the secrets of before open beside the new one, from 0 to 7d.",
    )
    @database_options
    @json_option
    def rotate(
        *, client_id: str, overlap: timedelta, data_dir: Path | None, database_url: str | None, as_json: bool
    ) -> None:
        """Give the key with this client id a new secret and show it, this once."""
        made = with_keys(data_dir, database_url, lambda owner, ring: rotate_key(owner, client_id, overlap, ring))
        if as_json:
            ends = made.overlap_ends_at.isoformat()
            print_json({"clientId": str(made.key.client_id), "clientSecret": made.secret, "overlapEndsAt": ends})
            return
        _show(made.key, made.secret)
        until = f"open until {made.overlap_ends_at:%Y-%m-%d %H:%M} UTC" if overlap else "open nothing any more"
        click.echo(f"The secrets of before {until}.")


def _require_version(pin: str | None) -> None:
    if pin is not None and pin not in versions.LIVE:
        message = f"There is no API version '{pin}'. There are: {', '.join(versions.LIVE)}."
        raise SetupError(message)


def _require_one_end(expires_in: timedelta | None, expires_at: datetime | None) -> None:
    if expires_in is not None and expires_at is not None:
        message = "Give either --expires-in or --expires-at, not both."
        raise SetupError(message)


def _show(key: ApiKey, secret: str) -> None:
    click.echo(f"Client id:     {key.client_id}")
    click.echo(f"Client secret: {secret}")
    click.echo("Keep the secret now: it is not stored and cannot be shown again.")


async def _from_now(owner: Connection, length: timedelta) -> datetime:
    return await owner.fetchval("SELECT now() + $1::interval", length)


class _Listed:
    """All keys, the names of their accounts, and their secrets as far as these have not ended."""

    def __init__(
        self, keys: list[ApiKey], names: dict[UUID, str], secrets: dict[UUID, list[ApiSecret]], now: datetime
    ) -> None:
        self.keys, self.names, self.secrets, self.now = keys, names, secrets, now


async def _look(owner: Connection) -> _Listed:
    return _Listed(
        await api_keys.all_keys(owner),
        {each.id: each.name for each in await accounts.all_accounts(owner)},
        await api_keys.live_secrets(owner),
        await owner.fetchval("SELECT now()"),
    )


_HEADS = ("Client id", "Account", "Name", "Scopes", "Pinned to", "State", "Expires", "Last used", "From")


def _row(key: ApiKey, listed: _Listed) -> tuple[str, ...]:
    return (
        str(key.client_id),
        listed.names[key.account_id],
        key.name,
        " ".join(sorted(key.scopes)),
        key.pinned_version or "",
        state_of(key, now=listed.now).value,
        f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "",
        f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never",
        " ".join(key.allowed_addresses) or "anywhere",
    )


def _document(key: ApiKey, listed: _Listed) -> dict[str, Any]:
    return {
        "clientId": str(key.client_id),
        "accountId": str(key.account_id),
        "name": key.name,
        "scopes": sorted(key.scopes),
        "pinnedVersion": key.pinned_version,
        "requestsPerMinute": key.requests_per_minute,
        "state": state_of(key, now=listed.now).value,
        "createdAt": key.created_at.isoformat(),
        "expiresAt": _iso(key.expires_at),
        "revokedAt": _iso(key.revoked_at),
        "lastUsedAt": _iso(key.last_used_at),
        "allowedAddresses": list(key.allowed_addresses),
        "secrets": [
            {"createdAt": _iso(each.created_at), "expiresAt": _iso(each.expires_at), "secretKeyId": each.key_id}
            for each in listed.secrets.get(key.client_id, ())
        ],
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
