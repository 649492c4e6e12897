"""Our documents say what the published ones say. What they say on top is listed below, each with its reason.

Both documents are read into flat facts, such as `GET /customers ? limit: type` = `integer`, so that nothing nested can
hide: a published fact that is missing or different fails, and an additional one fails unless `ADDITIONS` has it.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from customary.api.openapi import document
from customary.api.versions import LIVE

CONTRACT = Path(__file__).parents[3] / "shared" / "contract"
needs_contract = pytest.mark.skipif(
    not CONTRACT.is_dir(), reason="the published documents are not here (../shared/contract)"
)

# What is served so far. Once everything published is served, this list goes, and with it the filter in `operations`.
PATHS = [
    "/customers",
    "/customers/{id}",
    "/customers/{id}/archive",
    "/customers/{id}/aliases",
    "/customers/by-alias/{alias}",
    "/customers/{customer}/contacts",
    "/customers/{customer}/contacts/{id}",
    "/customers/{customer}/contacts/{id}/archive",
    "/customer-aliases",
    "/customer-aliases/{id}",
    "/customer-custom-property-keys",
    "/tax-registrations",
    "/tax-registrations/{id}",
    "/tax-registrations/for-merchant/{id}",
    "/tax-registrations/for-customer/{id}",
    "/customer-settings",
    "/customer-settings/{id}",
    "/payments/settings/customers",
    "/payments/settings/customers/{id}",
    "/sequence-accounts",
    "/sequence-accounts/{id}",
    "/users",
    "/users/{id}",
    "/notifications/policies",
    "/notifications/policies/{id}",
    "/notifications/policies/{id}/notification-types",
    "/notifications/policies/{id}/notification-types/{type}",
    "/notifications/policies/{id}/recipients",
    "/notifications/policies/{id}/recipients/{recipient}",
    "/activity-logs",
    "/activity-logs/{id}",
    "/customer-organizations",
    "/customer-organizations/{id}/members",
]

# What is only ours, as an expression over whole facts, and why a client of the published API is not disturbed by it.
ADDITIONS = {
    r"PUT /customers/\{id\} header authorization.*": "Needed like everywhere; the older documents forgot it.",
    r".* = (304|400|401|403|404|408|409|412|413|414|415|422|429|431|500|503)": "Ways of refusing.",
    r".* header (x-request-id|idempotency-key|if-match|if-none-match): .*": "Headers that a client may send: an id for"
    " the logs, and what makes a change safe to repeat and safe from being lost.",
    r".* = \d+ header .*": "Headers that every answer carries; the published documents list none.",
    r".* (\?|body) .*: (m(in|ax)(Length|Items|Properties|imum)|pattern)": "Limits that hold in any case: "
    "here a client can know of them before it sends.",
    r"GET /customers = 200 pagination\.totalResultSize: minimum": "A count is not negative.",
    r"GET /customers = 200 pagination\.totalResultSize: required": "It is always there, which the rules promise.",
    r"GET /customer-aliases = 200 pagination\.totalResultSize: (minimum|required)": "As for customers.",
    r"GET /tax-registrations.* = 200 pagination\.totalResultSize: (minimum|required)": "As for customers.",
    r"GET /tax-registrations/for-\w+/\{id\} \? (limit|after|before): (required|type)": "The published answer has "
    "cursors; without parameters to send them back in, nobody could turn the page.",
    r".*/tax-registrations.* = 20[01] (items\[\]\.)?validation: .*": "An added field of the newest version: "
    "whether the number is well formed, which is never a reason to refuse it.",
    r"GET /(sequence-accounts|users|notifications/policies|activity-logs) = 200 pagination\.totalResultSize: "
    r"(minimum|required)": "As for customers.",
    r".* /users(/\{id\})? = 200 (items\[\]\.)?roles\[\]\.(roleName|permissions).*": "What a role is made of, which the "
    "published document has only as texts inside an enum.",
    r"GET /activity-logs.* = 200 .*activityLogItems\[\]\.metadata(\[\](\.field)?)?: (required|type)": "What an entry "
    "of the metadata is, which was published as anything; the list is always there.",
    r"GET /activity-logs.* = 200 (items\[\]\.)?traceId: required": "It is always there.",
    r"operation (PATCH /customers/\{id\}|POST /customers/\{id\}/unarchive|PUT /customers/by-alias/\{alias\}"
    r"|GET /customer-organizations(/\{id\})?|DELETE /customer-organizations/\{id\}"
    r"|GET /events|POST /notifications/policies/\{id\}/(test|replay|rotate-secret|recipients/resume)"
    r"|GET /notifications/policies/\{id\}/(recipients|deliveries(/\{deliveryId\}(/attempts)?)?)"
    r"|POST /notifications/policies/\{id\}/deliveries/\{deliveryId\}/retry"
    r"|(GET|PUT) /notifications/policies/\{id\}/delivery-settings)": "Operations of our own.",
    r"(POST|PUT|DELETE) .* \? dryRun: .*": "What asks for a write to be tried only.",
    r"POST .* = 200( (: type|(dryRun|result|events).*))?": "What a tried write answers that would create something.",
    r"GET /customers \? (q|updatedSince|customProperties|include).*": "More ways to find customers and to show them.",
    r"GET /customers = 200 items\[\]\.(contacts|aliases).*": "Only there where `include` asks for them.",
    r".* = 20[01] (items\[\]\.)?updatedAt: .*": "An added field of the newest version, for programs that synchronise.",
    r".* = 20[01] (\w+(\[\])?\.)*address\.(line1|town|postcode): (minLength|maxLength|pattern)": "What was "
    "stored has passed the limits of requests.",
    r".* = 20[01] (\w+(\[\])?\.)*address\.line2: maxLength": "As above.",
}

# What was published and is knowingly not said by us, as an expression over whole facts, and why.
OMISSIONS = {
    r".* /users(/\{id\})? = 200 (items\[\]\.)?roles\[\]: enum": "The published enum holds the JSON texts of the roles, "
    "which no object can be equal to; what they say is tested where roles are.",
    r"GET /notifications/policies = 404": "A list is there even when nothing is in it.",
}

METHODS = {"get", "put", "post", "patch", "delete"}
NOT_COMPARED = {"description", "example", "examples", "title", "default"}
STRUCTURE = {"$ref", "allOf", "properties", "required", "items", "additionalProperties"}


class Document:
    """One OpenAPI document as flat facts."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def operations(self, paths: list[str] | None) -> dict[str, dict[str, Any]]:
        return {
            f"{method.upper()} {path}": operation
            for path, item in self.content["paths"].items()
            if paths is None or path in paths
            for method, operation in item.items()
            if method in METHODS
        }

    def facts(self, operation: dict[str, Any]) -> Iterator[tuple[str, object]]:
        yield " operationId", operation["operationId"]
        for parameter in operation["parameters"]:
            where = {"query": "?"}.get(parameter["in"], parameter["in"])
            name = parameter["name"].lower() if where == "header" else parameter["name"]
            yield f" {where} {name}: required", parameter["required"]
            yield from self._schema(f" {where} {name}", parameter["schema"])
        if "requestBody" in operation:
            yield " body: required", operation["requestBody"]["required"]
            yield from self._schema(" body ", _json_schema(operation["requestBody"]))
        for status, answer in operation["responses"].items():
            yield f" = {status}", True
            if status.startswith("2"):
                yield from ((f" = {status} header {name}", True) for name in answer.get("headers", {}))
                yield from self._schema(f" = {status} ", _json_schema(answer))

    def _schema(self, where: str, schema: dict[str, Any]) -> Iterator[tuple[str, object]]:
        schema = self._resolved(schema)
        for keyword, value in schema.items():
            if keyword not in STRUCTURE | NOT_COMPARED:
                # That null is in the enumeration of what is nullable is how this dialect wants it written.
                yield f"{where}: {keyword}", sorted(set(value) - {None}) if keyword == "enum" else value
        for name in schema.get("required", ()):
            yield f"{where.removesuffix(' ')}{_joint(where)}{name}: required", True
        for name, field in schema.get("properties", {}).items():
            yield from self._schema(f"{where.removesuffix(' ')}{_joint(where)}{name}", field)
        if "items" in schema:
            yield from self._schema(f"{where}[]", schema["items"])
        if isinstance(schema.get("additionalProperties"), dict):
            yield from self._schema(f"{where}{{}}", schema["additionalProperties"])

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema or "allOf" in schema:
            (reference,) = schema.get("allOf", [schema])
            beside = {keyword: value for keyword, value in schema.items() if keyword not in {"$ref", "allOf"}}
            name = reference["$ref"].removeprefix("#/components/schemas/")
            schema = {**self.content["components"]["schemas"][name], **beside}
        return schema


