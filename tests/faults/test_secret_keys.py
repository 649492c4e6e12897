"""The secret keys as an operator meets them: made, lost, replaced while the service answers, and given in a file."""

import asyncio
import json
import os
import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.faults.support import Key, customary, data_dir, free_port, refused, serving, succeeded, until
from tests.support.keys import OTHER_TEXT, TEXT

from customary.storage import embedded, schema
from customary.storage.secret_keys import parse

__all__ = ["data_dir"]

POLICIES = "/notifications/policies"
WEBHOOK = {"name": "Warehouse", "channel": "WEBHOOK", "recipients": ["https://example.com/"]}


def file_of(data_dir: Path) -> Path:
    return data_dir / "secret-keys"


def made(client: httpx.Client, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - what httpx takes
    answer = client.post(POLICIES, json=WEBHOOK, **options)
    assert answer.status_code == 201, answer.text
    return answer.json()


def finding(*here: str | Path, topic: str = "secrets") -> dict[str, Any]:
    """What the doctor says about secrets; a problem of it is one of the whole examination."""
    ran = customary("doctor", "--json", *here)
    [found] = [each for each in json.loads(ran.output) if each["topic"] == topic]
    assert (ran.status == 1) or found["verdict"] != "problem", ran
    return found


def test_new_key_prints_a_line_that_can_be_used() -> None:
    """Another one each time, and nothing else."""
    lines = [succeeded("secrets", "new-key") for _ in range(2)]
    assert all(re.fullmatch(r"k[0-9a-f]{8}:[A-Za-z0-9+/]{43}=\n", line) for line in lines)
    assert len(parse("".join(lines)).ids) == 2


def test_the_first_start_makes_the_key_and_the_next_one_keeps_it(data_dir: Path) -> None:
    """It is for the service's user alone, and it is neither printed nor logged."""
    with serving(data_dir, "--workers", "2") as service:
        content = file_of(data_dir).read_text(encoding="utf-8")
        key = content.splitlines()[-1].partition(":")[2]
        assert file_of(data_dir).stat().st_mode & 0o777 == 0o600
        assert file_of(data_dir).stat().st_uid == os.geteuid()
        with service.client() as client:
            kept = made(client, headers={"Idempotency-Key": "one"})
        assert finding("--data-dir", data_dir)["found"].startswith("2 rows, all encrypted; the key in use is k")
        assert key not in service.output + service.error
        client_key = service.key
    with serving(data_dir) as again, again.client(client_key) as client:
        assert file_of(data_dir).read_text(encoding="utf-8") == content
        assert made(client, headers={"Idempotency-Key": "one"}) == kept


def test_a_lost_file_is_never_replaced_by_a_new_key(data_dir: Path) -> None:
    """As long as nothing needs it, it is made again; else the start is refused, and a restored file mends it."""
    here = ("--data-dir", data_dir)
    with serving(data_dir) as service:
        succeeded("keys", "revoke", service.key.client_id, *here)
    file_of(data_dir).unlink()
    with serving(data_dir) as service:
        another = json.loads(succeeded("keys", "create", "--account", "default", "--json", *here))
        with service.client(Key(another["clientId"], another["clientSecret"])) as client:
            made(client)
    content = file_of(data_dir).read_bytes()
    key_id = parse(content.decode()).first
    file_of(data_dir).unlink()
    sentence = refused("serve", "--data-dir", data_dir, "--port", str(free_port()))
    assert "secret-keys is gone" in sentence
    assert key_id in sentence
    assert not file_of(data_dir).exists()
    for topic in ("secrets", "API secrets"):
        lost = finding("--data-dir", data_dir, topic=topic)
        assert (lost["verdict"], key_id in lost["advice"]) == ("problem", True)
    assert "secret-keys is gone" in refused("keys", "rotate", another["clientId"], *here)
    assert "the first `customary serve` makes them" in refused("secrets", "reencrypt", "--data-dir", data_dir)
    file_of(data_dir).write_bytes(content)
    file_of(data_dir).chmod(0o644)
    assert "chmod 600" in refused("serve", "--data-dir", data_dir, "--port", str(free_port()))
    file_of(data_dir).chmod(0o600)
    with serving(data_dir):
        assert finding("--data-dir", data_dir)["verdict"] == "fine"


def test_a_key_is_replaced_as_the_manual_says(data_dir: Path) -> None:
    """Put a new one first, start again, encrypt anew while the service answers, remove the old one."""
    here = ("--data-dir", str(data_dir))
    with serving(data_dir) as service, service.client() as client:
        policies = [made(client, headers={"Idempotency-Key": f"key-{number}"}) for number in range(3)]
        client_key = service.key
    old = file_of(data_dir).read_text(encoding="utf-8")
    old_id = parse(old).first
    file_of(data_dir).write_text(f"{TEXT}\n{old}", encoding="utf-8")
    with serving(data_dir) as service, service.client(client_key) as client:
        done = json.loads(succeeded("secrets", "reencrypt", "--json", *here))
        last_used = done["apiSecretsByKey"][old_id].pop("lastUsedAt")
        assert datetime.now(UTC) - datetime.fromisoformat(last_used) < timedelta(minutes=10)
        assert done == {
            "keyInUse": "k-test",
            "encrypted": 6,
            "rowsByKey": {"k-test": 6},
            "unencryptedRows": 0,
            "apiSecretsByKey": {old_id: {"secrets": 1}},
            "unneededKeys": [],
            "missingKeys": [],
        }
        assert f"1 API secrets are under {old_id} still, last used: {last_used}." in succeeded(
            "secrets", "reencrypt", *here
        )
        assert made(client, headers={"Idempotency-Key": "key-0"}) == policies[0]
        until(lambda: owned(data_dir, "SELECT key_id FROM api_key_secrets") == ["k-test"])
        told = succeeded("secrets", "reencrypt", *here)
        assert told.startswith("Encrypted 0 rows anew; the key in use is k-test.\n")
        assert told.rstrip().endswith(f": {old_id}")
    file_of(data_dir).write_text(f"{TEXT}\n", encoding="utf-8")
    with serving(data_dir) as service, service.client(client_key) as client:
        for number, policy in enumerate(policies):
            assert made(client, headers={"Idempotency-Key": f"key-{number}"}) == policy
        assert finding(*here)["verdict"] == "fine"
    file_of(data_dir).write_text(f"{OTHER_TEXT}\n", encoding="utf-8")
    ran = customary("secrets", "reencrypt", "--json", *here)
    assert (ran.status, json.loads(ran.output)["missingKeys"]) == (1, ["k-test"])
    ran = customary("secrets", "reencrypt", *here)
    assert ran.status == 1
    assert ran.error == (
        "customary: 6 rows are encrypted with the key 'k-test', which was not given.\n"
        "customary: 1 API secrets need the key 'k-test', which was not given, and open nothing.\n"
    )
    with serving(data_dir) as service:
        [line] = [line for line in service.log() if line["event"] == "api_secrets_without_their_key"]
        assert line["secrets_by_key"] == {"k-test": 1}
        with service.client(client_key) as client:
            assert client.get("/customers").status_code == 503
        rotated = json.loads(succeeded("keys", "rotate", client_key.client_id, "--json", *here))
        with service.client(Key(rotated["clientId"], rotated["clientSecret"])) as client:
            assert client.get("/customers").status_code == 200


def owned(data_dir: Path, statement: str) -> list[Any]:
    """What this statement answers to the tables' owner: the first column."""

    async def run(url: str) -> list[Any]:
        async with schema.connection(url) as connection:
            return [row[0] for row in await connection.fetch(statement)]

    with embedded.running(data_dir) as addresses:
        return asyncio.run(run(addresses.owner_url))


def test_what_is_not_encrypted_is_found_and_encrypted_by_the_next_start(data_dir: Path) -> None:
    """As after a migration from a release that encrypted nothing."""
    with serving(data_dir) as service, service.client() as client:
        made(client)
    plain = "UPDATE policy_secrets SET key_id = NULL, ciphertext = 'as it was' RETURNING ciphertext"
    assert owned(data_dir, plain) == [b"as it was"]
    owned(data_dir, "UPDATE api_key_secrets SET key_id = NULL, hash = sha256('as it was') RETURNING hash")
    found = finding("--data-dir", data_dir)
    assert (found["verdict"], found["found"]) == ("problem", "1 rows are not encrypted")
    found = finding("--data-dir", data_dir, topic="API secrets")
    assert (found["verdict"], found["found"]) == ("problem", "1 are hashed without a secret key")
    with serving(data_dir):
        for topic in ("secrets", "API secrets"):
            assert finding("--data-dir", data_dir, topic=topic)["verdict"] == "fine"
        assert owned(data_dir, "SELECT hash = sha256('as it was') FROM api_key_secrets") == [False]
        [stored] = owned(data_dir, "SELECT ciphertext FROM policy_secrets")
        assert len(stored) == 12 + len(b"as it was") + 16
        assert b"as it was" not in stored


def test_keys_from_the_environment_win_over_the_data_directorys(data_dir: Path, tmp_path: Path) -> None:
    """A file of the operator's own works too, in every worker process; then the data directory gets none."""
    file = tmp_path / "keys"
    file.write_text(f"{TEXT}\n", encoding="utf-8")
    given = {"CUSTOMARY_SECRET_KEYS_FILE": str(file)}
    with serving(data_dir, "--workers", "2", given=given) as service:
        for number in range(4):
            with service.client() as client:
                made(client, headers={"Idempotency-Key": f"key-{number}"})
        assert not file_of(data_dir).exists()
        assert service.signal(signal.SIGTERM) == 0
    with serving(data_dir, given={"CUSTOMARY_SECRET_KEYS": f"{OTHER_TEXT},{TEXT}"}) as again:
        assert again.is_ready()
    assert not file_of(data_dir).exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"CUSTOMARY_SECRET_KEYS": "k1:bm90IGEga2V5"}, "has 9 bytes; it needs 32"),
        ({"CUSTOMARY_SECRET_KEYS": "nonsense"}, "is not 'id:key'"),
        ({"CUSTOMARY_SECRET_KEYS": TEXT, "CUSTOMARY_SECRET_KEYS_FILE": "/nowhere"}, "not both"),
        ({"CUSTOMARY_SECRET_KEYS_FILE": "/nowhere"}, "/nowhere of CUSTOMARY_SECRET_KEYS_FILE cannot be read: No such"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_before_anything_is_started(
    data_dir: Path, given: dict[str, str], said: str
) -> None:
    sentence = refused("serve", "--data-dir", data_dir, "--port", str(free_port()), given=given)
    assert said in sentence
    assert not {"bm90IGEga2V5", "nonsense", TEXT} & set(sentence.split())
    assert not data_dir.exists()
