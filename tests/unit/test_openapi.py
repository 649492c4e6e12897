"""The documents describe every endpoint in the dialect that they claim, and the page shows all of it by itself."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag

import jsonschema
import pytest

from customary import errors
from customary.api import dialect, openapi, reference
from customary.api.failures import STATUS
from customary.api.reading import read_body
from customary.api.version import Version
from customary.api.versions import LIVE, NEWEST

DATES = tuple(LIVE)
VERSIONS = pytest.mark.parametrize("version", LIVE.values(), ids=DATES)

# What a schema may say in OpenAPI 3.0.3 (its section 4.7.24), as far as anything here could come to say it.
KEYWORDS = {
    *("additionalProperties", "allOf", "anyOf", "default", "deprecated", "description", "enum", "example"),
    *("exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum"),
    *("minItems", "minLength", "minProperties", "minimum", "multipleOf", "not", "nullable", "oneOf", "pattern"),
    *("properties", "readOnly", "required", "type", "uniqueItems", "writeOnly"),
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def schemas(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every schema in the document, those inside others too."""
    waiting = [*document["components"]["schemas"].values()]
    for _, _, operation in operations(document):
        waiting += [parameter["schema"] for parameter in operation["parameters"]]
    while waiting:
        schema = waiting.pop()
        yield schema
        waiting += schema.get("properties", {}).values()
        waiting += [each for key in ("allOf", "anyOf", "oneOf") for each in schema.get(key, ())]
        waiting += [schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)]


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def at(document: dict[str, Any], reference: str) -> object:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


# --- The documents ---


@VERSIONS
def test_every_endpoint_is_described(version: Version) -> None:
    described = {
        (method, path): (operation["operationId"], operation["summary"], next(iter(operation["responses"])))
        for method, path, operation in operations(openapi.document(version))
    }
    assert described == {
        (each.method, each.path): (each.operation_id, each.summary, str(each.status)) for each in version.endpoints
    }


@VERSIONS
def test_every_operation_has_a_description_and_an_id_of_its_own(version: Version) -> None:
    found = [operation for _, _, operation in operations(openapi.document(version))]
    assert all(operation["description"] for operation in found)
    assert len({operation["operationId"] for operation in found}) == len(found)


@VERSIONS
def test_every_parameter_has_a_description(version: Version) -> None:
    parameters = [each for _, _, operation in operations(openapi.document(version)) for each in operation["parameters"]]
    assert all(parameter["description"] for parameter in parameters)
    assert {each["name"] for each in parameters if each["in"] == "path"} <= openapi.PATH_PARAMETERS.keys()


@VERSIONS
def test_every_reference_leads_somewhere_and_every_component_is_used(version: Version) -> None:
    document = openapi.document(version)
    used = set(references(document))
    for reference_ in used:
        assert at(document, reference_)
    components = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert components <= used


@VERSIONS
def test_schemas_keep_to_the_dialect(version: Version) -> None:
    for schema in schemas(openapi.document(version)):
        assert schema.keys() == {"$ref"} or ("$ref" not in schema and schema.keys() <= KEYWORDS), schema
        assert "enum" not in schema or schema["type"] == "string"


@VERSIONS
def test_names_of_components_fit_every_generator(version: Version) -> None:
    names = openapi.document(version)["components"]["schemas"]
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) for name in names), names.keys()


@VERSIONS
def test_examples_of_requests_are_accepted(version: Version) -> None:
    document = openapi.document(version)
    for endpoint in version.endpoints:
        if endpoint.body is not None:
            body = document["paths"][endpoint.path][endpoint.method.lower()]["requestBody"]
            assert read_body(endpoint.body, body["content"]["application/json"]["example"])


