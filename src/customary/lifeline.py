"""Ends a child process when its parent is gone, however that went, so that a kill leaves nothing behind.

It is a program as well, which prepares such a process and then becomes another program. It imports nothing of ours,
so that it takes a few milliseconds.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
# Loaded here, not when it is called: between fork and exec nothing may be imported or looked up.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def tie_to(parent_pid: int, death_signal: int) -> None:
    """Let the kernel send this process `death_signal` when the *thread* that started it ends; Linux only.

    Changing the user clears the setting, so it comes after that.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:  # The parent died before the setting was made, so no signal will come.
        os._exit(1)


def command(
    program: Sequence[str], *, directory: str, death_signal: int, user: tuple[int, int] | None = None
) -> list[str]:
    """What to run instead of `program` so that it works in `directory`, in a session of its own, tied to the caller.

    `user` are the ids of the user and group that it becomes, for a caller who is root.
    """
    ids = "" if user is None else f"{user[0]}:{user[1]}"
    options = (str(os.getpid()), str(int(death_signal)), ids, directory)
    return [sys.executable, "-I", "-S", __file__, *options, *program]


def _become(parent_pid: str, death_signal: str, ids: str, directory: str, *program: str) -> None:
    os.chdir(directory)
    os.setsid()
    if ids:
        user_id, group_id = map(int, ids.split(":"))
        os.setgroups([])
        os.setgid(group_id)
        os.setuid(user_id)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and a program that it becomes would too
        signal.signal(number, signal.SIG_DFL)
    tie_to(int(parent_pid), int(death_signal))
    os.execv(program[0], program)  # noqa: S606 - the program is ours, by absolute path


if __name__ == "__main__":
    _become(*sys.argv[1:])
