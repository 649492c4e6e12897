"""What a careless or hostile caller sends: refused with a sentence, nothing stored, and never a 500."""

import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest
from tests.support import asgi
from tests.support.bodies import GERMAN, contact, newest, of
from tests.support.clients import FIRST, NEWEST, VERSIONS, Account, invalid, refused, success

from customary.api.guard import MAXIMUM_BODY_BYTES
from customary.app import Application

JSON = {"Content-Type": "application/json"}
WEBHOOK = {"name": "Warehouse", "channel": "WEBHOOK", "recipients": ["https://example.com/hooks"]}


async def send(account: Account, content: bytes, headers: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - a response
    return await account.client.post("/customers", version=NEWEST, content=content, headers=headers or JSON)


def body_with(field: str, encoded: str) -> bytes:
    """A body whose field has this text of JSON for its value."""
    text = json.dumps(newest(**{field: "@@"}))
    return text.replace('"@@"', encoded).encode()


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "x",
        "0185a142-54ff-7ce5-846a-fc188432da6",
        "0185a14254ff7ce5846afc188432da6e",
        "%7B%7D",
        "..",
        "'",
        "%F0%9F%98%80",
        "x" * 3000,
    ],
)
@pytest.mark.parametrize("version", VERSIONS)
async def test_a_malformed_id_is_404_like_a_missing_one(account: Account, version: str, text: str) -> None:
    client = account.client
    refused(await client.get(f"/customers/{text}", version=version), 404, "notFound")
    refused(await client.get(f"/customers/{text}/aliases", version=version), 404, "notFound")
    refused(await client.put(f"/customers/{text}", version=version, json=of(version)), 404, "notFound")
    if version == NEWEST:
        refused(await client.post(f"/customers/{text}/archive", version=version), 404, "notFound")
    else:
        refused(await client.delete(f"/customers/{text}", version=version), 404, "notFound")
        refused(await client.put(f"/customers/{text}/archive", version=version), 404, "notFound")


async def test_a_malformed_parent_is_a_field_that_fails(account: Account) -> None:
    assert invalid(await account.client.post("/customers", json=newest(parentId="x"))) == {"parentId": "parent"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b"legalName=Acme",
        b"\xef\xbb\xbf{}",
        b'{"legalName": "\xff"}',
        b'{"legalName": "\xed\xa0\x80"}',
        b'{"legalName": "a", "legalName": "b"}',
        b'{"address": {"country": "DE", "country": "GB"}}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"{}{}",
        b'{"a": 1e999}',
        b'{"a": NaN}',
    ],
)
async def test_a_body_that_is_no_json_object_is_400(account: Account, content: bytes) -> None:
    refused(await send(account, content), 400, "validationError")


@pytest.mark.parametrize("field", ["legalName", "label", "customProperties"])
async def test_the_character_u0000_is_refused_wherever_it_stands(account: Account, field: str) -> None:
    encoded = '{"\\u0000": "x"}' if field == "customProperties" else '"a\\u0000b"'
    refused(await send(account, body_with(field, encoded)), 400, "validationError")


@pytest.mark.parametrize("encoded", ['"\\ud800"', '"\\udfff\\ud800"', '"a\\ud83d"'])
async def test_half_a_surrogate_pair_is_refused(account: Account, encoded: str) -> None:
    refused(await send(account, body_with("legalName", encoded)), 400, "validationError")


async def test_a_whole_surrogate_pair_is_a_character(account: Account) -> None:
    assert success(await send(account, body_with("legalName", '"\\ud83d\\ude00"')), 201)["legalName"] == "😀"


@pytest.mark.parametrize("digits", [20, 400, 5_000])
async def test_huge_numbers_are_refused_where_a_text_belongs_and_ignored_where_nothing_does(
    account: Account, digits: int
) -> None:
    number = "9" * digits
    assert (await send(account, body_with("legalName", number))).status_code == 400
    answer = await send(account, body_with("unknown", number))
    assert answer.status_code in {201, 400}  # a parser may refuse what it cannot hold


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": ""},
        {"Content-Type": "application/json, text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
        {"Content-Type": "application/json", "Content-Encoding": "zstd"},
        {"Content-Type": "application/json", "Content-Encoding": "identity, gzip"},
    ],
)
async def test_another_media_type_is_415(account: Account, headers: dict[str, str]) -> None:
    refused(await send(account, json.dumps(newest()).encode(), headers), 415, "unsupportedMediaType")


