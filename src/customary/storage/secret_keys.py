"""The keys that secrets are encrypted with before they are stored: AES-256-GCM, each key under an id of its own.

What is encrypted is bound to its context, such as the account and the policy that it belongs to: put into another
row, it cannot be read. What need not be read again, the secrets of API keys, is hashed with a pepper: HMAC-SHA-256
under a key that is derived from the one at hand.
"""

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from customary.errors import SetupError, Unavailable, Undecryptable

KEY_BYTES = 32
_NONCE_BYTES = 12
_MOST_KEYS = 100
_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")
# Never change it: every stored hash of an API secret is made with what is derived by it.
_PEPPER = b"customary: secrets of API keys"
_HOW_TO_MAKE = "Make one with: customary secrets new-key"


class KeyRing:
    """Keys by their ids. The first one encrypts; each of them decrypts what it encrypted. It never shows a key."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._peppers = {key_id: HKDFExpand(SHA256(), KEY_BYTES, _PEPPER).derive(key) for key_id, key in keys.items()}
        self.ids = tuple(keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self.ids)})"

    @property
    def first(self) -> str:
        """The id of the key that encrypts. Raises `Unavailable` where there is none."""
        if not self.ids:
            message = "This service has no key to encrypt secrets with. Its operator has to give it one."
            raise Unavailable(message)
        return self.ids[0]

    def encrypt(self, plaintext: bytes, context: str) -> tuple[str, bytes]:
        """The id of the first key, and the nonce with what the key makes of this. Raises `Unavailable` without one."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key_id = self.first
        return key_id, nonce + self._ciphers[key_id].encrypt(nonce, plaintext, context.encode())

    def decrypt(self, key_id: str | None, ciphertext: bytes, context: str) -> bytes:
        """What was encrypted in this context; without a key id it was not encrypted yet.

        Raises `Undecryptable` where its key is not in this ring, or it was changed or belongs elsewhere.
        """
        if key_id is None:
            return ciphertext
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            message = (
                f"A secret is encrypted with the key '{key_id}', which this service was not given."
                " Its operator has to add that key again."
            )
            raise Undecryptable(message)
        try:
            return cipher.decrypt(ciphertext[:_NONCE_BYTES], ciphertext[_NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError):
            message = (
                f"A secret cannot be read with the key '{key_id}': either it was changed in the database,"
                " or this is another key under the same id. The operator has to look."
            )
            raise Undecryptable(message) from None

    def pepper(self, digest: bytes) -> tuple[str, bytes]:
        """The id of the first key, and this digest hashed with its pepper. Raises `Unavailable` without a key."""
        return self.first, hmac.digest(self._peppers[self.first], digest, "sha256")

    def pepper_with_each(self, digest: bytes) -> dict[str, bytes]:
        """This digest hashed with the pepper of each key: the same work whatever it is going to be compared with."""
        return {key_id: hmac.digest(pepper, digest, "sha256") for key_id, pepper in self._peppers.items()}


# For whoever has nothing to do with secrets.
NO_KEYS = KeyRing({})


def parse(text: str) -> KeyRing:
    """The ring in this text: entries `id:key` with the key in base64, on lines of their own or behind commas.

    Empty lines and lines that begin with # say nothing. Raises `SetupError`, which never quotes what may be a key.
    """
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    if not entries:
        message = f"There is no key among the secret keys. {_HOW_TO_MAKE}"
        raise SetupError(message)
    if len(entries) > _MOST_KEYS:
        message = f"There are {len(entries)} secret keys; at most {_MOST_KEYS} can be used."
        raise SetupError(message)
    keys: dict[str, bytes] = {}
    for position, entry in enumerate(entries, start=1):
        key_id, key = _parse_entry(position, entry)
        if key_id in keys:
            message = f"Two secret keys have the id '{key_id}'. Every key needs an id of its own."
            raise SetupError(message)
        keys[key_id] = key
    if len(set(keys.values())) < len(keys):
        message = "The same secret key stands there twice, under two ids. Remove one of them."
        raise SetupError(message)
    return KeyRing(keys)


def new_key() -> str:
    """A new random key as `parse` reads it, under a random id."""
    return f"k{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def _parse_entry(position: int, entry: str) -> tuple[str, bytes]:
    key_id, colon, encoded = entry.partition(":")
    if not colon or not _ID.fullmatch(key_id):
        message = (
            f"Entry {position} of the secret keys is not 'id:key' with an id of 1 to 40 letters, digits, dots,"
            f" dashes or underscores. {_HOW_TO_MAKE}"
        )
        raise SetupError(message)
    try:
        key = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        message = f"The key of entry {position} of the secret keys is not base64. {_HOW_TO_MAKE}"
        raise SetupError(message) from None
    if len(key) != KEY_BYTES:
        message = (
            f"The key of entry {position} of the secret keys has {len(key)} bytes; it needs {KEY_BYTES}. {_HOW_TO_MAKE}"
        )
        raise SetupError(message)
    return key_id, key
