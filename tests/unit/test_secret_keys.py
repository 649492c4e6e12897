"""The keys that secrets are encrypted with: what they open, what they refuse, and that nobody ever sees one."""

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.keys import BOTH_KEYS, KEYS, OTHER_KEYS, OTHER_TEXT, TEXT

from customary.errors import SetupError, Unavailable, Undecryptable
from customary.operations import doctor
from customary.operations.doctor import Verdict
from customary.storage.api_keys import Need
from customary.storage.secret_keys import NO_KEYS, KeyRing, new_key, parse

KEY = TEXT.partition(":")[2]


@given(st.binary(max_size=2000), st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_what_was_encrypted_comes_back(plaintext: bytes, context: str) -> None:
    key_id, ciphertext = KEYS.encrypt(plaintext, context)
    assert key_id == "k-test"
    assert KEYS.decrypt(key_id, ciphertext, context) == plaintext


def test_equal_secrets_do_not_look_equal() -> None:
    """A nonce is never used twice, so nobody sees who has the same secret."""
    made = {KEYS.encrypt(b"secret", "c")[1] for _ in range(1000)}
    assert len({ciphertext[:12] for ciphertext in made}) == len(made) == 1000


def test_a_changed_byte_is_noticed_wherever_it_is() -> None:
    key_id, ciphertext = KEYS.encrypt(b"secret", "c")
    for position in range(len(ciphertext)):
        changed = bytes(byte ^ (position == place) for place, byte in enumerate(ciphertext))
        with pytest.raises(Undecryptable, match="changed in the database"):
            KEYS.decrypt(key_id, changed, "c")
    for length in range(len(ciphertext)):
        with pytest.raises(Undecryptable, match="changed in the database"):
            KEYS.decrypt(key_id, ciphertext[:length], "c")


def test_what_belongs_elsewhere_is_refused() -> None:
    """A ciphertext that was copied to another row opens nothing there."""
    key_id, ciphertext = KEYS.encrypt(b"secret", "webhook secret/a/b")
    for context in ("webhook secret/a/c", "webhook secret/b/b", "kept answer/a/b", ""):
        with pytest.raises(Undecryptable):
            KEYS.decrypt(key_id, ciphertext, context)


def test_an_unknown_key_is_named() -> None:
    key_id, ciphertext = OTHER_KEYS.encrypt(b"secret", "c")
    with pytest.raises(Undecryptable, match="encrypted with the key 'k-other'"):
        KEYS.decrypt(key_id, ciphertext, "c")


def test_another_key_under_the_same_id_is_noticed() -> None:
    key_id, ciphertext = KEYS.encrypt(b"secret", "c")
    impostor = parse(OTHER_TEXT.replace("k-other", key_id))
    with pytest.raises(Undecryptable, match="another key under the same id"):
        impostor.decrypt(key_id, ciphertext, "c")


def test_the_first_key_encrypts_and_each_of_them_decrypts() -> None:
    old = KEYS.encrypt(b"old", "c")
    new = BOTH_KEYS.encrypt(b"new", "c")
    assert (old[0], new[0]) == ("k-test", "k-other")
    assert BOTH_KEYS.decrypt(*old, "c") == b"old"
    assert BOTH_KEYS.decrypt(*new, "c") == b"new"


def test_what_is_not_encrypted_yet_can_be_read() -> None:
    assert KEYS.decrypt(None, b"as it is", "c") == b"as it is"


def test_without_keys_nothing_is_stored_as_it_is() -> None:
    with pytest.raises(Unavailable, match="no key to encrypt secrets with"):
        NO_KEYS.encrypt(b"secret", "c")


def test_a_ring_never_shows_a_key() -> None:
    for text in (repr(BOTH_KEYS), str(BOTH_KEYS), repr((BOTH_KEYS,)), f"{BOTH_KEYS}"):
        assert "k-test" in text
        assert KEY not in text
        assert str(base64.b64decode(KEY)) not in text


def test_a_new_key_is_one_that_can_be_used() -> None:
    made = [new_key() for _ in range(100)]
    ring = parse("\n".join(made))
    assert ring.ids == tuple(each.partition(":")[0] for each in made)
    assert len({each.partition(":")[2] for each in made}) == 100


@pytest.mark.parametrize(
    "text",
    [
        f"{OTHER_TEXT}\n{TEXT}\n",
        f"{OTHER_TEXT},{TEXT}",
        f" {OTHER_TEXT} , {TEXT} ,\n",
        f"# the new one, and the old one\n\n{OTHER_TEXT}\r\n\r\n  # more\n{TEXT}",
    ],
)
def test_the_ways_to_write_them(text: str) -> None:
    assert parse(text).ids == ("k-other", "k-test")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is no key"),
        ("# a:b\n\n,", "There is no key"),
        (KEY, "Entry 1 of the secret keys is not 'id:key'"),
        (f"{TEXT}\n{KEY}", "Entry 2 of the secret keys is not 'id:key'"),
        (f":{KEY}", "Entry 1 of the secret keys is not 'id:key'"),
        (f"two words:{KEY}", "is not 'id:key'"),
        (f"{KEY}:{KEY}", "is not 'id:key'"),
        (f"k:{KEY[:-2]}!=", "is not base64"),
        ("k:", "has 0 bytes; it needs 32"),
        (f"k:{base64.b64encode(b'x' * 16).decode()}", "has 16 bytes; it needs 32"),
        (f"{TEXT},{TEXT}", "Two secret keys have the id 'k-test'"),
        (f"{TEXT},k2:{KEY}", "The same secret key stands there twice"),
        ("\n".join(new_key() for _ in range(101)), "at most 100"),
    ],
)
def test_what_is_wrong_is_said_without_a_key(text: str, said: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse(text)
    sentence = str(caught.value)
    assert said in sentence
    assert sentence.endswith((".", "customary secrets new-key"))
    assert KEY[:8] not in sentence
    # Nor does the failure carry one along to whoever prints where it came from.
    assert caught.value.__cause__ is None


def test_a_pepper_is_of_its_key_alone() -> None:
    """The first key's is used for what is stored, each one's for what is compared; none is the key itself."""
    key_id, hashed = BOTH_KEYS.pepper(b"digest")
    assert key_id == "k-other"
    each = BOTH_KEYS.pepper_with_each(b"digest")
    assert each == {"k-other": hashed, "k-test": KEYS.pepper(b"digest")[1]}
    assert len({*each.values(), KEYS.pepper(b"other")[1]}) == 3
    raw = base64.b64decode(TEXT.partition(":")[2])
    assert each["k-test"] != hmac.digest(raw, b"digest", "sha256")
    with pytest.raises(Unavailable):
        NO_KEYS.pepper(b"digest")
    assert NO_KEYS.pepper_with_each(b"digest") == {}


@pytest.mark.parametrize(
    ("needs", "keys", "verdict", "words"),
    [
        ([], KEYS, Verdict.FINE, "0 in use"),
        ([Need("k-test", 3, None)], KEYS, Verdict.FINE, "3 in use, all hashed with keys that are here"),
        ([Need("k-test", 3, None), Need("k-other", 2, None)], BOTH_KEYS, Verdict.FINE, "5 in use"),
        ([Need("k-test", 3, None), Need("k-other", 2, None)], KEYS, Verdict.PROBLEM, "2 need keys that are not here"),
        ([Need("k-test", 3, None)], NO_KEYS, Verdict.PROBLEM, "3 need keys that are not here"),
        ([Need("k-test", 3, None), Need(None, 1, None)], KEYS, Verdict.PROBLEM, "1 are hashed without a secret key"),
    ],
)
def test_the_doctors_finding_about_api_secrets(needs: list[Need], keys: KeyRing, verdict: Verdict, words: str) -> None:
    finding = doctor.api_secrets(needs, keys)
    assert (finding.topic, finding.verdict) == ("API secrets", verdict)
    assert words in finding.found
    assert bool(finding.advice) == (verdict is not Verdict.FINE)


@pytest.mark.parametrize(
    ("rows", "keys", "verdict", "words"),
    [
        ({}, KEYS, Verdict.FINE, "k-test"),
        ({"k-test": 3}, KEYS, Verdict.FINE, "3 rows, all encrypted"),
        ({"k-test": 3, "k-other": 2}, KEYS, Verdict.PROBLEM, "2 rows are encrypted with keys that are not here"),
        ({"k-test": 3, None: 2}, KEYS, Verdict.PROBLEM, "2 rows are not encrypted"),
        ({"k-test": 3, "k-other": 2}, BOTH_KEYS, Verdict.FINE, "the key in use is k-other"),
        ({"k-test": 3}, NO_KEYS, Verdict.PROBLEM, "3 rows are encrypted with keys that are not here"),
        ({}, NO_KEYS, Verdict.WARNING, "there are no secret keys"),
    ],
)
def test_the_doctors_finding(rows: dict[str | None, int], keys: KeyRing, verdict: Verdict, words: str) -> None:
    finding = doctor.secrets(rows, keys)
    assert (finding.topic, finding.verdict) == ("secrets", verdict)
    assert words in finding.found
    assert bool(finding.advice) == (verdict is not Verdict.FINE)
