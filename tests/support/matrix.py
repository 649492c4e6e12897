"""Tries operations with things of another account: every place where a text goes, and all that the other owns.

What the places are is read from the documents that are served, and what another account owns from its own answers, so
a new operation or a new parameter is tried without being named here. One that nothing of the account's own makes a
difference to fails: nobody could tell then whether a foreign thing was looked up at all.
"""

import re
from collections.abc import Callable, Iterable

from msgspec import Struct
from tests.support.asgi import Answer
from tests.support.estates import MISSING_ID, UUIDS, Estate
from tests.support.places import Draft, Place, draft, places

from customary.api.endpoint import Endpoint
from customary.api.version import Version
from customary.app import Application

# Places that name nothing of an account, by the parameter.
NAMES_NOTHING = {
    "sortBy": "a field to sort by",
    "sortOrder": "one of two orders; the published document says only that it is a text",
    "type": "a published notification type; the older documents do not list them",
}
# Lists that never have another page, so that there is no cursor to try.
ONE_PAGE = {"/sequence-accounts": "the account itself"}
A_TYPE = "CUSTOMER_CREATED"
# What a field of a body that is no id is tried with: one thing of each form.
FORMS = ("customer id", "alias value", "contact email", "policy recipients", "tax of customer taxIdentifier")
# Other ways to write what fits a place.
SPELLINGS: tuple[Callable[[str], str], ...] = (
    str.upper,
    "{{{}}}".format,
    "urn:uuid:{}".format,
    " {} ".format,
    "{}' OR '1'='1".format,
    "../customers/{}".format,
)
_TIMES = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z")
_COUNTED = {"x-request-id", "ratelimit"}
# A success shows new ids and times, so what stands for its bytes differs with them.
_OF_CONTENT = {"etag", "content-length"}
_REFUSED = 300
_UNKNOWN_TAG = b'"%032x"' % 0
_REPLAYED = "idempotent-replayed"


class Visible(Struct, frozen=True):
    """All of an answer that must not depend on whose a thing is."""

    status: int
    headers: dict[str, str]
    body: str


def visible(answer: Answer, sent: Iterable[str]) -> Visible:
    """All of an answer, with what was sent replaced; of a success also what it made anew."""
    is_success = answer.status < _REFUSED
    left_out = _COUNTED | (_OF_CONTENT if is_success else set[str]())
    headers = {name: value for name, value in answer.headers.items() if name not in left_out}
    body = answer.body.decode()
    for text in sent:
        body = body.replace(text, "<sent>")
    if is_success:
        body = _TIMES.sub("<time>", UUIDS.sub("<id>", body))
    return Visible(answer.status, headers, body)


class Fitted(Struct, frozen=True):
    """A request that speaks of the account's own things, and what each place of it was given: a name in the estate."""

    request: Draft
    names: dict[str, tuple[Place, str]]

    def of(self, values: dict[str, str]) -> tuple[Draft, list[str]]:
        """The same request with these values for the names, and the values that it has."""
        request = self.request
        for place, name in self.names.values():
            request = request.at(place, values[name])
        return request, [values[name] for _, name in self.names.values()]


