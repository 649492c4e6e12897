"""How the programs of the embedded database are started from a server that forks processes of its own meanwhile."""

import os
import subprocess
import sys

import pytest
from tests.faults.support import environment

# Forks, as the HTTP server does for a process of its own, in the very moment in which a program is started. What it
# inherits it keeps open until it is killed.
FORKING = """
import os, signal, subprocess

forked = []

def forking(real):
    def start(*arguments, **more):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        forked.append(pid)
        return real(*arguments, **more)
    return start

subprocess._fork_exec = forking(subprocess._fork_exec)
os.posix_spawn = forking(os.posix_spawn)
"""
STARTING = """
import os, signal, sys, tempfile
from pathlib import Path
from customary.storage.embedded_processes import OsUser, spawn

me = OsUser("me", os.geteuid(), os.getegid(), switch=False)
with tempfile.TemporaryFile() as output:
    program = ["/bin/sh", "-c", sys.argv[1]]
    child = spawn(program, user=me, directory=Path("/"), death_signal=signal.SIGKILL, output=output)
    status = child.wait()
    output.seek(0)
    sys.stdout.write(output.read().decode())
sys.stdout.flush()
"""
ENDING = """
assert forked
for pid in forked:
    os.kill(pid, signal.SIGKILL)
"""


def ran(script: str, command: str) -> str:
    """What the shell printed that this script started."""
    done = subprocess.run(
        [sys.executable, "-c", script, command],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_a_fork_in_the_moment_of_a_start_holds_nothing_up() -> None:
    """The start goes on, although a process that was forked in the middle of it lives on."""
    assert ran(FORKING + STARTING + ENDING, "echo started") == "started\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("pwd", "/\n"),
        ("env | sort | grep -v ^PWD= | grep -v ^_=", f"LC_ALL=C\nPATH={os.defpath}\nTZ=UTC\n"),
        ("ls /proc/self/fd | wc -l", "4\n"),  # three, and the one that `ls` looks with
        ("grep -c 'SigIgn:.*[08]0000000$' /proc/self/status", "1\n"),  # above are two that the C library keeps
        ("ps -o sid= -p $$ | grep -qw $$ && echo its own", "its own\n"),
    ],
    ids=["directory", "environment", "descriptors", "signals", "session"],
)
def test_what_a_program_finds(command: str, said: str) -> None:
    """Nothing of the server's: another session, no files, no signals that are ignored."""
    assert ran(STARTING, command) == said
