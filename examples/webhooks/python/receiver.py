"""Receives webhooks of Customary and takes each event once. It needs nothing but Python 3.11 or newer.

    WEBHOOK_SECRET=whsec_... python3 receiver.py 9000

While a secret is being rotated, WEBHOOK_SECRET holds the old and the new one with a comma between.
"""

import base64
import hmac
import json
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGEST_BODY_BYTES = 10 * 1024 * 1024

# --- Copy from here -----------------------------------------------------------------------------------------

TOLERANCE_SECONDS = 300


class NotGenuine(Exception):
    """Nobody who knows the secret sent this now, or somebody changed it on the way."""


def verify(headers: Mapping[str, str], body: bytes, secrets: list[str]) -> None:
    """Check both signatures of a webhook. Raises `NotGenuine`.

    `headers` finds a name in any case, as those of web frameworks do. `body` is what came, byte for byte: JSON that
    was read and written again has another signature.
    """
    verify_sequence_signature(headers.get("Sequence-Signature", ""), body, secrets)
    verify_standard_signature(headers, body, secrets)


def verify_sequence_signature(header: str, body: bytes, secrets: list[str]) -> None:
    """Check `t=<milliseconds>,s=<hex>`, which has an `s` for each live secret. The key is the whole secret."""
    fields = [part.strip().partition("=") for part in header.split(",")]
    milliseconds = next((value for name, _, value in fields if name == "t"), "")
    require_recent(milliseconds, "Sequence-Signature", units_in_a_second=1000)
    content = milliseconds.encode() + b"." + body
    expected = [hmac.new(secret.encode(), content, "sha256").hexdigest() for secret in secrets]
    require_match(expected, [value for name, _, value in fields if name == "s"], "Sequence-Signature")


def verify_standard_signature(headers: Mapping[str, str], body: bytes, secrets: list[str]) -> None:
    """Check `v1,<base64>`, of which there is one for each live secret. The key is the base64 behind `whsec_`."""
    seconds = headers.get("webhook-timestamp", "")
    require_recent(seconds, "webhook-timestamp", units_in_a_second=1)
    content = f"{headers.get('webhook-id', '')}.{seconds}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_") + "==") for secret in secrets]
    expected = ["v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys]
    require_match(expected, headers.get("webhook-signature", "").split(), "webhook-signature")


def require_recent(timestamp: str, header: str, *, units_in_a_second: int) -> None:
    """A webhook that somebody recorded cannot be sent again later, since its time is signed too."""
    if not re.fullmatch(r"[0-9]{1,15}", timestamp):
        raise NotGenuine(f"{header} is missing, or has no time in it")
    if abs(time.time() - int(timestamp) / units_in_a_second) > TOLERANCE_SECONDS:
        raise NotGenuine(f"{header} is too old, or a clock is wrong")


def require_match(expected: list[str], given: list[str], header: str) -> None:
    """Any of them may match. The comparison takes as long for a near miss as for any other, and so gives no hints."""
    if not any(hmac.compare_digest(ours.encode(), theirs.encode()) for ours in expected for theirs in given):
        raise NotGenuine(f"{header} has no signature that fits the body and the secret")


# --- to here ------------------------------------------------------------------------------------------------


class Inbox:
    """What was taken. Of yours make two tables, written in the transaction that does the work of an event."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        self._versions: dict[str, int] = {}

    def take(self, webhook_id: str, customer_id: str, version: int) -> str:
        """What to do about this: it is an `event`, came `again`, or tells something `older` than is known."""
        with self._lock:
            if webhook_id in self._seen:
                return "again"
            self._seen.add(webhook_id)
            if version < self._versions.get(customer_id, 0):
                return "older"
            self._versions[customer_id] = version
            return "event"


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 for what was taken, now or before, and 401 for what is not genuine."""

    secrets: list[str]
    inbox = Inbox()
    timeout = 15  # for whoever connects and then says nothing

    def do_POST(self) -> None:
        """Take one webhook."""
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > LARGEST_BODY_BYTES:
            self.answer(413)
            return
        body = self.rfile.read(int(length))
        try:
            verify(self.headers, body, self.secrets)
        except NotGenuine as problem:
            say(f"refused: {problem}")
            self.answer(401, str(problem))
            return
        self.take(json.loads(body))
        self.answer(204)

    def take(self, event: dict[str, str]) -> None:
        """Do what is to be done about an event: here, print a line."""
        webhook_id, customer_id = self.headers["webhook-id"], event["resourceId"]
        version = self.headers.get("Customary-Resource-Version")
        if version is None:
            say(f"test: {event['notificationType']} {webhook_id}")  # nothing happened to anybody
            return
        verdict = self.inbox.take(webhook_id, customer_id, int(version))
        say(f"{verdict}: {event['notificationType']} {customer_id} version {version} {webhook_id}")

    def answer(self, status: int, text: str = "") -> None:
        """Send an answer. Its text is in Customary's log of the attempt."""
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing of its own."""


def say(line: str) -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


def main() -> None:
    """Listen on the port that the command line names."""
    secrets = [secret.strip() for secret in os.environ.get("WEBHOOK_SECRET", "").split(",") if secret.strip()]
    if len(sys.argv) != 2 or not secrets or not all(secret.startswith("whsec_") for secret in secrets):
        sys.exit("Use: WEBHOOK_SECRET=whsec_...[,whsec_...] python3 receiver.py PORT")
    Receiver.secrets = secrets
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver) as server:
        say(f"Listening on http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    main()
