"""Entity tags: reading only what changed, and writing only over what was seen."""

import asyncio

import pytest
from tests.support import bodies
from tests.support.clients import FIRST, NEWEST, SECOND, VERSIONS, Account, refused, success
from tests.support.patience import be_patient

WRITERS = 16
ROUNDS = 250  # four thousand writes in all; the torture has a hundred thousand


async def test_a_tag_stands_for_the_bytes(account: Account) -> None:
    """Equal answers carry equal tags, a change gives another one, and each version has its own."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    first = await account.client.get(path)
    again = await account.client.get(path)
    older = await account.client.get(path, version=SECOND)
    updated = await account.client.put(path, json=bodies.newest(label="new"))
    after = await account.client.get(path)

    assert first.headers["etag"] == again.headers["etag"]
    assert first.headers["etag"] != older.headers["etag"]
    assert first.headers["etag"] != after.headers["etag"]
    assert updated.headers["etag"] == after.headers["etag"]


async def test_lists_have_no_tag(account: Account) -> None:
    """Only one thing has a tag."""
    assert "etag" not in (await account.client.get("/customers")).headers


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_what_the_caller_has_is_not_sent_again(account: Account, form: str) -> None:
    """A known tag, weak or strong, alone or among others, is answered by 304 without a body."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    tag = (await account.client.get(path)).headers["etag"]
    answer = await account.client.get(path, headers={"If-None-Match": form.format(tag)})

    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)


async def test_what_changed_is_sent(account: Account) -> None:
    """A tag of an earlier state is answered by the present one."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    tag = (await account.client.get(path)).headers["etag"]
    await account.client.update(created["id"], bodies.newest(label="new"))
    answer = await account.client.get(path, headers={"If-None-Match": tag})

    assert success(answer)["label"] == "new"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stale_tag_is_refused_and_nothing_is_stored(account: Account, version: str) -> None:
    """Who writes over what somebody else changed is told so."""
    created = await account.client.create(bodies.of(version), version=version)
    path = f"/customers/{created['id']}"
    stale = (await account.client.get(path, version=version)).headers["etag"]
    await account.client.update(created["id"], bodies.of(version, label="theirs"), version=version)
    answer = await account.client.put(
        path, json=bodies.of(version, label="mine"), version=version, headers={"If-Match": stale}
    )

    refused(answer, 412, "preconditionFailed")
    assert (await account.client.customer(created["id"]))["label"] == "theirs"


@pytest.mark.parametrize(
    "values",
    [
        ("{}",),
        ("*",),
        (" * ",),
        ('"other", {}',),
        ('{},"other"',),
        ('W/"other" ,, {} ,',),
        ("W/{0}, {0}",),
        ('"a,b", {}',),
        ('""  , {}',),
        ('"other"', "{}"),
    ],
)
async def test_the_present_tag_lets_a_write_through(account: Account, values: tuple[str, ...]) -> None:
    """The tag of the present state, alone or among others, in one header or in several, and the star are matches."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    tag = (await account.client.get(path)).headers["etag"]
    headers = [("If-Match", value.format(tag)) for value in values]

    success(await account.client.put(path, json=bodies.newest(label="x"), headers=headers))


@pytest.mark.parametrize(
    "values",
    [
        ('"other"',),
        ('"other", W/{}',),
        ("",),
        (",",),
        ("{bare}",),
        ("w/{}",),
        ("x{}",),
        ("{}x",),
        ('{} "other"',),
        ('"{bare}',),
        ('"open, {}',),
        ("*, {}",),
        ("{}, *",),
        ("*", "*"),
        ('"a b", {}',),
        ('W/"other"', "W/{}"),
        ("'{bare}'",),
    ],
)
async def test_no_other_tag_lets_a_write_through(account: Account, values: tuple[str, ...]) -> None:
    """A tag that is not the present one, a weak one among others, and what is no list of tags at all."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    tag = (await account.client.get(path)).headers["etag"]
    headers = [("If-Match", value.format(tag, bare=tag.strip('"'))) for value in values]
    answer = await account.client.put(path, json=bodies.newest(label="x"), headers=headers)

    refused(answer, 412, "preconditionFailed")
    assert await account.client.customer(created["id"]) == created


async def test_a_weak_tag_never_matches_a_write(account: Account) -> None:
    """RFC 9110 section 13.1.1: If-Match compares strongly, although If-None-Match takes the same tag."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    tag = (await account.client.get(path)).headers["etag"]
    answer = await account.client.put(path, json=bodies.newest(label="x"), headers={"If-Match": f"W/{tag}"})

    refused(answer, 412, "preconditionFailed")


@pytest.mark.parametrize(
    ("version", "method", "suffix"),
    [(FIRST, "DELETE", ""), (SECOND, "PUT", "/archive"), (NEWEST, "POST", "/archive")],
)
async def test_archiving_heeds_the_tag_too(account: Account, version: str, method: str, suffix: str) -> None:
    """A customer that changed since is not archived."""
    created = await account.client.create(bodies.of(version), version=version)
    path = f"/customers/{created['id']}"
    stale = (await account.client.get(path, version=version)).headers["etag"]
    await account.client.update(created["id"], bodies.of(version, label="new"), version=version)
    answer = await account.client.request(method, path + suffix, version=version, headers={"If-Match": stale})

    refused(answer, 412, "preconditionFailed")
    assert "archivedAt" not in await account.client.customer(created["id"])


async def test_a_missing_customer_is_missing_whatever_the_tag(account: Account) -> None:
    """404 comes before 412."""
    path = "/customers/01a1facc-35ad-7467-ab73-16626f891b76"
    answer = await account.client.put(path, json=bodies.newest(), headers={"If-Match": '"x"'})

    refused(answer, 404, "notFound")


@pytest.mark.timeout(300)
async def test_of_sixteen_writers_exactly_one_wins_each_round(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All hold the present tag; one write is stored, fifteen are told."""
    be_patient(monkeypatch)
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    for number in range(ROUNDS):
        tag = (await account.client.get(path)).headers["etag"]
        answers = await asyncio.gather(
            *(
                account.client.put(path, json=bodies.newest(label=f"{number}-{writer}"), headers={"If-Match": tag})
                for writer in range(WRITERS)
            )
        )
        won = [answer for answer in answers if answer.status_code == 200]

        assert sorted(answer.status_code for answer in answers) == [200] + [412] * (WRITERS - 1)
        assert (await account.client.customer(created["id"]))["label"] == won[0].json()["label"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_tag_of_a_created_thing_is_that_of_reading_it(account: Account, version: str) -> None:
    """Also where creating answers in another shape: wrapped, or with a secret that is shown once."""
    policy = {"name": "p", "channel": "WEBHOOK", "recipients": ["https://example.com/"]}
    for path, body in (("/customers", bodies.of(version)), ("/notifications/policies", policy)):
        created = await account.client.post(path, version=version, json=body)
        answer = success(created, 201)
        thing = answer.get("customer", answer)
        read = await account.client.get(f"{path}/{thing['id']}", version=version)

        assert created.headers["etag"] == read.headers["etag"]
