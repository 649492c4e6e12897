"""The API as published on 2024-07-30."""

from customary.api.version import Version
from customary.api.versions.v2024_07_30 import aliases, customers

VERSION = Version("2024-07-30", (*customers.ROUTES.endpoints, *aliases.ROUTES.endpoints), has_extensions=True)
