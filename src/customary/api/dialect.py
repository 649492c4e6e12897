"""From the JSON Schema 2020-12 that msgspec writes to the dialect of OpenAPI 3.0.3."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]

REF = "#/components/schemas/"


def component_names(raw: JsonObject) -> dict[str, str]:
    """The public name of each type. Two types of one name come with their modules, which then tell them apart."""
    names: dict[str, str] = {}
    for key in raw:
        *modules, name = key.split(".")
        public = (modules[-1].title().replace("_", "") if modules else "") + name.removesuffix("Body")
        if public in names.values():
            message = f"Two components would be called {public}; rename {key}."
            raise ValueError(message)
        names[key] = public
    return names


def translated(schema: JsonObject, names: dict[str, str]) -> JsonObject:
    """This schema in the dialect of OpenAPI 3.0: no title, one example, nullable instead of a null type."""
    result: JsonObject = {}
    for keyword, value in schema.items():
        match keyword:
            case "title" | "propertyNames":
                pass
            case "$ref":
                result["$ref"] = REF + names[value]
            case "description":
                result["description"] = sentences(value)
            case "examples":
                result["example"] = value[0]
            case "const":
                result["enum"] = [value]
            case "properties":
                result["properties"] = {name: translated(field, names) for name, field in value.items()}
            case "anyOf" | "allOf" | "oneOf":
                result[keyword] = [translated(each, names) for each in value]
            case "items" | "additionalProperties" if not isinstance(value, bool):
                result[keyword] = translated(value, names)
            case _:
                result[keyword] = value
    return _mended(result)


def _mended(schema: JsonObject) -> JsonObject:
    if "enum" in schema and all(isinstance(value, str) for value in schema["enum"]):
        schema.setdefault("type", "string")
    if not schema.get("required", True):
        del schema["required"]
    null = {"type": "null"}
    if null in schema.get("anyOf", ()):
        choices = [choice for choice in schema.pop("anyOf") if choice != null]
        schema |= {"nullable": True} | (choices[0] if len(choices) == 1 else {"anyOf": choices})
        if "enum" in schema:
            # In this dialect `nullable` widens only the type: an enumeration without null forbids it (3.0.3, 4.7.24.2).
            schema["enum"] = [*schema["enum"], None]
    if "$ref" in schema and len(schema) > 1:
        # What stands beside a reference is ignored in this dialect.
        schema = {**schema, "allOf": [{"$ref": schema["$ref"]}]}
        del schema["$ref"]
    return schema


def sentences(text: str) -> str:
    """This text on one line."""
    return " ".join(text.split())