@pytest.mark.parametrize("name", ["Content-Type", "Content-Encoding"])
async def test_two_of_what_there_may_be_one_are_415(app: Application, account: Account, name: str) -> None:
    given = [(b"content-type", b"application/json"), (b"content-encoding", b"identity")]
    other = {"Content-Type": b"application/json; charset=utf-16", "Content-Encoding": b"gzip"}[name]
    headers = [asgi.basic(account), *given, (name.lower().encode(), other)]
    answer = await asgi.send(app, "POST", b"/api/customers", headers=headers, chunks=[json.dumps(newest()).encode()])
    assert answer.status == 415


async def test_what_is_compressed_is_not_unpacked(account: Account) -> None:
    """A small body can hold a gigabyte."""
    packed = gzip.compress(json.dumps(newest(label=" " * 10_000_000)).encode())
    for headers in (JSON, JSON | {"Content-Encoding": "gzip"}):
        answer = await send(account, packed, headers)
        assert answer.status_code in {400, 415}
    success(await send(account, json.dumps(newest()).encode(), JSON | {"Content-Encoding": "Identity"}), 201)


async def test_no_media_type_is_415(account: Account) -> None:
    response = await account.client.post("/customers", content=json.dumps(newest()).encode())
    refused(response, 415, "unsupportedMediaType")


@pytest.mark.parametrize(
    "value",
    ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json;", " application/json"],
)
async def test_json_in_utf8_is_taken_however_it_is_announced(account: Account, value: str) -> None:
    success(await send(account, json.dumps(newest()).encode(), {"Content-Type": value}), 201)


async def test_the_largest_body_is_read_and_one_byte_more_is_413(account: Account) -> None:
    body = json.dumps(newest()).encode()
    largest = body + b" " * (MAXIMUM_BODY_BYTES - len(body))
    success(await send(account, largest), 201)
    refused(await send(account, largest + b" "), 413, "payloadTooLarge")


async def test_a_body_that_grows_too_large_is_not_read_to_its_end(app: Application, account: Account) -> None:
    """No length is announced; the reader must stop by itself."""
    endless = [b" " * 65_536] * 1_000
    headers = [asgi.basic(account), (b"content-type", b"application/json")]
    answer = await asgi.send(app, "POST", b"/api/customers", headers=headers, chunks=endless)
    assert answer.status == 413


async def test_a_body_that_ends_early_is_400_even_if_it_can_be_read(app: Application, account: Account) -> None:
    """The beginning of what was meant can be JSON by chance."""
    headers = [asgi.basic(account), (b"content-type", b"application/json"), (b"content-length", b"5000")]
    body = json.dumps(newest()).encode()
    answer = await asgi.send(app, "POST", b"/api/customers", headers=headers, chunks=[body], is_cut=True)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert json.loads(answer.body)["error"]["errors"][0]["code"] == "incomplete"
    assert (await account.client.page())["items"] == []


async def test_an_announced_length_is_refused_before_anything_is_read(app: Application, account: Account) -> None:
    for length in (str(MAXIMUM_BODY_BYTES + 1).encode(), b"9" * 5_000):
        headers = [asgi.basic(account), (b"content-type", b"application/json"), (b"content-length", length)]
        answer = await asgi.send(app, "POST", b"/api/customers", headers=headers, chunks=[b"{}"])
        assert answer.status == 413


async def test_a_body_in_many_pieces_is_one_body(app: Application, account: Account) -> None:
    body = json.dumps(newest(legalName="Müller")).encode()
    headers = [asgi.basic(account), (b"content-type", b"application/json")]
    pieces = [bytes([byte]) for byte in body]
    answer = await asgi.send(app, "POST", b"/api/customers", headers=headers, chunks=pieces)
    assert (answer.status, json.loads(answer.body)["legalName"]) == (201, "Müller")


