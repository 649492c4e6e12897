"""What is ours alone: a new secret for a notification policy, while the one before still signs."""

from datetime import timedelta
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Outcome, Routes
from customary.api.policies import GivenSecret
from customary.api.versions.v2024_07_30.notification_policies import PolicyBody, current, to_wire
from customary.api.wire import Wire, or_none
from customary.domain.values import parse_id
from customary.operations.notification_policies import rotate_secret
from customary.storage.database import Tx

ROUTES = Routes("Notification Policies", is_extension=True)

DEFAULT_OVERLAP_SECONDS = 86_400
LONGEST_OVERLAP_SECONDS = 7 * 86_400


class RotationRequest(Wire):
    """How to replace the secret of a policy. `{}` makes a new one, and lets the one before sign for another day."""

    overlap_seconds: (
        Annotated[
            int,
            Meta(
                ge=0,
                le=LONGEST_OVERLAP_SECONDS,
                description=(
                    "For how long the secrets before sign beside the new one, unless they end sooner."
                    f" Left out: {DEFAULT_OVERLAP_SECONDS}, a day. With 0 they end now."
                ),
            ),
        ]
        | UnsetType
    ) = UNSET
    webhook_secret: GivenSecret | UnsetType = UNSET


@ROUTES.post(
    "/notifications/policies/{id}/rotate-secret",
    body=RotationRequest,
    answer=PolicyBody,
    status=200,
    summary="Replace the secret of a policy",
    current=current,
)
async def rotate(tx: Tx, call: Call, body: RotationRequest) -> Outcome:
    """Give a policy another secret, shown this once.

    Until the overlap ends, what is sent carries a signature for each secret, so that a receiver can change to the new
    one at any time between. At most ten sign at once: where there would be more, the oldest ends now.
    """
    seconds = DEFAULT_OVERLAP_SECONDS if body.overlap_seconds is UNSET else body.overlap_seconds
    policy_id, secret = parse_id(call.path["id"]), or_none(body.webhook_secret)
    policy = await rotate_secret(tx, policy_id, timedelta(seconds=seconds), secret)
    return Outcome(to_wire(policy, tx, with_secret=True), seen_as=to_wire(policy, tx))