@VERSIONS
def test_examples_of_answers_fit_their_schemas(version: Version) -> None:
    document = openapi.document(version)
    answers = [each for _, _, operation in operations(document) for each in operation["responses"].values()]
    answers += document["components"]["responses"].values()
    for answer in (answer for answer in answers if "content" in answer):
        content = answer["content"]["application/json"]
        schema = content["schema"] | {"components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])


@VERSIONS
def test_the_version_header_knows_this_version_only(version: Version) -> None:
    for _, _, operation in operations(openapi.document(version)):
        (header,) = (each for each in operation["parameters"] if each["name"] == "Sequence-Version")
        assert header["schema"]["enum"] == [version.date]
        assert not header["required"]


def test_refusals_fit_the_operation() -> None:
    found = {
        (method, path): set(operation["responses"])
        for method, path, operation in operations(openapi.document(LIVE["2024-07-30"]))
    }
    always = {"400", "401", "403", "414", "429", "431", "500", "503"}
    assert found["GET", "/customers"] == {"200"} | always
    assert found["GET", "/customers/{id}"] == {"200", "304", "404"} | always
    assert found["POST", "/customers"] == {"200", "201", "408", "409", "413", "415", "422"} | always
    assert found["POST", "/customers/{id}/archive"] == {"200", "404", "409", "412", "422"} | always


def test_every_failure_is_described_but_the_one_that_no_operation_can_have() -> None:
    # What was contended, or could not be decrypted, is described as what it is: unavailable.
    undescribed = {errors.MethodNotAllowed, errors.Contended, errors.Undecryptable}
    assert STATUS.keys() - openapi.REFUSALS.keys() == undescribed


@VERSIONS
def test_answers_name_their_headers(version: Version) -> None:
    document = openapi.document(version)
    always = {"Sequence-Version", "X-Request-Id", "Cache-Control"}
    rate = {"RateLimit", "RateLimit-Policy"}
    refusals = document["components"]["responses"]
    assert set(refusals["Unauthorized"]["headers"]) == always | {"WWW-Authenticate"}
    assert set(refusals["RateLimited"]["headers"]) == always | rate | {"Retry-After"}
    assert set(refusals["Unavailable"]["headers"]) == always | rate | {"Retry-After"}
    assert set(refusals["PayloadTooLarge"]["headers"]) == always | rate
    assert set(refusals["UriTooLong"]["headers"]) == set(refusals["HeadersTooLarge"]["headers"]) == always
    assert set(refusals["Conflict"]["headers"]) == always | rate | {"Retry-After", "Idempotent-Replayed"}
    for endpoint in version.endpoints:
        success = document["paths"][endpoint.path][endpoint.method.lower()]["responses"][str(endpoint.status)]
        tag = {"ETag"} if endpoint.is_single else set[str]()
        replayed = set[str]() if endpoint.is_read else {"Idempotent-Replayed"}
        assert set(success["headers"]) == always | rate | tag | replayed


def test_requests_name_their_headers() -> None:
    document = openapi.document(LIVE["2024-07-30"])
    found = {
        (method, path): {each["name"] for each in operation["parameters"] if each["in"] == "header"}
        for method, path, operation in operations(document)
    }
    always = {"Authorization", "Sequence-Version", "X-Request-Id"}
    assert found["GET", "/customers"] == always
    assert found["GET", "/customers/{id}"] == always | {"If-None-Match"}
    assert found["POST", "/customers"] == always | {"Idempotency-Key"}
    assert found["PUT", "/customers/{id}"] == always | {"Idempotency-Key", "If-Match"}


@VERSIONS
def test_a_link_leads_from_what_was_made_to_what_can_be_done_with_it(version: Version) -> None:
    document = openapi.document(version)
    by_id = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for _, path, operation in operations(document):
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                target = by_id[link["operationId"]]
                wanted = {each["name"] for each in target["parameters"] if each["in"] == "path"}
                assert set(link["parameters"]) == wanted, (path, link)
    links = document["paths"]["/customers"]["post"]["responses"]["201"]["links"]
    archive = "postCustomersByIdArchive" if version.date == "2024-07-30" else "putCustomersByIdArchive"
    assert {"getCustomersById", "putCustomersById", archive, "getCustomersByIdAliases"} <= links.keys()
    answered = "customer/id" if version.date == "2024-01-01" else "id"
    assert links["getCustomersById"]["parameters"] == {"id": f"$response.body#/{answered}"}
    assert links["getCustomersByAliasByAlias"]["parameters"] == {"alias": f"$response.body#/{answered}"}
    listed = document["paths"]["/customers"]["get"]["responses"]["200"]["links"]
    assert listed["getCustomersById"]["parameters"] == {"id": "$response.body#/items/0/id"}


def test_a_link_hands_on_the_parameters_of_its_own_path() -> None:
    made = openapi.document(LIVE["2024-07-30"])["paths"]["/customers/{customer}/contacts"]["post"]["responses"]["201"]
    assert made["links"]["putCustomersByCustomerContactsById"]["parameters"] == {
        "customer": "$request.path.customer",
        "id": "$response.body#/id",
    }


def test_an_extension_stands_under_its_own_tag() -> None:
    endpoint, *_ = LIVE["2024-07-30"].endpoints
    extended = type(endpoint)(
        **{name: getattr(endpoint, name) for name in endpoint.__struct_fields__ if name != "is_extension"},
        is_extension=True,
    )
    document = openapi.document(Version("2024-07-30", (extended,), customer=NEWEST.customer, notification_types={}))
    assert document["tags"] == [{"name": "Extensions"}]
    assert document["paths"]["/customers"]["get"]["tags"] == ["Extensions"]


def test_two_types_of_one_name_are_told_apart_by_their_modules() -> None:
    names = dialect.component_names({"a.customers.LinkBody": {}, "a.tax_links.LinkBody": {}, "Page": {}})
    assert names == {"a.customers.LinkBody": "CustomersLink", "a.tax_links.LinkBody": "TaxLinksLink", "Page": "Page"}


def test_two_components_never_share_a_name() -> None:
    with pytest.raises(ValueError, match="Two components would be called Link"):
        dialect.component_names({"Link": {}, "LinkBody": {}})


@pytest.mark.parametrize(
    ("schema", "translated"),
    [
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "string", "nullable": True}),
        (
            {"anyOf": [{"$ref": "Thing"}, {"type": "null"}]},
            {"nullable": True, "allOf": [{"$ref": "#/components/schemas/Thing"}]},
        ),
        (
            {"description": "A  thing.", "$ref": "Thing"},
            {"description": "A thing.", "allOf": [{"$ref": "#/components/schemas/Thing"}]},
        ),
        ({"const": "one"}, {"enum": ["one"], "type": "string"}),
        (
            {"anyOf": [{"enum": ["one"]}, {"type": "null"}]},
            {"type": "string", "nullable": True, "enum": ["one", None]},
        ),
        ({"examples": ["one", "two"], "type": "string"}, {"example": "one", "type": "string"}),
        ({"type": "object", "required": []}, {"type": "object"}),
        # A field may be called what elsewhere is a keyword.
        (
            {"properties": {"title": {"type": "string", "title": "Title"}}},
            {"properties": {"title": {"type": "string"}}},
        ),
    ],
)
def test_json_schema_is_translated(schema: dict[str, Any], translated: dict[str, Any]) -> None:
    assert dialect.translated(schema, {"Thing": "Thing"}) == translated


