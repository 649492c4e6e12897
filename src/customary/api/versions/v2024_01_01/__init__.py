"""The API as published on 2024-01-01."""

from customary.api.version import Version
from customary.api.versions.v2024_01_01 import aliases, customers

VERSION = Version("2024-01-01", (*customers.ROUTES.endpoints, *aliases.ROUTES.endpoints))
