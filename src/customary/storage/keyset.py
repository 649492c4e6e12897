"""Paging by position instead of by number: a row that exists during the whole walk is seen exactly once.

A list gives its FROM and WHERE with its parameters and what it sorts by; this module adds the comparison with the
position and the order. Its texts are put together from constants; everything that a caller sent is a parameter.
"""

from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct

from customary.domain.page import Page, Position, Window
from customary.storage.database import Reading, Record

Item = TypeVar("Item")

# The two halves of a list whose rows need not have a sort value.
_VALUED, _UNVALUED = "IS NOT NULL", "IS NULL"


class Sort(Struct, frozen=True):
    """What a list is sorted by: a SQL expression, its type, and parameters that it needs beyond the list's own.

    The expression numbers its parameters on from those of the list.
    """

    expression: str
    type: str
    is_nullable: bool
    parameters: tuple[object, ...] = ()


class Listing(Struct, Generic[Item], frozen=True):
    """What is listed. `source` is FROM and WHERE, `id` the expression that breaks ties.

    `count` is a statement that answers how many there are, for the list's parameters, where that takes less than to go
    through all of `source`.

    Where no index has the whole list in order but one has each of several parts, `parts` is what follows FROM to get
    those, and `source` one part of the table `j`: a page then reads the beginning of each part and no more.
    """

    columns: str
    source: str
    parameters: tuple[object, ...]
    sort: Sort
    id: str
    from_row: Callable[[Record], Item]
    parts: str | None = None
    count: str | None = None


async def fetch(reading: Reading, listing: Listing[Item], window: Window) -> Page[Item]:
    """One page of this list, with the number of rows on all pages."""
    backwards = window.before is not None
    start = window.before or window.after
    rows = await _rows(reading, listing, window, start, backwards=backwards, limit=window.limit + 1)
    more_ahead = len(rows) > window.limit
    rows = rows[: window.limit]
    if backwards:
        rows.reverse()
    total = await reading.connection.fetchval(listing.count or _counting(listing), *listing.parameters)
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


def _counting(listing: Listing[Item]) -> str:
    source = listing.source if listing.parts is None else _in_parts(listing.parts, f"SELECT {listing.source}")
    return f"SELECT count(*) {source}"


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
    """Rows from this position on. Those without a sort value end every list, so going back they come first."""
    read = partial(_read, reading, listing, ascending=window.is_descending == backwards)
    if not listing.sort.is_nullable:
        return await read(_VALUED, start, limit)
    # One after the other: no index could serve them in one statement in both directions.
    halves = (_UNVALUED, _VALUED) if backwards else (_VALUED, _UNVALUED)
    starts_in_second = start is not None and (start.value is None) == (halves[1] is _UNVALUED)
    first = [] if starts_in_second else await read(halves[0], start, limit)
    if len(first) == limit:
        return first
    return first + await read(halves[1], start if starts_in_second else None, limit - len(first))


async def _read(
    reading: Reading, listing: Listing[Item], half: str, start: Position | None, limit: int, *, ascending: bool
) -> list[Record]:
    """Rows of one half of the list, those with or those without a sort value, from this position on."""
    sort = listing.sort
    direction, compare = ("ASC", ">") if ascending else ("DESC", "<")
    parameters = [*listing.parameters, *sort.parameters, limit]
    limit_number = len(parameters)
    selected = f"SELECT {listing.columns}, {sort.expression} AS sort_value, {listing.id} AS sort_id"
    text = listing.source
    if sort.is_nullable:
        text += f" AND {sort.expression} {half}"
    if start is not None:
        compare += "=" if start.is_past else ""
        parameters.append(start.id)
        if half == _UNVALUED:
            text += f" AND {listing.id} {compare} ${limit_number + 1}"
        else:
            parameters.append(start.value)
            position = f"(${limit_number + 2}::{sort.type}, ${limit_number + 1})"
            text += f" AND ({sort.expression}, {listing.id}) {compare} {position}"
    # Without NULLS FIRST or LAST an index serves this order in both directions.
    order = f" ORDER BY {sort.expression} {direction}, {listing.id} {direction} LIMIT ${limit_number}"
    if listing.parts is not None:
        text = _in_parts(listing.parts, f"SELECT j.* {text}{order}")
    return list(await reading.connection.fetch(f"{selected} {text}{order}", *parameters))


def _in_parts(parts: str, of_one: str) -> str:
    return f"FROM {parts} CROSS JOIN LATERAL ({of_one}) j"
