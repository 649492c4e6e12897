"""The ways of finding customers that only the newest version has, and what they show: through HTTP."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.support.bodies import contact, link, newest
from tests.support.clients import FIRST, NEWEST, SECOND, Account, Client, Json, invalid, success
from tests.support.strategies import filled_texts

from customary.domain.search import fold, words


async def make(client: Client, name: str, **changes: object) -> str:
    """A customer of this name that shares no text with another by accident; its id."""
    changes = {"contacts": [contact("nn@nn.nn")]} | changes
    return (await client.create(newest(legalName=name, **changes)))["id"]


async def items(client: Client, **params: Json) -> list[Json]:
    """The items on all pages."""
    page = await client.page(**params)
    found = page["items"]
    while "after" in page["pagination"]:
        page = await client.page(**params | {"after": page["pagination"]["after"]})
        found += page["items"]
    return found


def one_line(text: str) -> str:
    """This text folded, each run of white space a single space."""
    return " ".join(fold(text).split())


# --- q ---


async def test_one_box_finds_a_customer_by_everything_that_names_it(account: Account) -> None:
    await make(account.client, "other")
    customer_id = await make(
        account.client,
        "Université de Genève",
        label="Großkunde",
        url="https://shop.unige.ch/",
        contacts=[contact("ada@firma.example"), contact("billing@else.example", "NONE")],
        customerAliases=["CRM-20417"],
        integrationIds=[link(NEWEST, "Stripe", "cus_Nf8s")],
    )
    for typed in (
        "universite",
        "GENEVE",
        "eneve",
        "grosskunde",
        "unige.ch",
        "ada@firma",
        "else.ex",
        "crm-20417",
        "20417",
        "CUS_nf8s",
        "nf8",
        "de université",
        "ada geneve crm großkunde",
        customer_id,
        customer_id.upper(),
        f" {customer_id}\t",
    ):
        assert await account.client.names(q=typed) == ["Université de Genève"], typed
    for typed in ("universitet", "geneve bern", "tax", "invalidenstr", "berlin", customer_id[:-1], customer_id + "0"):
        assert await account.client.names(q=typed) == [], typed


async def test_every_word_has_to_stand_somewhere(account: Account) -> None:
    await make(account.client, "North", label="gold")
    await make(account.client, "South", label="gold")
    assert sorted(await account.client.names(q="gold")) == ["North", "South"]
    assert await account.client.names(q="gold nor") == ["North"]
    assert await account.client.names(q="or go") == ["North"]
    assert await account.client.names(q="north south") == []


async def test_one_word_is_not_found_across_two_texts(account: Account) -> None:
    """What stands at the end of one and at the beginning of the next is no word of either."""
    await make(account.client, "alpha", label="beta")
    for typed in ("alphabeta", "phabe", "alpha\\nbeta"):
        assert await account.client.names(q=typed) == [], typed


async def test_exact_matches_come_first_then_prefixes_then_the_rest_by_name(account: Account) -> None:
    for name, changes in (
        ("a holding of acme", {}),
        ("Acme Zeta", {}),
        ("b", {"label": "ACME"}),
        ("Acme alpha", {}),
        ("Äcme", {}),
        ("z", {"customerAliases": ["acme"]}),
        ("c", {"customerAliases": ["acme-1"]}),
        ("d", {"contacts": [contact("info@acme.example")]}),
    ):
        await make(account.client, name, **changes)
    expected = ["b", "z", "Äcme", "Acme alpha", "Acme Zeta", "c", "a holding of acme", "d"]
    assert await account.client.names(q="acme") == expected
    assert await account.client.names(q=" ACME ") == expected
    assert await account.client.names(q="acme", sortOrder="DESC") == expected
    assert await account.client.names(q="acme", sortOrder="ASC") == expected


async def test_several_words_rank_as_the_whole_that_they_are(account: Account) -> None:
    for name in ("Zeta Acme", "Acme Zeta Ltd", "acme  zeta", "My Acme Zeta"):
        await make(account.client, name)
    assert await account.client.names(q="acme zeta") == ["acme  zeta", "Acme Zeta Ltd", "My Acme Zeta", "Zeta Acme"]


async def test_a_customers_own_id_is_an_exact_match_and_no_text(account: Account) -> None:
    """Parts of it, or of the id that stands in for a pending link, would be found as words."""
    customer_id = await make(account.client, "Zeta", pushToIntegrations=["Xero"])
    await make(account.client, "Alpha", label=f"replaces {customer_id}")
    assert await account.client.names(q=customer_id) == ["Zeta", "Alpha"]
    assert await account.client.names(q=customer_id[:13]) == ["Alpha"]


async def test_a_sort_that_is_asked_for_wins_over_the_rank(account: Account) -> None:
    for name in ("an acme", "acme", "zeta acme"):
        await make(account.client, name)
    assert await account.client.names(q="acme", sortBy="createdAt") == ["zeta acme", "acme", "an acme"]
    assert await account.client.names(q="acme", sortBy="legalName", sortOrder="DESC") == [
        "zeta acme",
        "an acme",
        "acme",
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_cursors_lead_through_what_is_found_both_ways(account: Account, limit: int) -> None:
    for name in ("x acme", "acme", "acme b", "acme", "acme a", "ACME", "nothing", "y acme"):
        await make(account.client, name)
    forward = [await account.client.page(q="acme", limit=limit)]
    while "after" in forward[-1]["pagination"]:
        after = forward[-1]["pagination"]["after"]
        forward.append(await account.client.page(q="acme", limit=limit, after=after))
    names = [item["legalName"] for page in forward for item in page["items"]]
    assert [name.lower() for name in names] == ["acme"] * 3 + ["acme a", "acme b", "x acme", "y acme"]
    assert len({item["id"] for page in forward for item in page["items"]}) == 7
    assert {page["pagination"]["totalResultSize"] for page in forward} == {7}
    backward = [forward[-1]]
    while "before" in backward[-1]["pagination"]:
        before = backward[-1]["pagination"]["before"]
        backward.append(await account.client.page(q="acme", limit=limit, before=before))
    assert [page["items"] for page in backward[::-1]] == [page["items"] for page in forward]


async def test_a_cursor_is_good_for_its_own_search_only(account: Account) -> None:
    for name in ("acme a", "acme b"):
        await make(account.client, name, customProperties={"k": "v"})
    cursor = (await account.client.page(q="acme", limit=1))["pagination"]["after"]
    for other in (
        {},
        {"q": "acm"},
        {"q": "acme", "updatedSince": "2020-01-01T00:00:00Z"},
        {"q": "acme", "customProperties[k]": "v"},
        {"q": "acme", "sortBy": "legalName"},
    ):
        assert invalid(await account.client.get("/customers", params=other | {"after": cursor})) == {"after": "cursor"}
    shown = await account.client.page(q="acme", limit=1, after=cursor, include="contacts", sortOrder="DESC")
    assert [item["legalName"] for item in shown["items"]] == ["acme b"]


async def test_what_a_search_finds_follows_every_change_at_once(account: Account) -> None:
    client = account.client
    customer_id = await make(client, "before", label="one", customerAliases=["old-alias"])
    assert await client.names(q="old-alias") == ["before"]
    await client.update(
        customer_id,
        newest(
            legalName="after",
            contacts=[contact("new@mail.invalid")],
            customerAliases=["new-alias"],
            integrationIds=[link(NEWEST, "Xero", "external-7")],
        ),
    )
    for typed in ("after", "new@mail", "new-alias", "external-7"):
        assert await client.names(q=typed) == ["after"], typed
    for typed in ("before", "one", "nn@n", "old-alias"):
        assert await client.names(q=typed) == [], typed


async def test_an_older_version_writes_what_the_search_finds(account: Account) -> None:
    body = {
        "legalName": "Old",
        "address": {"line1": "1", "town": "T", "postcode": "P", "country": "GB"},
        "taxStatus": "TAXED",
        "email": "first@mail.invalid",
        "billingEmails": ["second@mail.invalid"],
        "customerAliases": ["from-2024-01-01"],
    }
    await account.client.create(body, version=FIRST)
    for typed in ("old", "first@", "second@", "from-2024"):
        assert await account.client.names(q=typed) == ["Old"], typed


async def test_contacts_and_aliases_that_change_by_themselves_are_found_as_they_are_now(account: Account) -> None:
    client = account.client
    customer_id = await make(client, "only")
    body = {"customerId": customer_id, "value": "added-later"}
    alias = success(await client.post("/customer-aliases", version=NEWEST, json=body), 201)
    path = f"/customers/{customer_id}/contacts"
    person = success(await client.post(path, version=NEWEST, json=contact("late@riser.example", "NONE")), 201)
    assert await client.names(q="added-later late@riser") == ["only"]
    success(await client.delete(f"/customer-aliases/{alias['id']}", version=NEWEST))
    body = contact("early@bird.example", "NONE")
    success(await client.put(f"{path}/{person['id']}", version=NEWEST, json=body))
    assert await client.names(q="early@bird") == ["only"]
    success(await client.post(f"{path}/{person['id']}/archive", version=NEWEST))
    for typed in ("added-later", "late@riser", "early@bird"):
        assert await client.names(q=typed) == [], typed


async def test_archived_customers_are_found_only_when_asked_for(account: Account) -> None:
    await account.client.archive(await make(account.client, "gone acme"))
    await make(account.client, "acme")
    assert await account.client.names(q="acme") == ["acme"]
    assert await account.client.names(q="acme", includeArchived="true") == ["acme", "gone acme"]


async def test_q_combines_with_the_other_filters(account: Account) -> None:
    for name, label in (("acme a", "x"), ("acme b", "y"), ("zeta", "x")):
        await make(account.client, name, label=label, customProperties={"k": label})
    assert await account.client.names(q="acme", label="x") == ["acme a"]
    assert await account.client.names(q="acme", **{"customProperties[k]": "y"}) == ["acme b"]
    assert await account.client.names(q="acme", legalName="zeta") == []
    assert await account.client.names(q="x", legalName="zeta") == ["zeta"]


async def test_another_accounts_customers_are_not_found(account: Account, second_account: Account) -> None:
    foreign = await make(second_account.client, "acme", customProperties={"k": "v"})
    for params in (
        {"q": "acme"},
        {"q": foreign},
        {"customProperties[k]": "v"},
        {"updatedSince": "2020-01-01T00:00:00Z"},
    ):
        assert (await account.client.page(**params))["pagination"] == {"totalResultSize": 0}, params


@pytest.mark.parametrize(
    "typed",
    ["москва", "оскв", "Мо", "ύψος", "υψος", "東京", "東", "京都", "😀", "a😀", "é", "مرحبا", "กรุง", "x", "a'b", '"'],
)
async def test_letters_of_every_script_and_signs_are_found(account: Account, typed: str) -> None:
    await make(account.client, "nobody")
    await make(account.client, 'Москва ύψος 東京都 a😀b é مرحبا กรุงเทพ xy a\'b "q"')
    assert len(await account.client.names(q=typed)) == 1
    assert len(await account.client.names(legalName=typed)) == 1


async def test_characters_that_share_an_entry_of_the_index_stay_different(account: Account) -> None:
    """The index holds two letters for each of them, so 1,296 characters further on the pair is the same one."""
    await make(account.client, f"a{chr(0x4E00)}b")
    assert await account.client.names(q=chr(0x4E00 + 36 * 36)) == []
    assert await account.client.names(legalName=f"a{chr(0x4E00 + 36 * 36)}b") == []


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("%", ["50% off"]),
        ("_", ["a_b"]),
        ("\\", ["c\\d"]),
        ("a%b", []),
        ("a_b", ["a_b"]),
        ("\\%", []),
        ("0%", ["50% off"]),
    ],
)
async def test_wildcards_are_taken_literally(account: Account, typed: str, found: list[str]) -> None:
    for name in ("50% off", "a_b", "axb", "c\\d"):
        await make(account.client, name)
    assert await account.client.names(q=typed) == found


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "tooShort"),
        (" ", "blank"),
        ("\t\n", "blank"),
        ("\N{COMBINING ACUTE ACCENT}\N{COMBINING DIAERESIS}", "blank"),
        ("\N{IDEOGRAPHIC SPACE}", "blank"),
        ("x" * 256, "tooLong"),
        ("x" * 8_000, "tooLong"),  # nearly as long as a URL can be
        ("é" * 256, "tooLong"),
    ],
)
async def test_a_search_for_nothing_or_for_too_much_is_refused(account: Account, typed: str, code: str) -> None:
    assert invalid(await account.client.get("/customers", params={"q": typed})) == {"q": code}


@pytest.mark.parametrize("name", ["legalName", "email", "label", "alias"])
async def test_the_other_filters_take_255_characters_at_most(account: Account, name: str) -> None:
    assert invalid(await account.client.get("/customers", params={name: "x" * 256})) == {name: "tooLong"}
    assert (await account.client.page(**{name: "x" * 255}))["items"] == []


@pytest.mark.parametrize("typed", ["a " * 127, " ".join(map(chr, range(0x4E00, 0x4E7F))), "%" * 255, "\\" * 255])
async def test_the_longest_searches_are_answered(account: Account, typed: str) -> None:
    await make(account.client, "a")
    assert await account.client.names(q=typed) == (["a"] if typed.startswith("a") else [])


async def test_a_filter_of_combining_marks_alone_finds_what_any_text_does(account: Account) -> None:
    """They are what folding takes away."""
    await make(account.client, "a")
    assert await account.client.names(legalName="\N{COMBINING ACUTE ACCENT}") == ["a"]


@settings(max_examples=40)
@given(added=st.lists(filled_texts, max_size=2), typed=filled_texts, data=st.data())
async def test_a_search_finds_what_the_rule_says_in_its_order(
    account: Account, added: list[str], typed: str, data: st.DataObject
) -> None:
    """Mostly for a part of a name that is there. The customers of earlier examples stay, so there are more to find."""
    for name in added:
        await make(account.client, name)
    if added:
        name = data.draw(st.sampled_from(added))
        start = data.draw(st.integers(0, len(name) - 1))
        typed = name[start : start + data.draw(st.integers(1, 20))]
    assume(words(typed))
    asked = one_line(typed)

    def expected(item: Json) -> tuple[int, str, str] | None:
        lines = [one_line(text) for text in (item["legalName"], "nn@nn.nn", item.get("domain", ""))]
        if not all(any(word in line for line in lines) for word in asked.split()):
            return None
        rank = 0 if asked in lines else 1 if any(line.startswith(asked) for line in lines) else 2
        return rank, item["legalName"].casefold(), item["id"]

    everything = await items(account.client, limit=100)
    wanted = sorted(place for item in everything if (place := expected(item)) is not None)
    found = await items(account.client, q=typed, limit=7)
    assert [item["id"] for item in found] == [customer_id for _, _, customer_id in wanted]


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_the_extensions_mean_nothing_to_the_older_versions(account: Account, version: str) -> None:
    await make(account.client, "a", customProperties={"k": "v"})
    params = {
        "q": "nothing",
        "updatedSince": "never",
        "customProperties[]": "x",
        "customProperties[k]": "w",
        "customProperties": "x",
        "include": "everything",
    }
    [item] = (await account.client.page(version=version, **params))["items"]
    assert item == (await account.client.page(version=version))["items"][0]


# --- updatedSince ---


async def test_updated_since_takes_those_changed_at_that_time_or_later(account: Account) -> None:
    client = account.client
    first = await make(client, "a")
    await make(client, "b")
    await client.update(first, newest(legalName="a", label="changed"))
    updated = {item["legalName"]: item["updatedAt"] for item in (await client.page())["items"]}
    assert updated["a"] > updated["b"]
    assert await client.names(updatedSince=updated["b"]) == ["b", "a"]
    assert await client.names(updatedSince=updated["a"]) == ["a"]
    assert await client.names(updatedSince=updated["a"], sortBy="updatedAt") == ["a"]
    later = datetime.fromisoformat(updated["a"]) + timedelta(microseconds=1)
    assert await client.names(updatedSince=later.isoformat()) == []
    page = await client.page(updatedSince=updated["b"], sortBy="updatedAt", sortOrder="ASC", limit=1)
    assert [item["legalName"] for item in page["items"]] == ["b"]
    assert page["pagination"]["totalResultSize"] == 2


async def test_updated_since_takes_any_offset_and_a_cursor_for_the_same_moment(account: Account) -> None:
    for name in ("a", "b"):
        await make(account.client, name)
    for text in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000001+23:59", "2026-01-01t00:00:00z"):
        assert await account.client.names(updatedSince=text) == ["b", "a"], text
    page = await account.client.page(updatedSince="2026-01-01T00:00:00Z", limit=1)
    cursor = page["pagination"]["after"]
    assert await account.client.names(updatedSince="2026-01-01T02:00:00+02:00", after=cursor) == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-01-01T00:00:00 01:00",
        "1767225600",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "-0001-01-01T00:00:00Z",
        "infinity",
        "2026-01-01T00:00:00Z" * 200,  # nearly as long as a URL can be
    ],
)
async def test_what_is_no_time_is_refused(account: Account, text: str) -> None:
    assert invalid(await account.client.get("/customers", params={"updatedSince": text})) == {"updatedSince": "time"}


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_the_first_and_last_times_are_taken(account: Account, text: str) -> None:
    await make(account.client, "a")
    assert await account.client.names(updatedSince=text) == (["a"] if text.startswith("0") else [])


# --- customProperties[key]=value ---


async def test_custom_properties_match_exactly_and_combine(account: Account) -> None:
    client = account.client
    await make(client, "a", customProperties={"tier": "gold", "region": "north"})
    await make(client, "b", customProperties={"tier": "gold", "region": "south", "odd[key].é": "50% & more"})
    await make(client, "c", customProperties={"tier": "Gold", "empty": ""})
    await make(client, "d")
    for filters, expected in (
        ({"tier": "gold"}, ["b", "a"]),
        ({"tier": "Gold"}, ["c"]),
        ({"tier": "gol"}, []),
        ({"tier": "gold", "region": "south"}, ["b"]),
        ({"tier": "gold", "region": "east"}, []),
        ({"empty": ""}, ["c"]),
        ({"odd[key].é": "50% & more"}, ["b"]),
        ({"nobody": "x"}, []),
    ):
        params = {f"customProperties[{key}]": value for key, value in filters.items()}
        page = await client.page(**params)
        assert [item["legalName"] for item in page["items"]] == expected, filters
        assert page["pagination"]["totalResultSize"] == len(expected)
    ten = {f"customProperties[{number}]": "x" for number in range(10)}
    assert await client.names(**ten) == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("customProperties[]=x", {"customProperties[]": "tooShort"}),
        ("customProperties%5B%5D=x", {"customProperties[]": "tooShort"}),
        (f"customProperties[{'k' * 65}]=x", {f"customProperties[{'k' * 65}]": "tooLong"}),
        (f"customProperties[k]={'v' * 501}", {"customProperties[k]": "tooLong"}),
        ("customProperties[k]=a&customProperties[k]=b", {"customProperties[k]": "repeated"}),
        ("customProperties=x", {"customProperties": "type"}),
        ("customProperties[k=x", {"customProperties[k": "type"}),
        ("&".join(f"customProperties[{number}]=x" for number in range(11)), {"customProperties": "tooMany"}),
        (
            "customProperties[]=x&limit=0&include=x",
            {"customProperties[]": "tooShort", "limit": "range", "include[0]": "enum"},
        ),
    ],
)
async def test_custom_property_filters_that_are_none_are_refused(
    account: Account, query: str, expected: dict[str, str]
) -> None:
    assert invalid(await account.client.get(f"/customers?{query}")) == expected


async def test_a_custom_property_filter_takes_no_nul(account: Account) -> None:
    response = await account.client.get(f"/customers?customProperties[{quote(chr(0))}]=x")
    assert response.status_code == 400


# --- include ---


@pytest.mark.parametrize("include", ["contacts", "aliases", "contacts,aliases", "aliases,contacts,aliases"])
async def test_include_adds_just_what_it_names(account: Account, include: str) -> None:
    client = account.client
    customer = await client.create(newest(customerAliases=["one", "two"], contacts=[contact(), contact("b@x.example")]))
    await client.create(newest(legalName="alone"))
    plain = (await client.page())["items"]
    shown = (await client.page(include=include))["items"]
    added: dict[str, Any] = {}
    if "contacts" in include:
        added["contacts"] = customer["contacts"]
    if "aliases" in include:
        listed = success(await client.get(f"/customers/{customer['id']}/aliases", version=NEWEST))
        added["aliases"] = listed["items"]
    assert shown[1] == plain[1] | added
    assert shown[0].keys() == plain[0].keys() | added.keys()
    assert shown[0].get("aliases", []) == []


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ("", {"include[0]": "enum"}),
        ("organizations", {"include[0]": "enum"}),
        ("contacts,", {"include[1]": "enum"}),
        ("contacts, aliases", {"include[1]": "enum"}),
        ("Contacts", {"include[0]": "enum"}),
    ],
)
async def test_an_unknown_part_is_refused(account: Account, include: str, expected: dict[str, str]) -> None:
    assert invalid(await account.client.get("/customers", params={"include": include})) == expected