@VERSIONS
def test_a_document_is_sent_as_it_is_made(version: Version) -> None:
    assert json.loads(openapi.encoded(version)) == openapi.document(version)


def test_documents_and_pages_are_the_same_in_every_process() -> None:
    program = (
        "import hashlib; from customary.api import openapi, reference; from customary.api.versions import LIVE\n"
        "made = [openapi.encoded(each) + reference.page(each, tuple(LIVE)) for each in LIVE.values()]\n"
        "print(hashlib.sha256(b''.join(made)).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


# --- The page ---


class Page(HTMLParser):
    """What a page shows and loads."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


@pytest.fixture(params=LIVE.values(), ids=DATES)
def version(request: pytest.FixtureRequest) -> Version:
    return request.param


@pytest.fixture
def page(version: Version) -> Page:
    return Page(reference.page(version, DATES))


def test_the_page_has_every_operation(version: Version, page: Page) -> None:
    for endpoint in version.endpoints:
        assert endpoint.operation_id in page.all("id")
        assert f"/api{endpoint.path}" in page.text
        assert endpoint.summary in page.text


def test_the_page_has_every_field_and_every_value(version: Version, page: Page) -> None:
    document = openapi.document(version)
    for schema in document["components"]["schemas"].values():
        assert all(name in page.text for name in schema.get("properties", ()))
        assert all(str(value) in page.text for value in schema.get("enum", ()))


def test_the_page_loads_nothing_from_elsewhere(page: Page) -> None:
    assert not page.tags & {"script", "style", "iframe", "object", "embed", "base", "form", "img"}
    assert not page.all("style")
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    for target in (*page.all("href"), *page.all("src")):
        assert re.match(r"#|/(?!/)|data:,$", target), target


def test_links_inside_the_page_lead_somewhere(page: Page) -> None:
    ids = page.all("id")
    assert len(set(ids)) == len(ids)
    within = {fragment for url, fragment in map(urldefrag, page.all("href")) if not url and fragment}
    assert within <= set(ids)


def test_the_page_leads_to_the_document_and_to_all_versions(version: Version, page: Page) -> None:
    links = page.all("href")
    assert f"/api/openapi/{version.date}.json" in links
    assert {f"/api/docs/{date}" for date in DATES} <= set(links)
    assert page.all("aria-current") == ["page"]
    assert page.all("lang") == ["en"]


def test_what_descriptions_say_is_text_and_never_markup() -> None:
    html = reference.page(LIVE["2024-07-30"], DATES)
    assert b"customProperties.&lt;key&gt;" in html
    assert b"<key>" not in html


def test_the_stylesheet_loads_nothing() -> None:
    css = reference.stylesheet().decode()
    assert "url(" not in css
    assert "@import" not in css
    assert "prefers-color-scheme: dark" in css