class Matrix:
    """The operations of one version, tried by one account with the things of another."""

    def __init__(self, app: Application, version: Version, own: Estate, foe: Estate, *, is_brief: bool = False) -> None:
        """A brief one tries what fits a place and one thing of each form, and not everything everywhere."""
        self._app, self._version, self._own, self._foe, self._is_brief = app, version, own, foe, is_brief
        self._missing = {name: foe.missing(name) for name in foe.everything}
        self._known: dict[str, str] = {}  # what of the account's own fits a place, by the place's name

    @property
    def endpoints(self) -> list[Endpoint]:
        """The operations, those with fewer parameters first: what fits a part of a path is learned from them."""
        return sorted(self._version.endpoints, key=lambda each: (each.path.count("{"), not each.is_read))

    async def examine(self, endpoint: Endpoint) -> None:
        """Try every place of this operation with everything that is foreign, and all of its path at once."""
        fitted = await self.fit(endpoint)
        for place in places(self._version.date, endpoint):
            if place.name not in NAMES_NOTHING:
                await self._examine_place(fitted.request, place)
        theirs, sent = fitted.of(self._foe.everything)
        missing, sent_missing = fitted.of(self._missing)
        await self._compare(theirs, sent, await self._ask(missing, sent_missing))

    async def tags(self) -> dict[str, bytes]:
        """The other account's entity tags, by the path under which a GET shows them.

        A tag stands for the bytes alone: where they have no id in them, both accounts have the same one.
        """
        found: dict[str, bytes] = {}
        for endpoint in self.endpoints:
            if endpoint.is_read and endpoint.is_single and "{" in endpoint.path:
                fitted = await self.fit(endpoint)
                theirs = await fitted.of(self._foe.everything)[0].send(self._app, self._foe.account)
                ours = await self._try(fitted.request)
                if theirs.headers["etag"] != ours.headers["etag"]:
                    found[endpoint.path] = theirs.headers["etag"].encode()
        return found

    async def examine_tag(self, endpoint: Endpoint, header: bytes, tag: bytes) -> None:
        """Try another account's tag on the thing that it stands for, and on an own thing."""
        fitted = await self.fit(endpoint)
        theirs, sent = fitted.of(self._foe.everything)
        missing, sent_missing = fitted.of(self._missing)
        expected = visible(await self._try(missing, headers=[(header, tag)]), sent_missing)
        assert visible(await self._try(theirs, headers=[(header, tag)]), sent) == expected
        own = visible(await self._try(fitted.request, headers=[(header, _UNKNOWN_TAG)]), ())
        assert own.status == (200 if endpoint.is_read else 412)
        assert visible(await self._try(fitted.request, headers=[(header, tag)]), ()) == own

    async def examine_key(self, endpoint: Endpoint, number: int) -> None:
        """Let the other account make a request under a key, and then this one the same under the same key."""
        request, _ = (await self.fit(endpoint)).of(self._missing)
        key = [(b"idempotency-key", b"shared-%d" % number)]
        theirs, ours, again = [
            await request.send(self._app, estate.account, headers=key) for estate in (self._foe, self._own, self._own)
        ]
        told = f"{endpoint.method} {endpoint.path}"
        assert _without_ids(ours) == _without_ids(theirs), told
        assert _REPLAYED not in ours.headers, told
        assert self._foe.crossings(ours.body) == [], told
        assert again.body == ours.body, told

    async def fit(self, endpoint: Endpoint) -> Fitted:
        """A request of the account's own."""
        request, names = draft(self._version.date, endpoint), dict[str, tuple[Place, str]]()
        needed = [place for place in places(self._version.date, endpoint) if _is_needed(place)]
        for place in needed:
            if place.where == "path":
                request = request.at(place, A_TYPE if place.name == "type" else MISSING_ID)
        for _ in range(2):  # which of two wrong ids is told first does not matter then
            for place in needed:
                name = None if place.name in NAMES_NOTHING else await self._fitting(request, place)
                if name is not None:
                    request, names[place.label] = request.at(place, self._own.everything[name]), (place, name)
        return Fitted(request, names)

    async def _fitting(self, request: Draft, place: Place) -> str | None:
        """What of the account's own makes a difference in this place, best a success."""
        key = _key(request, place)
        known, found = self._known.get(key), None
        answers: dict[str, Visible] = {}
        others = (name for name in self._own.everything if name.startswith("another"))
        candidates = [*([known] if known else []), *self._fit_for(place), *others]
        for name in dict.fromkeys(candidates):
            answer = await self._ask(request.at(place, self._own.everything[name]), [self._own.everything[name]])
            if answer != await self._answer_to_missing(request, place, name, answers):
                found = found or name
                if answer.status < _REFUSED or (name == known and place.where == "path"):
                    found = name
                    break
        if found is not None:
            self._known[key] = found
        return found

    async def _answer_to_missing(self, request: Draft, place: Place, name: str, answers: dict[str, Visible]) -> Visible:
        """The answer to what looks like this and is nobody's, asked for once for each form."""
        missing = self._missing[name]
        form = "an id" if name in self._foe.ids else "a cursor" if name in self._foe.cursors else missing
        if form not in answers:
            answers[form] = await self._ask(request.at(place, missing), [missing])
        return answers[form]

    def _fit_for(self, place: Place) -> Iterable[str]:
        """What a place is tried with; a field that is no id is tried with one thing of each form."""
        foe = self._foe
        if place.where == "body" and not place.is_id:
            return FORMS
        names = foe.everything if place.where == "query" else (*foe.ids, *FORMS)
        return [name for name in names if not name.startswith("another")]

    async def _examine_place(self, request: Draft, place: Place) -> None:
        names = list(self._fit_for(place))
        if (place.is_id or place.where != "body") and request.endpoint.path not in ONE_PAGE:
            fitting = await self._fitting(request, place)
            assert fitting is not None, f"nothing own makes a difference: {_told(request, place)}"
            await self._examine_spellings(request, place, fitting)
            names = [fitting, *FORMS] if self._is_brief else names
        answers: dict[str, Visible] = {}
        for name in names:
            theirs = self._foe.everything[name]
            missing = await self._answer_to_missing(request, place, name, answers)
            await self._compare(request.at(place, theirs), [theirs], missing)

    async def _examine_spellings(self, request: Draft, place: Place, name: str) -> None:
        theirs, missing = self._foe.everything[name], self._missing[name]
        for spelling in SPELLINGS:
            expected = await self._ask(request.at(place, spelling(missing)), [spelling(missing), missing])
            await self._compare(request.at(place, spelling(theirs)), [spelling(theirs), theirs], expected)

    async def _ask(self, request: Draft, sent: Iterable[str] = ()) -> Visible:
        """What is visible of the answer; nothing is changed, whatever it is."""
        return visible(await self._try(request), sent)

    async def _try(
        self, request: Draft, *, is_earnest: bool = False, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> Answer:
        is_dry_run = not (is_earnest or request.endpoint.is_read)
        return await request.send(self._app, self._own.account, is_dry_run=is_dry_run, headers=headers)

    async def _compare(self, request: Draft, sent: list[str], missing: Visible) -> None:
        # What is refused is asked for in earnest: nothing may be stored then, in neither account.
        answer = await self._try(request, is_earnest=missing.status >= _REFUSED)
        told = f"{request.endpoint.method} {request.endpoint.path} {sent}"
        assert visible(answer, sent) == missing, told
        assert self._foe.crossings(answer.body, sent) == [], told


def _key(request: Draft, place: Place) -> str:
    """One for all paths that begin alike, and one for all fields and parameters of a name."""
    if place.where != "path":
        return place.name
    return request.endpoint.path.partition(f"{{{place.name}}}")[0] + place.name


def _is_needed(place: Place) -> bool:
    return place.where == "path" or (place.is_required and place.is_id)


def _without_ids(answer: Answer) -> Visible:
    return visible(answer, UUIDS.findall(answer.body.decode()))


def _told(request: Draft, place: Place) -> str:
    return f"{request.version} {request.endpoint.method} {request.endpoint.path}, {place.label}"
