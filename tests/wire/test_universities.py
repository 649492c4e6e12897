"""Ten thousand real organisations: created, found by name with their diacritics, and walked in both directions."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest
from tests.support.bodies import contact, newest
from tests.support.clients import Account, Json, success
from tests.support.published import UNIVERSITIES

AT_ONCE = 8
COUNT = 10_251
STATES = {"US": ("CA", "MA", "NY", "TX"), "CA": ("BC", "NU", "ON", "QC")}


def made_up(number: int, university: Json) -> Json:
    """What the university lacks, the same every time: a street, a postcode, a state and somebody to write to."""
    country = university["alpha_two_code"]
    address: Json = {
        "line1": f"{number % 300 + 1} University Road",
        "town": university["state-province"] or university["country"],
        "postcode": f"{number:05}",
        "country": country,
    }
    if country in STATES:
        address["state"] = STATES[country][number % 4]
    domain = university["domains"][0] if university["domains"] else "example.com"
    return newest(
        legalName=university["name"],
        address=address,
        contacts=[contact(f"accounts+{number}@{domain}", name=f"Accounts of {university['name']}"[:255])],
        customerAliases=[f"university-{number}"],
        customProperties={"country": university["country"]},
        **({"url": university["web_pages"][0]} if university["web_pages"] else {}),
    )


async def create_all(account: Account, bodies: Iterator[Json]) -> None:
    """Create these customers, a bounded number at a time."""

    async def work() -> None:
        for body in bodies:
            await account.client.create(body)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def walk(account: Account, cursor: str, page: Json, **params: Json) -> list[Json]:
    """This page and all that lie beyond it in the direction of the cursor."""
    pages = [page]
    while cursor in pages[-1]["pagination"]:
        pages.append(await account.client.page(limit=100, **params, **{cursor: pages[-1]["pagination"][cursor]}))
    return pages


async def both_ways(account: Account, **params: Json) -> list[Json]:
    """All rows in order, each once; the way back shows the same pages as the way there."""
    forward = await walk(account, "after", await account.client.page(limit=100, **params), **params)
    backward = await walk(account, "before", forward[-1], **params)
    assert [page["items"] for page in backward[::-1]] == [page["items"] for page in forward]
    assert {page["pagination"]["totalResultSize"] for page in forward + backward} == {COUNT}
    return [item for page in forward for item in page["items"]]


def found_by(response: httpx.Response) -> set[str]:
    return {item["legalName"] for item in success(response)["items"]}


@pytest.mark.skipif(
    not UNIVERSITIES.exists(),
    reason=f"{UNIVERSITIES} is not there; it is data to test with and no part of this repository.",
)
@pytest.mark.timeout(600)  # 20 seconds on an idle machine, and much more on one that does a lot besides
async def test_all_universities_are_created_found_and_walked(account: Account) -> None:
    universities = json.loads(UNIVERSITIES.read_text(encoding="utf-8"))
    assert len(universities) == COUNT
    await create_all(account, iter([made_up(number, each) for number, each in enumerate(universities)]))
    names = Counter(each["name"] for each in universities)

    rows = await both_ways(account, sortBy="createdAt", sortOrder="DESC")
    assert len({row["id"] for row in rows}) == len(rows) == COUNT
    assert Counter(row["legalName"] for row in rows) == names
    times = [datetime.fromisoformat(row["createdAt"]) for row in rows]
    assert times == sorted(times, reverse=True)

    by_name = await both_ways(account, sortBy="legalName", sortOrder="ASC")
    folded = [(row["legalName"].casefold(), row["id"]) for row in by_name]
    assert folded == sorted(folded)
    assert {row["id"] for row in by_name} == {row["id"] for row in rows}

    with_marks = sorted(name for name in names if not name.isascii())
    assert len(with_marks) > 1_000
    for name in with_marks[::25]:
        assert name in found_by(await account.client.get("/customers", params={"legalName": name, "limit": 100}))
    for typed, name in (
        ("fundacao herminio", "Fundação Hermínio Ometto"),
        ("ANTONIO NARINO", "Antonio Nariño University"),
    ):
        assert name in found_by(await account.client.get("/customers", params={"legalName": typed}))
    for number in range(0, COUNT, 500):
        found = success(await account.client.get(f"/customers/by-alias/university-{number}"))
        assert found["legalName"] == universities[number]["name"]
