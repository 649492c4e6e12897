"""Organisations: who may own one, who may belong to it, and what a request to change one must not ask for."""

from collections.abc import Collection, Container, Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from customary.domain.values import parse_id
from customary.errors import Conflict, Invalid, Problem

MAXIMUM_IDS = 10_000
_NAMED_IN_MESSAGES = 5


class Candidate(Struct, frozen=True):
    """A customer as a request names it: the words, and the key that they stand under."""

    key: str
    text: str

    @property
    def id(self) -> UUID | None:
        """The customer's id; None where the words are no id at all."""
        return parse_id(self.text)


class Known(Struct, frozen=True):
    """What of a customer matters for belonging to an organisation."""

    name: str
    is_archived: bool


def require_possible(
    owner_id: UUID | None,
    candidates: Sequence[Candidate],
    known: Mapping[UUID, Known],
    *,
    above: Container[UUID],
    own_key: str | None = None,
) -> None:
    """Raise `Invalid` for every candidate that is unknown, is the owner itself, or is among those `above` the owner.

    `own_key` is where the request names the owner, if it does: that one may be the owner.
    """
    problems: list[Problem] = []
    for candidate in candidates:
        if candidate.id is None or candidate.id not in known:
            message = f"There is no customer '{candidate.text}' in this account."
            problems.append(Problem(candidate.key, "unknownCustomer", message))
        elif candidate.key == own_key:
            continue
        elif candidate.id == owner_id:
            message = "The owner of an organisation cannot be a member of it as well."
            problems.append(Problem(candidate.key, "ownMember", message))
        elif candidate.id in above:
            message = f"Customer {candidate.id} is above the owner already: that would make a circle of parents."
            problems.append(Problem(candidate.key, "circle", message))
    if problems:
        raise Invalid(_sentence(problems), tuple(problems))


def require_writable(candidates: Sequence[Candidate], known: Mapping[UUID, Known]) -> None:
    """Raise `Conflict` for every candidate that is archived."""
    problems = tuple(
        Problem(each.key, "archived", f"Customer {each.id} ('{known[each.id].name}') is archived.")
        for each in candidates
        if each.id is not None and known[each.id].is_archived
    )
    if problems:
        raise Conflict(_sentence(problems), problems)


def _sentence(problems: Collection[Problem]) -> str:
    """What is wrong in words; the first few only, because a request can name thousands of customers."""
    messages = list(dict.fromkeys(problem.message for problem in problems))
    more = len(messages) - _NAMED_IN_MESSAGES
    return " ".join([*messages[:_NAMED_IN_MESSAGES], *([f"And {more} more." if more > 0 else ""])]).strip()