REFUSED_HEADS: list[tuple[int, str, bytes, tuple[bytes, bytes]]] = [
    (414, "uriTooLong", b"x=" + b"y" * 9_000, (b"x", b"y")),
    (431, "headersTooLarge", b"", (b"x", b"y" * 17_000)),
    (431, "headersTooLarge", b"", (b"authorization", b"Basic " + b"y" * 100_000)),
    (400, "validationError", b"", (b"host", b"a b")),
    (400, "validationError", b"", (b"host", b"")),
    (400, "validationError", b"", (b"transfer-encoding", b"gzip, chunked")),
]


async def test_a_head_that_is_refused_is_answered_as_everything_else(app: Application) -> None:
    """Before any key is looked for: in the envelope, with the headers that all answers have, and as the last one."""
    own = [(b"x-request-id", b"mine"), (b"sequence-version", FIRST.encode())]
    for status, kind, query, header in REFUSED_HEADS:
        answer = await asgi.send(app, "GET", b"/api/customers", query=query, headers=[*own, header])
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["type"]) == (status, kind)
        assert error["message"].endswith(".")
        names = ("sequence-version", "x-request-id", "cache-control", "connection", "content-type")
        assert [answer.headers[name] for name in names] == [FIRST, "mine", "no-store", "close", "application/json"]


async def test_a_head_is_refused_wherever_it_is_sent(app: Application) -> None:
    for path in (b"/healthz", b"/readyz", b"/", b"/api/docs", b"/api/openapi/2024-07-30.json", b"/x"):
        for status, kind, query, header in REFUSED_HEADS:
            answer = await asgi.send(app, "GET", path, query=query, headers=[header])
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert json.loads(answer.body)["error"]["type"] == kind


async def test_eight_kilobytes_of_parameters_are_read(account: Account) -> None:
    query = "&".join(["a=1"] * 2_000)
    success(await account.client.get(f"/customers?{query}"))
    assert invalid(await account.client.get("/customers?" + "&".join(["limit=1"] * 900))) == {"limit": "repeated"}


async def test_a_whole_number_is_written_as_one(account: Account) -> None:
    """And `-0` is zero."""
    policy = success(await account.client.post("/notifications/policies", version=NEWEST, json=WEBHOOK), 201)
    path = f"/notifications/policies/{policy['id']}/rotate-secret"
    for text in ("1e3", "1000.0", "1.5", "-1", "true", '"5"', "null", "[]", "1" * 4_000, "1e-400"):
        content = f'{{"overlapSeconds": {text}}}'.encode()
        answer = invalid(await account.client.post(path, version=NEWEST, content=content, headers=JSON))
        assert answer.keys() == {"overlapSeconds"}, text
    success(await account.client.post(path, version=NEWEST, content=b'{"overlapSeconds": -0}', headers=JSON))


TEXTS = {
    "right to left override": "abc\u202egnp.exe",
    "isolates": "\u2066abc\u2069\u2067def\u2069",
    "joined emoji": "👩‍👩‍👧‍👦 👨🏽‍🚒",
    "flags": "🇩🇪🏴󠁧󠁢󠁷󠁬󠁳󠁿",
    "combining marks": "e" + "\u0301" * 254,
    "many marks on many letters": "Z\u0334\u0321\u035fa\u0337\u0328l\u0338\u0322g\u0335\u0327o",
    "composed": "Caf\u00e9",
    "decomposed": "Cafe\u0301",
    "dotless i": "ıIİi\u0307",
    "sharp s": "straße STRASSE ẞ",
    "line separators": "a\u2028b\u2029c\u0085d",
    "noncharacters": "a\ufffe\uffff\U0001fffeb",
    "byte order mark": "\ufeffabc",
    "replacement": "\ufffd",
    "private": "\ue000\U000f0000",
    "controls": "a\u0001\u0008\u001b[31m\u007f\u009fb",
    "white space": "a\t\n\r\u00a0\u2003\u3000b",
    "nothing to see": "a\u200b\u2060\u00adb",
    "beyond sixteen bits": "𝒜𐍈𠜎",
    "markup": "<script>alert(1)</script> &amp; {{7*7}} ${7*7}",
    "escapes": '\\u0041 \\n \\\\ \\" %00 %s',
    "formula": '=HYPERLINK("http://x")',
}


