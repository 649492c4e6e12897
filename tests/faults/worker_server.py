"""Forks workers by the dozen: a program that has imported what a worker needs, and makes one of itself when told to.

Each is a process of its own with connections of its own, and runs `customary.worker.run` as the command does. Only the
deadline of an attempt may be shorter, so that those who never answer do not make a test wait.

It reads one JSON object from each line of its standard input: `{"site": null}` starts a worker, with the name of a
crash point one that dies there. It writes `{"started": pid}` and `{"ended": pid, "status": status}`. All of its workers
are killed when its input ends.
"""

import functools
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from typing import Any

from customary import crashpoint, worker
from customary.connectors.webhook import WebhookSender
from customary.lifeline import tie_to
from customary.operations import work
from customary.settings import from_environment
from customary.storage.secret_keys import parse


def main() -> None:
    """Serve until the input ends. Arguments: the database, the deadline of an attempt, that of an end, the capacity."""
    url, timeout_seconds, capacity = sys.argv[1], float(sys.argv[2]), int(sys.argv[4])
    work._DRAIN_SECONDS = float(sys.argv[3])
    reader, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin.buffer.raw, selectors.EVENT_READ)  # pyright: ignore[reportAttributeAccessIssue]
    selector.register(reader, selectors.EVENT_READ)
    running: set[int] = set()
    pending = b""
    while True:
        for key, _ in selector.select():
            if key.fileobj is reader:
                reader.recv(4096)
                _reap(running)
                continue
            received = os.read(0, 65536)
            if not received:
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                running.add(_start(json.loads(line)["site"], url, timeout_seconds, capacity))


def _start(site: str | None, url: str, timeout_seconds: float, capacity: int) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            tie_to(parent, signal.SIGKILL)
            _work(site, url, timeout_seconds, capacity)
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    _say({"started": pid})
    return pid


def _work(site: str | None, url: str, timeout_seconds: float, capacity: int) -> None:
    """What the command does, from the point where it knows its database."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    if site is not None:
        os.environ[crashpoint.VARIABLE] = site
        importlib.reload(crashpoint)  # it looked when it was imported, before anybody was forked
    worker.WebhookSender = functools.partial(WebhookSender, timeout_seconds=timeout_seconds)  # pyright: ignore[reportAttributeAccessIssue, reportPrivateImportUsage]
    settings = from_environment()
    worker.run(url, settings, parse(settings.secret_keys or ""), capacity=capacity)


def _reap(running: set[int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        running.discard(pid)
        _say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
