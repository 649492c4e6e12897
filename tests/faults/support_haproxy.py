"""A haproxy in front of a server, as many run one: what clients and the server see are connections of the proxy."""

import contextlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.support import free_port, until

PROGRAM = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
NEEDED = pytest.mark.skipif(PROGRAM is None, reason="needs the Debian package haproxy")

# Connections to the server serve all clients in turn, which is how a wrong answer could reach another one. It does
# not wait long for clients, some of which leave it waiting for the rest of a body.
_CONFIGURATION = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 2s
    timeout server 30s
    timeout http-request 2s
frontend clients
    bind 127.0.0.1:{port}
    default_backend service
backend service
    http-reuse always
    server one 127.0.0.1:{server_port}
"""


@contextmanager
def proxied(server_port: int) -> Generator[int]:
    """The port of a haproxy in front of the server on this one."""
    assert PROGRAM is not None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="customary-haproxy-") as parent:
        configuration, log = Path(parent) / "haproxy.cfg", Path(parent) / "log"
        configuration.write_text(_CONFIGURATION.format(port=port, server_port=server_port))
        with log.open("wb") as output:
            process = subprocess.Popen([PROGRAM, "-db", "-f", configuration], stdout=output, stderr=output)
        try:
            until(lambda: _listens(process, port, log))
            yield port
        finally:
            process.terminate()
            process.wait(10)


def _listens(process: "subprocess.Popen[bytes]", port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