async def test_what_can_be_stored_comes_back_as_it_was_sent(account: Account) -> None:
    """No character is normalised, trimmed or replaced, in any place, in either spelling of JSON, on any way out."""
    for name, text in TEXTS.items():
        body = newest(legalName=text, label=text, customProperties={text[:64]: text})
        escaped = success(await send(account, json.dumps(body).encode()), 201)
        plain = json.dumps(body | {"customerAliases": [text]}, ensure_ascii=False).encode()
        created = success(await send(account, plain), 201)
        found = success(await account.client.get(f"/customers/by-alias/{quote(text, safe='')}", version=NEWEST))
        assert found["id"] == created["id"], name
        shown = [await account.client.customer(customer["id"]) for customer in (escaped, created)]
        for customer in (escaped, created, *shown, *(await account.client.page(limit=2))["items"]):
            assert (customer["legalName"], customer["label"]) == (text, text), name
            assert customer["customProperties"] == {text[:64]: text}, name
        aliases = success(await account.client.get(f"/customers/{created['id']}/aliases"))
        assert [alias["value"] for alias in aliases["items"]] == [text], name


async def test_aliases_that_only_look_alike_are_different_aliases(account: Account) -> None:
    """They are compared code point by code point, as the systems do that they come from."""
    twins = ["Caf\u00e9", "Cafe\u0301", "cafe\u0301", "Ⅳ", "IV", "ß", "ss", "ı", "i", "a\u200bb", "ab", "K", "\u212a"]
    made = [await account.client.create(newest(legalName=twin, customerAliases=[twin])) for twin in twins]
    for twin, customer in zip(twins, made, strict=True):
        found = success(await account.client.get(f"/customers/by-alias/{quote(twin, safe='')}"))
        assert found["id"] == customer["id"], twin


async def test_marks_without_end_on_one_letter_count_as_the_characters_that_they_are(account: Account) -> None:
    longest = newest(legalName="e" + "\u0301" * 254)
    assert (await account.client.create(longest))["legalName"] == longest["legalName"]
    body = newest(legalName="e" + "\u0301" * 10_000)
    assert invalid(await account.client.post("/customers", json=body)) == {"legalName": "tooLong"}


