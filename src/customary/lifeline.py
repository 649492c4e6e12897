"""Ends a child process when its parent is gone, however that went, so that a kill leaves nothing behind."""

import ctypes
import os
import sys

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
