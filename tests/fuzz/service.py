"""A service to fuzz: the real program on a port of its own, with an account, a key and users for each version."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from tests.faults.support import new_data_dir, serving, succeeded
from tests.fuzz.campaign import Target

from customary.api.versions import LIVE

# Policies by e-mail are part of what is fuzzed, so there is a mail server by name; nobody listens there.
MAIL = {"CUSTOMARY_SMTP_URL": "smtp://127.0.0.1:9", "CUSTOMARY_MAIL_FROM": "customary@example.com"}


@contextmanager
def targets(*versions: str, users: int) -> Generator[Mapping[str, Target]]:
    """The served document of each of these versions, all of them without any, while the service runs.

    A version has an account to itself, so that what one campaign finds does not depend on another; its key is pinned to
    the version, as a request may leave the header out. `users` is how many people each account lets in. No worker runs:
    the recipients are made up, and nobody is to be called.
    """
    with new_data_dir() as data_dir, serving(data_dir, "--no-worker", given=MAIL) as service:
        place = ("--data-dir", str(data_dir))
        made: dict[str, Target] = {}
        for version in versions or LIVE:
            succeeded("accounts", "create", version, *place)
            for number in range(users):
                email = f"{version}.{number}@example.com"
                succeeded("users", "create", email, "--account", version, "--role", "admin", *place)
            limit = ("--requests-per-minute", "1000000")
            printed = succeeded("keys", "create", "--account", version, "--pin", version, *limit, "--json", *place)
            key = json.loads(printed)
            made[version] = Target(
                f"{service.url}/api/openapi/{version}.json", f"{key['clientId']}:{key['clientSecret']}"
            )
        yield made
