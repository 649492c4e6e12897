"""A machine of its own for a database, as a network namespace, and the link to it, which can be cut."""

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct
from tests.faults.support import is_alive
from tests.faults.support_postgresql import Place, unprivileged

_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_NAME = "customary-"  # with the number of the process that made it
# The first of our two rules in the namespace; the one that finds its own addresses comes behind it.
_CUT, _OWN = "5", "10"


@cache
def missing() -> str | None:
    """What is not there for a network namespace; None if nothing."""
    if os.geteuid() != 0:
        return "needs root, for a network namespace"
    for program, package in (("ip", "iproute2"), ("setpriv", "util-linux")):
        if shutil.which(program, path=_PATH) is None:
            return f"needs the Debian package {package}"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "needs a machine on which root may make network namespaces"


NEEDED = pytest.mark.skipif(missing() is not None, reason=str(missing()))


class Link(Struct, frozen=True):
    """The link between this machine, `here`, and the namespace, whose address is `there`."""

    namespace: str
    interface: str
    here: str
    there: str

    @property
    def place(self) -> Place:
        """How a PostgreSQL is started behind the link."""
        user = unprivileged()
        through = ("ip", "netns", "exec", self.namespace, "setpriv", "--pdeathsig", "QUIT", "--clear-groups")
        through += (f"--reuid={user.uid}", f"--regid={user.gid}", "--")
        return Place(address=self.there, through=through, by_root=True)

    @contextmanager
    def cut(self, *, there: bool = True, back: bool = True) -> Generator[None]:
        """Lose what is sent there, what is sent back, or both, without a word to anybody, for as long as this lasts."""
        rules = [("iif", self.interface)] * there + [("to", self.here)] * back
        for rule in rules:
            _ip("-n", self.namespace, "rule", "add", "pref", _CUT, *rule, "blackhole")
        try:
            yield
        finally:
            for rule in rules:
                _ip("-n", self.namespace, "rule", "del", "pref", _CUT, *rule, "blackhole")


@contextmanager
def linked() -> Generator[Link]:
    """A namespace and the link to it."""
    _sweep()
    number = os.getpid()
    # From a block of addresses that is set aside for tests of network devices, four for each process.
    base = f"198.18.{number // 64 % 256}.{number % 64 * 4}"
    first, _, last = base.rpartition(".")
    link = Link(f"{_NAME}{number}", f"cdb{number}", f"{first}.{int(last) + 1}", f"{first}.{int(last) + 2}")
    ours = f"csv{number}"
    _ip("netns", "add", link.namespace)
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", link.interface, "netns", link.namespace)
        for inside, interface, address, other in (
            ((), ours, link.here, link.there),
            (("-n", link.namespace), link.interface, link.there, link.here),
        ):
            _ip(*inside, "link", "set", interface, "address", _hardware(address))
            _ip(*inside, "address", "add", f"{address}/30", "dev", interface)
            _ip(*inside, "link", "set", interface, "up")
            # Both know each other's hardware for good: it is the network behind that loses what they send.
            _ip(*inside, "neighbour", "replace", other, "lladdr", _hardware(other), "dev", interface)
        _ip("-n", link.namespace, "link", "set", "lo", "up")
        _ip("-n", link.namespace, "rule", "add", "pref", _OWN, "lookup", "local")
        _ip("-n", link.namespace, "rule", "del", "pref", "0")
        yield link
    finally:
        _ip("netns", "del", link.namespace)


def _sweep() -> None:
    """Remove what tests that were killed have left."""
    for namespace in Path("/run/netns").glob(f"{_NAME}*"):
        if not is_alive(int(namespace.name.removeprefix(_NAME))):
            # Another process may be doing the same.
            subprocess.run(["ip", "netns", "del", namespace.name], capture_output=True, check=False)


def _hardware(address: str) -> str:
    """A hardware address that is nobody else's."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, env={"PATH": _PATH})
    assert done.returncode == 0, (arguments, done.stderr)
