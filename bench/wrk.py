"""Load from wrk, a compiled generator: requests out of a list in turn, or a body with something new in it each time."""

import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

CONNECTIONS = 32
_SCRIPT = """
local paths, number = {}, 0
function init(arguments)
    for line in io.lines(arguments[1]) do paths[#paths + 1] = line end
    number = tonumber(arguments[2])
end
function request()
    number = number + 1
    return %(request)s
end
function done(summary, latency)
    local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
    io.write(string.format("found %%d %%d %%d %%f %%f %%f\\n", summary.requests, summary.errors.status, lost,
        summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""
_GET = 'wrk.format("GET", paths[number % #paths + 1])'
_POST = 'wrk.format("POST", paths[1], nil, (body:gsub("{}", string.format("%x", number))))'
# The database is kept between runs, and a number that had been there would be answered as a repetition: so they go on
# with the time. Each run has four million of its own, as many as a second has room for in what a Lua number can hold.
_NUMBERS_BITS = 22
_seconds = [0]


class Load(Struct, frozen=True):
    """What one run of the generator saw: answers a second and in all, how long half and 99 of 100 of them took."""

    rate: float
    requests: int
    p50_milliseconds: float
    p99_milliseconds: float
    connections: int = CONNECTIONS


class Generator(Struct, frozen=True):
    """What is asked, of the server at `url`: GET of these paths in turn, or POST of a body to the only one.

    Each `{}` in the body and the headers becomes something that no other request has.
    """

    url: str
    paths: Sequence[str]
    headers: Iterable[tuple[str, str]] = ()
    body: str | None = None

    def run(self, seconds: float, connections: int = CONNECTIONS) -> Load:
        """Ask for so long, in whole seconds. Raises `SystemExit` when anything but success is answered, or nothing."""
        with tempfile.TemporaryDirectory() as directory:
            paths, script = Path(directory) / "paths", Path(directory) / "script.lua"
            paths.write_text("\n".join(self.paths) + "\n", encoding="utf-8")
            script.write_text(self._script(), encoding="utf-8")
            load = ("-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--timeout", "10s")
            ran = subprocess.run(  # noqa: S603 - the arguments are ours
                [_program(), *load, "-s", str(script), self.url, "--", str(paths), str(_first_number())],
                capture_output=True,
                text=True,
                check=True,
            )
        _, _, found = ran.stdout.rpartition("found ")
        requests, refused, lost, took_seconds, p50, p99 = map(float, found.split())
        if refused or lost or not requests:
            message = f"{self.url}: of {requests:.0f} requests {refused:.0f} were refused and {lost:.0f} lost."
            raise SystemExit(message)
        return Load(requests / took_seconds, int(requests), p50, p99, connections)

    def _script(self) -> str:
        lines = [f"wrk.headers[ {_lua(name)} ] = {_lua(value)}" for name, value in self.headers if "{}" not in value]
        made = _GET
        if self.body is not None:
            lines.append(f"local body = {_lua(self.body)}")
            made = _POST
        lines.append(_SCRIPT % {"request": made})
        for name, value in self.headers:
            if "{}" in value:
                line = f'wrk.headers[ {_lua(name)} ] = (({_lua(value)}):gsub("{{}}", string.format("%x", number)))'
                lines[-1] = lines[-1].replace("    return wrk", f"    {line}\n    return wrk")
        return "\n".join(lines)


def _first_number() -> int:
    """Where the numbers of a run begin: behind those of all that began before, in this process or in an earlier one."""
    _seconds.append(max(int(time.time()), _seconds.pop() + 1))
    return _seconds[0] << _NUMBERS_BITS


def _lua(text: str) -> str:
    return f"[==[{text}]==]"


def _program() -> str:
    found = shutil.which("wrk")
    if found is None:
        message = "This needs wrk. Install the Debian package wrk."
        raise SystemExit(message)
    return found
