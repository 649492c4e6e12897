"""Signatures of webhooks: their exact form, and that the libraries which recipients use accept them."""

import hashlib
import hmac
import json
import math
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import standardwebhooks
import svix.webhooks
from hypothesis import given
from hypothesis import strategies as st

from customary.domain.signature import headers, standard_key

AT = datetime(2026, 5, 4, 12, 30, 15, 678_999, tzinfo=UTC)
MESSAGE = "msg_01a1fb32-96e6-7057-8c55-b0ba3e34d79c"
BODY = b'{"notificationType":"CUSTOMER_CREATED","resource":{"legalName":"Caf\xc3\xa9"}}'
STANDARD_HEADERS = {"webhook-id", "webhook-timestamp", "webhook-signature"}


def secret_of(key: bytes) -> str:
    return "whsec_" + b64encode(key).decode()


FIRST, SECOND = secret_of(b"the first key of 24 bytes"), secret_of(bytes(range(32)))


def test_vector_of_the_standard_webhooks_specification() -> None:
    """The example that the specification's libraries are tested with."""
    at = datetime.fromtimestamp(1_614_265_330, UTC)
    signed = headers(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        body=b'{"test": 2432232314}',
        at=at,
    )
    assert {name: signed[name] for name in STANDARD_HEADERS} == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_vector_of_our_own_signature() -> None:
    """Worked out once with `printf '1777897815678.{}' | openssl dgst -sha256 -hmac shared-by-hand`."""
    signed = headers(["shared-by-hand"], message_id=MESSAGE, body=b"{}", at=AT)
    expected = "c48161cd098c6d32612660484daad739209ac507de97d5fd465b38faf2477f03"
    assert signed == {"Sequence-Signature": f"t=1777897815678,s={expected}"}


def test_our_own_signature_is_keyed_with_the_whole_secret() -> None:
    signed = headers([FIRST], message_id=MESSAGE, body=BODY, at=AT)
    time, signature = signed["Sequence-Signature"].split(",")
    content = time.removeprefix("t=").encode() + b"." + BODY
    assert signature == "s=" + hmac.new(FIRST.encode(), content, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.webhooks.Webhook])
@pytest.mark.parametrize("live", [[FIRST], [SECOND, FIRST], [FIRST, SECOND], ["by-hand-one", FIRST]])
def test_libraries_of_recipients_accept_it(library: type[Any], live: list[str]) -> None:
    """Also while a secret is being rotated: whoever still has the old one, and whoever has the new one."""
    signed = headers(live, message_id=MESSAGE, body=BODY, at=datetime.now(UTC))
    library(FIRST).verify(BODY.decode(), signed)


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.webhooks.Webhook])
def test_libraries_of_recipients_notice_what_was_changed(library: type[Any]) -> None:
    signed = headers([FIRST], message_id=MESSAGE, body=BODY, at=datetime.now(UTC))
    changed = [
        (FIRST, BODY.replace(b"CREATED", b"UPDATED"), signed),
        (SECOND, BODY, signed),
        (FIRST, BODY, signed | {"webhook-id": "msg_other"}),
        (FIRST, BODY, signed | {"webhook-timestamp": str(int(signed["webhook-timestamp"]) + 1)}),
    ]
    for secret, body, sent in changed:
        with pytest.raises(standardwebhooks.WebhookVerificationError):
            library(secret).verify(body.decode(), sent)


def test_each_live_secret_signs_oldest_first() -> None:
    alone = [headers([secret], message_id=MESSAGE, body=BODY, at=AT) for secret in (FIRST, SECOND)]
    both = headers([FIRST, SECOND], message_id=MESSAGE, body=BODY, at=AT)
    ours = [each["Sequence-Signature"].partition(",")[2] for each in alone]
    assert both["Sequence-Signature"] == ",".join(["t=1777897815678", *ours])
    assert both["webhook-signature"] == " ".join(each["webhook-signature"] for each in alone)


def test_a_secret_of_another_form_among_others_signs_in_our_own_way_only() -> None:
    both = headers(["by-hand-one", FIRST], message_id=MESSAGE, body=BODY, at=AT)
    alone = headers([FIRST], message_id=MESSAGE, body=BODY, at=AT)
    assert both["Sequence-Signature"].count("s=") == 2
    assert both["webhook-signature"] == alone["webhook-signature"]


@pytest.mark.parametrize(
    "secret",
    [
        "by-hand-one",
        "whsec_",
        "whsec_a-secret-of-your-own",
        "whsec_ZZZZZ",
        "whsec_AAAA=AAA",
        "whsec_AA AA",
        "whsec_ÄÄÄÄ",
        "WHSEC_AAAA",
        "AAAA",
    ],
)
def test_other_secrets_leave_the_standard_headers_out(secret: str) -> None:
    signed = headers([secret], message_id=MESSAGE, body=BODY, at=AT)
    assert set(signed) == {"Sequence-Signature"}
    assert hmac.new(secret.encode(), b"1777897815678." + BODY, "sha256").hexdigest() in signed["Sequence-Signature"]


def test_padding_of_a_secret_may_be_missing() -> None:
    assert FIRST.endswith("=")
    assert standard_key(FIRST.rstrip("=")) == standard_key(FIRST)


def test_nothing_is_sent_as_if_it_were_signed() -> None:
    with pytest.raises(ValueError, match="without a secret"):
        headers([], message_id=MESSAGE, body=BODY, at=AT)


@given(
    key=st.binary(min_size=1, max_size=64),
    body=st.dictionaries(st.text(), st.text()).map(lambda made: json.dumps(made, ensure_ascii=False)),
)
def test_any_key_and_body_are_verified(key: bytes, body: str) -> None:
    try:
        raw = body.encode()
    except UnicodeEncodeError:  # A lone surrogate is in no body of ours.
        return
    signed = headers([secret_of(key)], message_id=MESSAGE, body=raw, at=datetime.now(UTC))
    standardwebhooks.Webhook(secret_of(key)).verify(raw, signed)


@given(st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_both_times_are_the_same_moment_cut_off(at: datetime) -> None:
    signed = headers([FIRST], message_id=MESSAGE, body=BODY, at=at)
    milliseconds = int(signed["Sequence-Signature"].partition(",")[0].removeprefix("t="))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    assert timedelta(0) <= at - moment < timedelta(milliseconds=1)
    assert int(signed["webhook-timestamp"]) == math.floor(milliseconds / 1000)
