"""A pgbouncer in front of a PostgreSQL, in each of its modes."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest
from msgspec import Struct
from tests.faults.support import free_port, until
from tests.faults.support_postgresql import Server, unprivileged

from customary.storage.embedded_processes import spawn

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
NEEDED = pytest.mark.skipif(PROGRAM is None, reason="needs the Debian package pgbouncer")
# Our start-up parameters, as an operator lists them who wants the proxy to let them pass: it then drops them.
IGNORED = "search_path,role,jit,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,options"


class Proxy(Struct):
    """A running pgbouncer. `url` is the one of the database, by way of it."""

    url: str
    _configuration: Path
    _settings: dict[str, str]
    _process: "subprocess.Popen[bytes]"

    def change(self, **settings: str) -> None:
        """Give it other settings while it runs, as an operator does."""
        self._settings.update(settings)
        self._configuration.write_text(_text(self._settings))
        self._process.send_signal(signal.SIGHUP)


@contextmanager
def proxied(server: Server, url: str, **settings: str) -> Generator[Proxy]:
    """A pgbouncer in front of this database of the server, with these settings of its own."""
    assert PROGRAM is not None
    user, port, where = unprivileged(), free_port(), urlsplit(url)
    login = f"user={where.username} password='{unquote(where.password or '')}'"
    with tempfile.TemporaryDirectory(prefix="customary-pgbouncer-") as parent:
        Path(parent).chmod(0o755)
        configuration = Path(parent) / "pgbouncer.ini"
        given = {
            "databases": f"{where.path[1:]} = host=127.0.0.1 port={server.port} {login}",
            "listen_addr": "127.0.0.1",
            "listen_port": str(port),
            "unix_socket_dir": "",
            "auth_type": "any",
            **settings,
        }
        configuration.write_text(_text(given))
        with (Path(parent) / "log").open("wb") as output:
            process = spawn(
                [PROGRAM, configuration],
                user=user,
                directory=Path(parent),
                death_signal=signal.SIGKILL,
                output=output,
            )
        try:
            until(lambda: _listens(process, port, Path(parent) / "log"))
            yield Proxy(urlunsplit(where._replace(netloc=f"anybody@127.0.0.1:{port}")), configuration, given, process)
        finally:
            process.kill()
            process.wait(10)


def _text(settings: dict[str, str]) -> str:
    lines = [f"{name} = {value}" for name, value in settings.items() if name != "databases"]
    return "\n".join(["[databases]", settings["databases"], "[pgbouncer]", *lines, ""])


def _listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
