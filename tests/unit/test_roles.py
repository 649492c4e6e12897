"""Roles permit exactly what was published."""

import json
from collections.abc import Callable

import msgspec
import pytest
from tests.support.clients import NEWEST
from tests.support.published import Published

from customary.api.versions.v2024_07_30.users import ROLES
from customary.domain.user import PERMISSIONS, Role


def test_the_roles_are_the_published_ones_to_the_letter(published: Callable[[str], Published]) -> None:
    texts = published(NEWEST).document["components"]["schemas"]["Role"]["enum"]
    assert [json.loads(text) for text in texts] == [msgspec.to_builtins(ROLES[role]) for role in Role]


@pytest.mark.parametrize("role", Role)
def test_no_role_permits_a_thing_twice_or_nothing(role: Role) -> None:
    resources = [each.resource for each in PERMISSIONS[role]]
    assert len(set(resources)) == len(resources) == 15
    for each in PERMISSIONS[role]:
        assert each.actions
        assert len(set(each.actions)) == len(each.actions)


def test_who_may_only_read_may_only_read() -> None:
    assert {action for each in PERMISSIONS[Role.READ_ONLY_USER] for action in each.actions} == {"read"}


@pytest.mark.parametrize("role", Role)
def test_an_admin_may_do_what_anybody_may(role: Role) -> None:
    admin = {each.resource: set(each.actions) for each in PERMISSIONS[Role.ADMIN]}
    assert all(set(each.actions) <= admin[each.resource] for each in PERMISSIONS[role])
