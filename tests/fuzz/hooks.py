"""What schemathesis is told about this service on top of the served document. It loads this module by itself.

Nothing here hides an answer: requests are made more telling, and an alarm about an invalid request is put down only
when what went over the wire was valid by the document that is served.
"""

import base64
import copy
import itertools
import json
import os
import re
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

import schemathesis
from requests import PreparedRequest
from requests.structures import CaseInsensitiveDict
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.generation.meta import REQUEST_SHAPE_PROBES, CaseMetadata, TestPhase, coverage_scenario
from schemathesis.hooks import HookContext
from schemathesis.openapi.checks import UseAfterFree
from tests.fuzz.completion import Known, chance, complete_body, complete_query
from tests.fuzz.contract import Contract, Sent

Json: TypeAlias = Any

# Set by the campaign: the key that schemathesis sends, as `client id:secret`.
CREDENTIALS = os.environ["FUZZ_CREDENTIALS"]
_RIGHT = "Basic " + base64.b64encode(CREDENTIALS.encode()).decode()
_NEARLY_RIGHT = "Basic " + base64.b64encode(f"{CREDENTIALS.partition(':')[0]}:wrong".encode()).decode()
# Set to keep a run short.
IS_BRIEF = "FUZZ_BRIEF" in os.environ
_BRIEF_VALUES = 3
_BRIEF_PATH = "/customers"
_SAME_EVERYWHERE = {"Sequence-Version", "X-Request-Id", "Idempotency-Key"}
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What DELETE only archives, as the rules say: it can be read afterwards.
_ARCHIVING = {"DELETE /customers/{id}"}
# What every server of HTTP reads (RFC 9110, 4.1).
_LARGE_BYTES = 8000
_numbers = itertools.count()
# Where the campaign reads which operations succeeded, by verb and path, and which did so where a link led to, by id:
# files in the directory that it runs in. Schemathesis counts no walks, and some things can only be reached by walking.
SUCCEEDED = Path("succeeded.txt")
FOLLOWED = Path("followed.txt")
_noted: set[str] = set()


class _Served:
    """The document as it is served, once it is loaded: to judge requests by, and to follow its links."""

    contract: Contract
    known: Known


@schemathesis.hook
def before_load_schema(context: HookContext, raw_schema: Json) -> None:
    """Keep the document as it was served."""
    document = copy.deepcopy(raw_schema)
    _Served.contract, _Served.known = Contract(document), Known(document)
    if IS_BRIEF:
        _shorten(raw_schema)


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Let a case without the right credentials go out as it was made; complete what is meant to be valid."""
    for name, value in list((case.headers or {}).items()):
        # HTTP allows no control characters here, and the HTTP server refuses them before there is a request.
        if isinstance(value, str) and _CONTROLS.search(value):
            case.headers[name] = _CONTROLS.sub("", value)
    if _is_about_credentials(case):
        kwargs["auth"] = _as_it_is
        if chance(case.path, case.query, case.body) % 2:
            # Nobody makes up the id of a key that exists, so half of them have the right one and another secret.
            case.headers["Authorization"] = _NEARLY_RIGHT
    if case.meta is not None and coverage_scenario(case) not in REQUEST_SHAPE_PROBES:
        _complete(case, case.meta)


@schemathesis.hook
def after_call(context: HookContext, case: Case, response: Response) -> None:
    """Remember what the answer leads to, and write down what succeeded, and where a walk followed a link with success.

    What succeeded although it was meant to be refused does not count.
    """
    if not 200 <= response.status_code < 300:
        return
    if case.meta is not None and case.meta.generation.mode.is_positive:
        _note(SUCCEEDED, f"{case.method} {case.path}")
    operation_id = case.operation.definition.raw["operationId"]
    is_walking = case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL
    if is_walking and _Served.known.leads_to(operation_id, case.path_parameters):
        _note(FOLLOWED, operation_id)
    answer = json.loads(response.content or b"null")
    _Served.known.learn((case.path, case.method, response.status_code), case.path_parameters, case.body, answer)


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Whether an alarm counts.

    One about an accepted request does if that was invalid when it was sent; one about what can still be read after it
    was deleted does unless DELETE archives it.
    """
    if isinstance(failure, AcceptedNegativeData):
        return bool(_Served.contract.faults(case.path, _sent(response)))
    return not (isinstance(failure, UseAfterFree) and failure.operation in _ARCHIVING)