OPTIONAL = {
    FIRST: ("contactName", "telephone", "url", "label", "taxStatus", "customerAliases", "externalIds"),
    "2024-05-09": ("contactName", "telephone", "url", "label", "customerAliases", "integrationIds"),
    NEWEST: (
        "url",
        "label",
        "customerAliases",
        "integrationIds",
        "parentId",
        "pushToIntegrations",
        "status",
        "customProperties",
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_null_is_refused_for_every_optional_field(account: Account, version: str) -> None:
    body = of(version) | dict.fromkeys(OPTIONAL[version])
    answer = invalid(await account.client.post("/customers", version=version, json=body))
    assert answer.keys() == set(OPTIONAL[version])


@pytest.mark.parametrize("version", VERSIONS)
async def test_null_is_refused_in_an_address(account: Account, version: str) -> None:
    body = of(version, address=GERMAN | {"line2": None, "state": None})
    answer = invalid(await account.client.post("/customers", version=version, json=body))
    assert answer == {"address.line2": "type", "address.state": "type"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_unknown_fields_and_parameters_are_ignored(account: Account, version: str) -> None:
    body = of(version, colour="red", address=GERMAN | {"planet": ["Earth"]})
    customer = await account.client.create(body, version=version)
    assert "colour" not in customer
    assert customer["address"] == GERMAN
    assert [item["id"] for item in (await account.client.page(version=version, colour="red"))["items"]] == [
        customer["id"]
    ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_the_service_decides_cannot_be_sent(account: Account, second_account: Account, version: str) -> None:
    forged = {
        "id": "0185a142-54ff-7ce5-846a-fc188432da6e",
        "createdAt": "2001-01-01T00:00:00Z",
        "updatedAt": "2001-01-01T00:00:00Z",
        "archivedAt": "2001-01-01T00:00:00Z",
        "domain": "forged.example",
        "organizations": [],
        "sequenceAccountId": str(account.id),
    }
    before = await account.client.create(of(version), version=version)
    for customer in (
        await account.client.create(of(version) | forged, version=version),
        await account.client.update(before["id"], of(version) | forged, version=version),
    ):
        shown = await account.client.customer(customer["id"])
        assert shown["id"] != forged["id"]
        assert shown["createdAt"] > "2020"
        assert shown["updatedAt"] > "2020"
        assert "archivedAt" not in shown
        assert shown["domain"] == "example.com"
    assert (await account.client.customer(before["id"]))["createdAt"] == (await account.client.customer(before["id"]))[
        "createdAt"
    ]
    assert (await second_account.client.page())["items"] == []


@pytest.mark.parametrize(
    "path",
    [
        "/customers/%ff",
        "/customers/%00",
        "/customers/by-alias/%00",
        "/customers/by-alias/a%00b",
        "/customers/by-alias/%ED%A0%80",
    ],
)
async def test_bytes_that_are_no_text_name_nothing(account: Account, path: str) -> None:
    refused(await account.client.get(path), 404, "notFound")


@pytest.mark.parametrize("name", ["legalName", "email", "alias", "label", "after", "sortBy", "unknown", "limit"])
@pytest.mark.parametrize("value", ["%00", "%ff", "a%00b", "%ED%A0%80"])
async def test_a_query_that_is_no_text_is_400(app: Application, account: Account, name: str, value: str) -> None:
    query = f"{name}={value}".encode()
    answer = await asgi.send(app, "GET", b"/api/customers", query=query, headers=[asgi.basic(account)])
    assert (answer.status, json.loads(answer.body)["error"]["type"]) == (400, "validationError")


async def test_a_slash_in_an_alias_stays_in_it(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=["a/b", "a", "100%", "a b+c?&#é"]))
    for encoded in ("a%2Fb", "a%2fb", "a", "100%25", "a%20b+c%3F%26%23%C3%A9"):
        found = success(await account.client.get(f"/customers/by-alias/{encoded}"))
        assert found["id"] == customer["id"], encoded
    refused(await account.client.get("/customers/by-alias/a/b"), 404, "notFound")
    refused(await account.client.get("/customers/by-alias/a%252Fb"), 404, "notFound")


async def test_sql_in_any_place_is_text(account: Account) -> None:
    hostile = "'; DROP TABLE customers; --"
    customer = await account.client.create(
        newest(legalName=hostile, label=hostile, customerAliases=[hostile], customProperties={hostile: hostile})
    )
    assert (customer["legalName"], customer["customProperties"]) == (hostile, {hostile: hostile})
    assert await account.client.names(legalName=hostile, label=hostile, alias=hostile) == [hostile]
    assert await account.client.names(sortBy=f"customProperties.{hostile}") == [hostile]


@pytest.mark.parametrize("value", [1, 1.5, True, [], {}, "x"])
@pytest.mark.parametrize("field", ["address", "contacts", "customerAliases", "integrationIds", "customProperties"])
async def test_another_type_is_named_with_its_field(account: Account, field: str, value: object) -> None:
    if (field == "customProperties" and value == {}) or (field.endswith(("ases", "Ids")) and value == []):
        success(await account.client.post("/customers", json=newest(**{field: value})), 201)
        return
    answer = invalid(await account.client.post("/customers", json=newest(**{field: value})))
    assert all(key.startswith(field) for key in answer)


async def test_a_parameter_given_twice_is_400(account: Account) -> None:
    response = await account.client.get("/customers?limit=1&limit=2")
    assert invalid(response) == {"limit": "repeated"}


async def test_a_hundred_contacts_are_taken_and_one_more_is_refused(account: Account) -> None:
    contacts = [contact(f"c{number}@example.com") for number in range(101)]
    customer = await account.client.create(newest(contacts=contacts[:100]))
    assert len(customer["contacts"]) == 100
    assert invalid(await account.client.post("/customers", json=newest(contacts=contacts))) == {"contacts": "tooMany"}
