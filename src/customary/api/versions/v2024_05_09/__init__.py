"""The API as published on 2024-05-09."""

from customary.api.version import Version
from customary.api.versions.v2024_05_09 import aliases, customers

VERSION = Version("2024-05-09", (*customers.ROUTES.endpoints, *aliases.ROUTES.endpoints))