def _joint(where: str) -> str:
    return " " if where.endswith(" ") else "."


def _json_schema(message: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body; where there are two, the second is what a write answers that is only tried."""
    schema = message["content"]["application/json"]["schema"]
    return schema.get("anyOf", [schema])[0]


def differences(
    published: dict[str, Any], ours: dict[str, Any], paths: list[str] | None
) -> tuple[list[str], list[str]]:
    """Say what contradicts the published document, and which facts are only ours."""
    expected, actual = Document(published), Document(ours)
    expected_operations, actual_operations = expected.operations(paths), actual.operations(None)
    contradictions = [f"{name} is missing" for name in expected_operations.keys() - actual_operations.keys()]
    additions = [f"operation {name}" for name in actual_operations.keys() - expected_operations.keys()]
    for name in expected_operations.keys() & actual_operations.keys():
        wanted = dict(expected.facts(expected_operations[name]))
        found = dict(actual.facts(actual_operations[name]))
        additions += [name + fact for fact in found.keys() - wanted.keys()]
        contradictions += [
            f"{name}{fact} is published as {value!r}, ours is {found.get(fact, 'missing')!r}"
            for fact, value in wanted.items()
            if found.get(fact) != value
        ]
    return sorted(contradictions), sorted(additions)


def published(date: str) -> dict[str, Any]:
    return json.loads((CONTRACT / f"{date}.json").read_bytes())


@needs_contract
@pytest.mark.parametrize("date", LIVE)
def test_everything_published_is_served_as_published(date: str) -> None:
    contradictions, _ = differences(published(date), document(LIVE[date]), PATHS)
    unknown = [each for each in contradictions if not any(_is_omission(pattern, each) for pattern in OMISSIONS)]
    assert not unknown, "\n".join(unknown)


@needs_contract
def test_the_list_of_omissions_is_not_longer_than_needed() -> None:
    found = [each for date in LIVE for each in differences(published(date), document(LIVE[date]), PATHS)[0]]
    unused = [pattern for pattern in OMISSIONS if not any(_is_omission(pattern, each) for each in found)]
    assert not unused, "\n".join(unused)


def _is_omission(pattern: str, contradiction: str) -> bool:
    return re.fullmatch(rf"{pattern} is published as .*, ours is 'missing'", contradiction) is not None


@needs_contract
@pytest.mark.parametrize("date", LIVE)
def test_what_is_only_ours_is_listed_with_a_reason(date: str) -> None:
    _, additions = differences(published(date), document(LIVE[date]), PATHS)
    unlisted = [fact for fact in additions if not any(re.fullmatch(pattern, fact) for pattern in ADDITIONS)]
    assert not unlisted, "\n".join(unlisted)


@needs_contract
def test_the_list_of_additions_is_not_longer_than_needed() -> None:
    additions = [fact for date in LIVE for fact in differences(published(date), document(LIVE[date]), PATHS)[1]]
    unused = [pattern for pattern in ADDITIONS if not any(re.fullmatch(pattern, fact) for fact in additions)]
    assert not unused, "\n".join(unused)


@needs_contract
def test_the_paths_to_compare_are_all_published() -> None:
    assert set(PATHS) <= {path for date in LIVE for path in published(date)["paths"]}


# --- That the comparison sees what it should, tried on copies of our own documents. ---


def _without_a_path(content: dict[str, Any]) -> None:
    del content["paths"]["/customers/{id}/aliases"]


def _with_another_verb(content: dict[str, Any]) -> None:
    item = content["paths"]["/customers/{id}/archive"]
    item["patch"] = item.pop("post")


def _with_another_operation_id(content: dict[str, Any]) -> None:
    content["paths"]["/customers"]["get"]["operationId"] = "listCustomers"


def _without_a_parameter(content: dict[str, Any]) -> None:
    del content["paths"]["/customers"]["get"]["parameters"][0]


def _with_a_required_parameter(content: dict[str, Any]) -> None:
    content["paths"]["/customers"]["get"]["parameters"][0]["required"] = True


def _with_a_parameter_of_another_type(content: dict[str, Any]) -> None:
    content["paths"]["/customers"]["get"]["parameters"][0]["schema"]["type"] = "integer"


def _with_another_success(content: dict[str, Any]) -> None:
    responses = content["paths"]["/customers"]["post"]["responses"]
    responses["200"] = responses.pop("201")


def _with_an_optional_body(content: dict[str, Any]) -> None:
    content["paths"]["/customers"]["post"]["requestBody"]["required"] = False


def _with_an_optional_field(content: dict[str, Any]) -> None:
    content["components"]["schemas"]["ContactRequest"]["required"].remove("email")


def _without_a_nested_field(content: dict[str, Any]) -> None:
    del content["components"]["schemas"]["NamedCustomer"]["properties"]["name"]


def _without_a_value(content: dict[str, Any]) -> None:
    content["components"]["schemas"]["Service"]["enum"].remove("Sphere")


def _with_another_value(content: dict[str, Any]) -> None:
    content["components"]["schemas"]["Address"]["properties"]["country"]["enum"].append("XX")


def _with_another_format(content: dict[str, Any]) -> None:
    content["components"]["schemas"]["Pagination"]["properties"]["totalResultSize"]["format"] = "int32"


def _with_values_of_another_type(content: dict[str, Any]) -> None:
    content["components"]["schemas"]["Customer"]["properties"]["customProperties"]["additionalProperties"] = {
        "type": "integer"
    }


def _with_a_list_of_another_type(content: dict[str, Any]) -> None:
    content["components"]["schemas"]["CustomerRequest"]["properties"]["customerAliases"]["items"]["type"] = "integer"


MUTATIONS = [mutation for name, mutation in list(globals().items()) if name.startswith(("_with_", "_without_"))]


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_the_comparison_sees_what_is_missing_or_different(mutate: Callable[[dict[str, Any]], None]) -> None:
    ours = document(LIVE["2024-07-30"])
    assert differences(ours, ours, None) == ([], [])
    changed = copy.deepcopy(ours)
    mutate(changed)
    contradictions, _ = differences(ours, changed, None)
    assert contradictions


def test_the_comparison_sees_what_is_added() -> None:
    ours = document(LIVE["2024-07-30"])
    changed = copy.deepcopy(ours)
    changed["paths"]["/customers"]["head"] = changed["paths"]["/customers"]["get"]
    changed["paths"]["/customers"]["patch"] = changed["paths"]["/customers"]["post"]
    changed["components"]["schemas"]["Address"]["properties"]["planet"] = {"type": "string"}
    changed["components"]["schemas"]["Address"]["required"].append("planet")
    contradictions, additions = differences(ours, changed, None)
    assert not contradictions
    assert "operation PATCH /customers" in additions
    assert "POST /customers body address.planet: type" in additions
    assert "POST /customers body address.planet: required" in additions
    assert "GET /customers = 200 items[].address.planet: type" in additions
