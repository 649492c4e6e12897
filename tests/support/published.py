"""The published documents, and whether an answer is one that they describe."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

SHARED = Path(__file__).parents[3] / "shared"
CONTRACT = SHARED / "contract"
UNIVERSITIES = SHARED / "data" / "universities.json"

# Fields that answers have beyond the published ones, by schema, and why.
ADDITIONS = {
    ("2024-07-30", "Customer"): {"updatedAt": "an added response field, which the published rules call compatible"},
    ("2024-07-30", "ListCustomerResponseModel"): {"updatedAt": "the same in lists"},
    **{
        ("2024-07-30", name): {"validation": "whether a tax number is well formed, an extension that refuses nothing"}
        for name in (
            "CreateTaxRegistrationEndpointProductCreateTaxRegistrationResponseModel",
            "DeleteTaxRegistrationEndpointProductDeleteTaxRegistrationResponseModel",
            "GetTaxRegistrationEndpointProductGetTaxRegistrationResponseModel",
            "GetTaxRegistrationForCustomerCustomerTaxRegistration",
            "GetTaxRegistrationForMerchantMerchantTaxRegistration",
            "ListTaxRegistrationEndpointProductListTaxRegistrationResponseModel",
            "UpdateTaxRegistrationEndpointProductUpdateTaxRegistrationResponseModel",
        )
    },
}


class Published:
    """One published document."""

    def __init__(self, version: str, document: dict[str, Any]) -> None:
        self.version = version
        self.document = document
        self._schemas = _strict(version, document)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """The description of one operation, by its published path such as `/customers/{id}`."""
        return self.document["paths"][path][method.lower()]

    def example(self, method: str, path: str) -> Any:  # noqa: ANN401 - any JSON
        """The published example request of this operation, a copy of it."""
        content = self.operation(method, path)["requestBody"]["content"]["application/json"]
        return copy.deepcopy(content["schema"]["example"])

    def success(self, method: str, path: str) -> int:
        """The published status of success."""
        return next(int(status) for status in self.operation(method, path)["responses"] if status < "300")

    def check(self, method: str, path: str, status: int, body: object) -> None:
        """Fail unless this body is one that the operation may answer with this status."""
        published = self.operation(method, path)["responses"][str(status)]["content"]["application/json"]["schema"]
        schema = _translated(published) | {"components": {"schemas": self._schemas}}
        # Formats are left alone: a date in a text is asserted where a test is about it.
        jsonschema.Draft202012Validator(schema).validate(body)


@cache
def published(version: str) -> Published:
    """The published document of this version; the test is skipped where the documents are not at hand."""
    path = CONTRACT / f"{version}.json"
    if not path.exists():
        pytest.skip(
            f"The published document {path} is not there; it is data to test against and not part of this repository."
        )
    return Published(version, json.loads(path.read_text(encoding="utf-8")))


def _strict(version: str, document: dict[str, Any]) -> dict[str, Any]:
    """The schemas, each refusing fields that it does not name: an answer has none that nobody published."""
    schemas: dict[str, Any] = {}
    for name, schema in document["components"]["schemas"].items():
        translated = _translated(schema)
        for addition in ADDITIONS.get((version, name), {}):
            assert addition not in translated["properties"], f"{addition} is published and no addition"
            translated["properties"][addition] = {}
        schemas[name] = translated
    return schemas


def _translated(schema: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """The JSON Schema of an OpenAPI 3.0 one: `nullable` becomes a type, what stands beside a `$ref` does not count."""
    if isinstance(schema, list):
        return [_translated(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        translated: dict[str, Any] = {"$ref": schema["$ref"]}
    else:
        skipped = {"nullable", "example", "examples", "description", "format", "enum"}
        translated = {key: _translated_part(key, part) for key, part in schema.items() if key not in skipped}
        if "enum" in schema:
            # A role is published as an object whose enum holds the JSON texts of what it can be.
            is_object = schema.get("type") == "object"
            translated["enum"] = [json.loads(text) for text in schema["enum"]] if is_object else schema["enum"]
        if "properties" in schema:
            translated.setdefault("additionalProperties", False)
    return {"anyOf": [translated, {"type": "null"}]} if schema.get("nullable") else translated


def _translated_part(key: str, part: Any) -> Any:  # noqa: ANN401 - any part of a schema
    if key == "properties":
        return {name: _translated(schema) for name, schema in part.items()}
    return _translated(part)
