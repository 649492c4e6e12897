"""Walking a list page by page: the same rows in the same order as Python sorts them, whatever the page size."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bodies import newest
from tests.support.clients import Account, Client, Json
from tests.support.strategies import filled_texts

labels = st.none() | st.sampled_from(["", "a", "A", "ä", "ß", "ss", "Z", "\uffee", "😀"]) | filled_texts
SORTS: dict[str, Callable[[Json], str | datetime | None]] = {
    "createdAt": lambda item: datetime.fromisoformat(item["createdAt"]),
    "updatedAt": lambda item: datetime.fromisoformat(item["updatedAt"]),
    "legalName": lambda item: item["legalName"].casefold(),
    "label": lambda item: item["label"].casefold() if "label" in item else None,
    "customProperties.k": lambda item: item["customProperties"].get("k"),
}


async def pages(client: Client, **params: Any) -> list[Json]:  # noqa: ANN401 - parameters of a list
    """All pages from the first to the last."""
    found = [await client.page(**params)]
    while "after" in found[-1]["pagination"]:
        found.append(await client.page(**params | {"after": found[-1]["pagination"]["after"]}))
    return found


def expected_ids(items: list[Json], sort_by: str, *, descending: bool) -> list[str]:
    """Rows without the value last in both orders, ties by id."""
    value = SORTS[sort_by]
    with_value = sorted((item for item in items if value(item) is not None), key=lambda item: (value(item), item["id"]))
    without = sorted((item for item in items if value(item) is None), key=lambda item: item["id"])
    if descending:
        with_value.reverse()
        without.reverse()
    return [item["id"] for item in (*with_value, *without)]


@settings(max_examples=60)
@given(
    added=st.lists(labels, max_size=2),
    sort_by=st.sampled_from(sorted(SORTS)),
    order=st.sampled_from(["ASC", "DESC"]),
    limit=st.integers(1, 7),
    filtered=st.booleans(),
)
async def test_a_walk_in_either_direction_is_the_sorted_list(
    account: Account, added: list[str | None], sort_by: str, order: str, limit: int, filtered: bool
) -> None:
    """The customers of earlier examples stay, so the lists grow; every other one is archived."""
    client = account.client
    for number, label in enumerate(added):
        optional = {} if label is None else {"label": label, "customProperties": {"k": label}}
        customer = await client.create(newest(legalName=f"{label or ''}x", **optional))
        if number % 2:
            await client.archive(customer["id"])
    params: dict[str, Any] = {"sortBy": sort_by, "sortOrder": order, "includeArchived": str(filtered).lower()}
    everything = [item for page in await pages(client, limit=100, **params) for item in page["items"]]
    expected = expected_ids(everything, sort_by, descending=order == "DESC")
    assert len(set(expected)) == len(everything)

    forward = await pages(client, limit=limit, **params)
    assert [item["id"] for page in forward for item in page["items"]] == expected
    assert {page["pagination"]["totalResultSize"] for page in forward} == {len(expected)}
    assert all(len(page["items"]) == limit for page in forward[:-1])

    backward = [forward[-1]]
    while "before" in backward[-1]["pagination"]:
        backward.append(await client.page(limit=limit, **params | {"before": backward[-1]["pagination"]["before"]}))
    assert [page["items"] for page in backward[::-1]] == [page["items"] for page in forward]