@schemathesis.check
def refuses_strangers(ctx: schemathesis.CheckContext, response: Response, case: Case) -> None:
    """Whoever comes without the right credentials gets 401, unless the request is refused before anybody reads them.

    That is so for a version that does not exist, for a head that is too large, and for one wrong secret too many.
    """
    if response.request.headers.get("Authorization") == _RIGHT or response.status_code == 401:
        return
    is_version = response.status_code == 400 and b'"UnrecognisedApiVersion"' in response.content
    is_head = response.status_code in {414, 431} and _is_large(response.request)
    is_put_off = response.status_code == 429 and b"wrong secrets" in response.content
    assert is_version or is_head or is_put_off, (
        f"without the right credentials the answer is {response.status_code} instead of 401"
    )


def _is_large(request: PreparedRequest) -> bool:
    """Whether nobody can expect that the head of this request is read to its end."""
    headers = sum(len(name) + len(value) for name, value in request.headers.items())
    return len(request.path_url) > _LARGE_BYTES or headers > _LARGE_BYTES


def _note(path: Path, name: str) -> None:
    """Write a name down once, at the moment: a run that is broken off has noted what it did."""
    line = f"{name}\n"
    if f"{path} {line}" not in _noted:
        _noted.add(f"{path} {line}")
        with path.open("a", encoding="utf-8") as file:
            file.write(line)


def _shorten(document: Json) -> None:
    """Leave the first values of what requests choose from, and headers that are the same everywhere in one place.

    Answers keep all their values, so what requests share with them is copied first.
    """
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                content["schema"] = _shortened(content["schema"], document)
            operation["parameters"] = [
                {**each, "schema": _shortened(each["schema"], document)}
                for each in operation["parameters"]
                if path == _BRIEF_PATH or each["name"] not in _SAME_EVERYWHERE
            ]


def _shortened(schema: Json, document: Json) -> Json:
    if isinstance(schema, list):
        return [_shortened(part, document) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _shortened(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    return {key: part[:_BRIEF_VALUES] if key == "enum" else _shortened(part, document) for key, part in schema.items()}


def _is_about_credentials(case: Case) -> bool:
    """Whether a case was made to have no credentials, or wrong ones."""
    if (
        case.meta is None
        or not case.meta.generation.mode.is_negative
        or coverage_scenario(case) in REQUEST_SHAPE_PROBES
    ):
        return False
    about = case.meta.phase.data
    named = {about.parameter, *(mutation.parameter for mutation in about.mutations)}
    return "Authorization" in named or "Authorization" not in (case.headers or CaseInsensitiveDict[str]())


def _complete(case: Case, meta: CaseMetadata) -> None:
    """Put what exists and what holds into those parts of a case that are meant to be valid."""
    number = chance(case.path, case.path_parameters, case.query, case.body)
    # A case that is invalid in one place is made sound everywhere else: it must not be refused for another reason.
    is_complete = meta.generation.mode.is_negative or number % 8
    if not meta.is_negative_at(ParameterLocation.HEADER):
        # A made-up key is soon made up again, and a made-up tag is never the right one.
        if is_complete and "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = f"fuzz-{next(_numbers)}"
        if is_complete and "If-Match" in case.headers:
            case.headers["If-Match"] = "*"
    is_walking = meta.phase.name is TestPhase.STATEFUL  # then a link has said which thing is meant
    if is_walking and case.method == "DELETE" and case.query:
        case.query.pop("dryRun", None)  # schemathesis would take what was only tried for deleted
    if not is_complete:
        return
    if case.path_parameters and not meta.is_negative_at(ParameterLocation.PATH) and not is_walking:
        found = _Served.known.path(case.operation.definition.raw["operationId"], number // 8)
        case.path_parameters.update({name: quote(value, safe="") for name, value in (found or {}).items()})
    if case.query and not meta.is_negative_at(ParameterLocation.QUERY):
        complete_query(case.query)
    if isinstance(case.body, dict) and not meta.is_negative_at(ParameterLocation.BODY):
        found = _Served.known.recipient(number // 8)
        if "recipient" in case.body and found and not meta.is_negative_at(ParameterLocation.PATH):
            # A recipient is one of a policy, so both have to come from the same answer.
            case.path_parameters["id"], case.body["recipient"] = found["id"], found["recipient"]
        case.body = complete_body(case.body, _Served.known, lambda: f"alias-{next(_numbers)}")


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


def _sent(response: Response) -> Sent:
    request = response.request
    body = request.body
    return Sent(
        method=str(request.method),
        url=str(request.url),
        headers={name.lower(): _text(value) for name, value in request.headers.items()},
        body=body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else None,
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
