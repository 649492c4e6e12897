"""What `?dryRun=true` answers, for the documents: the parameter, and the schema around an endpoint's own answer."""

from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]

PARAMETER: JsonObject = {
    "name": "dryRun",
    "in": "query",
    "description": (
        "With true, the request is checked and tried in full and nothing of it is stored: the answer says what would"
        " be, and which events would follow."
    ),
    "required": False,
    "schema": {"type": "boolean"},
}
STATUS = "200"
DESCRIPTION = "With `dryRun=true`: what would be stored and which events would follow."

_EVENT: JsonObject = {
    "type": "object",
    "required": ["notificationType", "resourceType", "resourceId"],
    "properties": {
        "notificationType": {"type": "string", "description": "What would be told of, such as CUSTOMER_UPDATED."},
        "resourceType": {"type": "string", "enum": ["CUSTOMER"]},
        "resourceId": {"type": "string", "description": "The customer; one that does not exist yet gets another id."},
    },
}


def schema(answer: JsonObject) -> JsonObject:
    """The schema of a dry run of an endpoint that answers by this schema."""
    return {
        "type": "object",
        "required": ["dryRun", "result", "events"],
        "properties": {
            "dryRun": {"type": "boolean", "description": "Always true."},
            "result": answer,
            "events": {"type": "array", "items": _EVENT, "description": "The events that would follow, in order."},
        },
    }


def added_to(responses: JsonObject, answer: JsonObject, headers: JsonObject) -> None:
    """Add what a dry run answers to the responses of a write, whose own answer has this content."""
    described = schema(answer["schema"])
    if STATUS in responses:
        own = responses[STATUS]["content"]["application/json"]
        responses[STATUS]["content"] = {"application/json": {**own, "schema": {"anyOf": [own["schema"], described]}}}
        return
    example: JsonObject = {"dryRun": True, "result": answer["example"], "events": []}
    responses[STATUS] = {
        "description": DESCRIPTION,
        "headers": headers,
        "content": {"application/json": {"schema": described, "example": example}},
    }
