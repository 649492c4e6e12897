"""The HTTP server with less patience for bodies than it has, so that a test need not wait as long as a client may.

Arguments: the port, how long it waits for each next piece of a body, and for all of it. Everything else is as
`customary serve` has it, with the database that the environment names.
"""

import os
import sys

from tests.support.keys import KEYS

from customary import server
from customary.api.intake import Patience
from customary.app import Application
from customary.settings import Settings

_PAUSE, _TOTAL = "TEST_PAUSE_SECONDS", "TEST_TOTAL_SECONDS"  # for the worker process, which gets no arguments


def create() -> Application:
    """What a worker process serves."""
    patience = Patience(pause_seconds=float(os.environ[_PAUSE]), total_seconds=float(os.environ[_TOTAL]))
    return Application(os.environ["CUSTOMARY_DATABASE_URL"], 4, keys=KEYS, patience=patience)


def main() -> None:
    """Serve until a signal ends it."""
    port, os.environ[_PAUSE], os.environ[_TOTAL] = sys.argv[1:]
    server.make_http_server(Settings(port=int(port)), f"{__package__}.impatient_server:create").serve()


if __name__ == "__main__":
    main()
