"""Signatures of webhooks: how a recipient knows that one is ours, and that nobody changed it on the way.

Two kinds go with every webhook: our own, and that of Standard Webhooks (https://www.standardwebhooks.com), for which
there are libraries in many languages.
"""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

SECRET_PREFIX = "whsec_"  # noqa: S105 - it marks a secret in a leaked file, it is none
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def headers(secrets: Sequence[str], *, message_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers that sign this body, with a signature for each secret that is live, oldest first.

    The headers of Standard Webhooks are left out where no secret has the form that they need. Raises `ValueError`
    without a secret, since what is sent would look signed and not be.
    """
    if not secrets:
        message = "A webhook cannot be signed without a secret."
        raise ValueError(message)
    milliseconds = (at - _EPOCH) // timedelta(milliseconds=1)
    signed = {"Sequence-Signature": _sequence_signature(secrets, body, milliseconds)}
    keys = [key for secret in secrets if (key := standard_key(secret)) is not None]
    if keys:
        seconds = str(milliseconds // 1000)
        content = b".".join((message_id.encode(), seconds.encode(), body))
        signatures = [b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys]
        signed["webhook-id"] = message_id
        signed["webhook-timestamp"] = seconds
        signed["webhook-signature"] = " ".join(f"v1,{signature}" for signature in signatures)
    return signed


def standard_key(secret: str) -> bytes | None:
    """The key that Standard Webhooks make of a secret; None for one that is not `whsec_` and base64.

    The padding of the base64 may be missing, as it may for the libraries.
    """
    encoded = secret.removeprefix(SECRET_PREFIX)
    if encoded == secret:
        return None
    try:
        return b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or None
    except ValueError:
        return None


def _sequence_signature(secrets: Sequence[str], body: bytes, milliseconds: int) -> str:
    content = b"%d.%b" % (milliseconds, body)
    signatures = [hmac.digest(secret.encode(), content, "sha256").hex() for secret in secrets]
    return ",".join((f"t={milliseconds}", *(f"s={signature}" for signature in signatures)))
