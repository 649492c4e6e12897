"""Paging by position instead of by number: a row that exists during the whole walk is seen exactly once.

A list gives its FROM and WHERE with its parameters and what it sorts by; this module adds the comparison with the
position and the order. Its texts are put together from constants; everything that a caller sent is a parameter.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Struct

from customary.domain.page import Page, Position, Window
from customary.storage.database import Reading, Record

Item = TypeVar("Item")


class Sort(Struct, frozen=True):
    """What a list is sorted by: a SQL expression, its type, and parameters that it needs beyond the list's own.

    The expression numbers its parameters on from those of the list.
    """

    expression: str
    type: str
    is_nullable: bool
    parameters: tuple[object, ...] = ()


class Listing(Struct, Generic[Item], frozen=True):
    """What is listed. `source` is FROM and WHERE, `id` the expression that breaks ties."""

    columns: str
    source: str
    parameters: tuple[object, ...]
    sort: Sort
    id: str
    from_row: Callable[[Record], Item]


async def fetch(reading: Reading, listing: Listing[Item], window: Window) -> Page[Item]:
    """One page of this list, with the number of rows on all pages."""
    backwards = window.before is not None
    start = window.before or window.after
    rows = await _rows(reading, listing, window, start, backwards=backwards, limit=window.limit + 1)
    more_ahead = len(rows) > window.limit
    rows = rows[: window.limit]
    if backwards:
        rows.reverse()
    total = await reading.connection.fetchval(f"SELECT count(*) {listing.source}", *listing.parameters)
    ends = (_position(rows[0]), _position(rows[-1])) if rows else _around(start, backwards=backwards)
    more_behind = False
    if start is not None:
        behind = await _rows(reading, listing, window, ends[1 if backwards else 0], backwards=not backwards, limit=1)
        more_behind = bool(behind)
    has_previous, has_next = (more_ahead, more_behind) if backwards else (more_behind, more_ahead)
    return Page(
        tuple(listing.from_row(row) for row in rows),
        total,
        after=ends[1] if has_next else None,
        before=ends[0] if has_previous else None,
    )


def _around(start: Position | None, *, backwards: bool) -> tuple[Position | None, Position | None]:
    """The ends of an empty page: the position that it was asked for, whose own row lies on the other page."""
    if start is None:
        return None, None
    other_side = Position(start.value, start.id, is_past=True)
    return (start, other_side) if backwards else (other_side, start)


def _position(row: Record) -> Position:
    return Position(row["sort_value"], row["sort_id"])


async def _rows(
    reading: Reading,
    listing: Listing[Item],
    window: Window,
    start: Position | None,
    *,
    backwards: bool,
    limit: int,
) -> list[Record]:
    ascending = window.is_descending == backwards
    direction = "ASC" if ascending else "DESC"
    sort = listing.sort
    # An index gives the rows without a sort value last going up and first going down. Where there can be none, the
    # order must not mention them, or the index could not serve it in both directions.
    nulls = "" if not sort.is_nullable else "NULLS FIRST" if backwards else "NULLS LAST"
    parameters = [*listing.parameters, *sort.parameters, limit]
    limit_number = len(parameters)
    text = f"SELECT {listing.columns}, {sort.expression} AS sort_value, {listing.id} AS sort_id {listing.source}"
    if start is not None:
        comparison = _comparison(listing, start, ascending=ascending, backwards=backwards, first=limit_number + 1)
        text += f" AND ({comparison})"
        parameters += [start.id] if start.value is None else [start.id, start.value]
    text += f" ORDER BY {sort.expression} {direction} {nulls}, {listing.id} {direction} LIMIT ${limit_number}"
    return list(await reading.connection.fetch(text, *parameters))


def _comparison(listing: Listing[Item], start: Position, *, ascending: bool, backwards: bool, first: int) -> str:
    """Which rows lie on the wanted side of the position. Rows without the sort value end every list."""
    sort = listing.sort
    compare = (">" if ascending else "<") + ("=" if start.is_past else "")
    if start.value is None:
        same = f"{sort.expression} IS NULL AND {listing.id} {compare} ${first}"
        return f"{sort.expression} IS NOT NULL OR ({same})" if backwards else same
    row = f"({sort.expression}, {listing.id}) {compare} (${first + 1}::{sort.type}, ${first})"
    return f"{row} OR {sort.expression} IS NULL" if sort.is_nullable and not backwards else row
