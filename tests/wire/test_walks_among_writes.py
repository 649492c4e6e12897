"""Walking a list that others change: whoever is there all the time is seen exactly once, whatever happens meanwhile."""

import asyncio
from collections import Counter
from typing import TypeAlias

import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bodies import newest
from tests.support.clients import NEWEST, Account, Client, Json, success

SORTS = ["createdAt", "updatedAt", "legalName", "label", "customProperties.k"]
# Equal ones and missing ones, with room for others between and beyond them.
STAYING = ["a", "b", "b", "c", None, None, "d", "d"]
LABELS = st.sampled_from([None, "", "a", "b", "bb", "c", "d", "e", "\U0001f600"])
MOST_OTHERS = 16
# What happens while a page is read: others come, go, come back and change their place. The number says which of them.
Write: TypeAlias = tuple[str, int, str | None]
WRITES = st.lists(
    st.tuples(st.sampled_from(["add", "archive", "unarchive", "move"]), st.integers(0, 30), LABELS), max_size=4
)


class Crowd:
    """Customers that stay as they are, and others that do not."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.staying: list[str] = []
        self.others: list[str] = []

    async def add(self, label: str | None) -> str:
        """The id of a new customer."""
        return (await self.client.create(body(label)))["id"]

    async def write(self, kind: str, number: int, label: str | None) -> None:
        """Change one of the others. One that is archived cannot be moved, which is as good."""
        chosen = self.others[number % len(self.others)]
        if kind == "add" and len(self.others) < MOST_OTHERS:
            self.others.append(await self.add(label))
        elif kind == "move":
            await self.client.put(f"/customers/{chosen}", version=NEWEST, json=body(label))
        else:
            action = "archive" if kind == "add" else kind
            success(await self.client.post(f"/customers/{chosen}/{action}", version=NEWEST))

    async def walk(self, way: str, script: list[list[Write]], page: Json, params: Json) -> list[Json]:
        """This page and all others that way, each read together with some writes."""
        pages = [page]
        while way in pages[-1]["pagination"]:
            writes = script[len(pages) - 1] if len(pages) <= len(script) else []
            cursor = {way: pages[-1]["pagination"][way]}
            found, *_ = await asyncio.gather(
                self.client.page(**params, **cursor), *(self.write(*write) for write in writes)
            )
            pages.append(found)
        return pages

    def assert_seen_once(self, pages: list[Json]) -> None:
        """Whoever stays is on one of these pages, once."""
        seen = Counter(item["id"] for page in pages for item in page["items"])
        assert {each: seen[each] for each in self.staying} == dict.fromkeys(self.staying, 1)


def body(label: str | None) -> Json:
    optional = {} if label is None else {"label": label, "customProperties": {"k": label}}
    return newest(legalName=f"{label or 'm'}x", **optional)


@pytest_asyncio.fixture
async def crowd(account: Account) -> Crowd:
    made = Crowd(account.client)
    made.others = [await made.add(label) for label in ("a", "b", None, "e")]
    made.staying = [await made.add(label) for label in STAYING]
    made.others += [await made.add(label) for label in ("a", "c")]
    return made


@settings(max_examples=15)
@given(
    sort_by=st.sampled_from(SORTS),
    order=st.sampled_from(["ASC", "DESC"]),
    limit=st.integers(1, 6),
    is_with_archived=st.booleans(),
    script=st.lists(WRITES, min_size=2, max_size=10),
)
async def test_whoever_stays_is_seen_exactly_once_in_both_directions(
    crowd: Crowd, sort_by: str, order: str, limit: int, is_with_archived: bool, script: list[list[Write]]
) -> None:
    """To the end and back from there. What examples before have done to the others stays done."""
    params: dict[str, Json] = {
        "sortBy": sort_by,
        "sortOrder": order,
        "limit": limit,
        "includeArchived": str(is_with_archived).lower(),
    }
    forward = await crowd.walk("after", script, await crowd.client.page(**params), params)
    crowd.assert_seen_once(forward)
    # From a last page that has not changed since it was read: whoever has come behind it is nobody who stays.
    calm = await crowd.walk("after", [], await crowd.client.page(**params), params)
    crowd.assert_seen_once(calm)
    crowd.assert_seen_once(await crowd.walk("before", script, calm[-1], params))
