"""The application as a server runs it, but for one thing: a key that was found right is looked up again each time."""

from customary.app import Application
from customary.settings import from_environment
from customary.storage.secret_keys import parse


def create() -> Application:
    """What the server calls in each of its processes."""
    settings = from_environment()
    assert settings.database_url is not None  # noqa: S101 - whoever starts the server sets it
    keys = parse(settings.secret_keys or "")
    return Application(settings.database_url, settings.pool_size, keys=keys, remembered_seconds=0)
