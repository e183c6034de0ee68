"""Checkpoints as C2SP signed notes: their text, their signature, and the key that makes it.

A checkpoint fixes everything recorded so far. It protects against everybody who cannot read the key: the sandbox
cannot. Whoever holds the user's own account can; against that a checkpoint has to be kept somewhere else.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_SIGNATURE = re.compile(r"— (?P<name>[^ +\n]+) (?P<value>[A-Za-z0-9+/]+={0,2})")
_NOTE = re.compile(r"(?:[^\n]+\n)+\n(?:— [^\n]+\n)+")


class Checkpoint(NamedTuple):
    """The size and root of a tree, under the name of its log."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The body of the note (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


class VerifierKey(NamedTuple):
    """A public key with its name."""

    name: str
    public: bytes

    @property
    def hash(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return _key_hash(self.name, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"


class NoteInvalid(ValueError):
    """A note or a key that cannot be read, or a signature that does not hold."""


def _key_hash(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def sign(checkpoint: Checkpoint, key_file: str) -> str:
    """The signed note. The key is made on first use, for its owner alone."""
    # Imported here, because the writer must answer before it pays for this.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    name, seed = _signing_key(key_file)
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    _publish(key_file, VerifierKey(name, public))
    text = checkpoint.text()
    signature = _key_hash(name, public) + private.sign(text.encode())
    return f"{text}\n— {name} {base64.b64encode(signature).decode()}\n"


class NoteSigner:
    """Signs texts with the key in a file, which is made on first use, for its owner alone."""

    def __init__(self, key_file: str) -> None:
        self._key_file = key_file
        self._loaded: tuple[VerifierKey, Callable[[bytes], bytes]] | None = None

    @property
    def key(self) -> str:
        """The verifier key, as text."""
        return str(self._load()[0])

    def sign(self, body: bytes) -> str:
        """The signature over some bytes, in base64."""
        return base64.b64encode(self._load()[1](body)).decode()

    def _load(self) -> tuple[VerifierKey, Callable[[bytes], bytes]]:
        # Imported here, because most sessions are asked nothing.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if self._loaded is None:
            name, seed = _signing_key(self._key_file)
            private = Ed25519PrivateKey.from_private_bytes(seed)
            key = VerifierKey(name, private.public_key().public_bytes_raw())
            _publish(self._key_file, key)
            self._loaded = key, private.sign
        return self._loaded


def holds(body: bytes, signature: str, key: VerifierKey) -> bool:
    """Whether a signature over some bytes is by this key."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(_base64(signature), body)
    except (InvalidSignature, NoteInvalid):
        return False
    return True


def verify(note: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint in a note, once a signature by this key was found to hold; `NoteInvalid` otherwise."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    checkpoint, signatures = parse(note)
    for name, value in signatures:
        if name != key.name or value[:4] != key.hash:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(value[4:], checkpoint.text().encode())
        except InvalidSignature as wrong:
            raise NoteInvalid("its signature does not hold") from wrong
        return checkpoint
    raise NoteInvalid("it is not signed by this ledger's key")


def parse(note: str) -> tuple[Checkpoint, tuple[tuple[str, bytes], ...]]:
    """The checkpoint of a note and its signatures, not yet verified."""
    text, separator, tail = note.rpartition("\n\n")
    lines = text.split("\n")
    if not separator or len(lines) != 3 or not lines[1].isascii() or not lines[1].isdigit():
        raise NoteInvalid("it is not a checkpoint")
    checkpoint = Checkpoint(lines[0], int(lines[1]), _base64(lines[2]))
    if len(checkpoint.root) != 32 or checkpoint.text() != text + "\n":
        raise NoteInvalid("it is not written in the canonical form of a checkpoint")
    signatures = []
    for line in tail.removesuffix("\n").split("\n"):
        found = _SIGNATURE.fullmatch(line)
        if found is None:
            raise NoteInvalid("its signature cannot be read")
        signatures.append((found["name"], _base64(found["value"])))
    return checkpoint, tuple(signatures)


def notes_in(text: str) -> list[str]:
    """The notes of a file to which one after the other was appended."""
    return [found.group().lstrip("\n") for found in _NOTE.finditer(text)]


def parse_key(text: str) -> VerifierKey:
    """A verifier key from its text, `NAME+HASH+BASE64`."""
    name, _, rest = text.strip().partition("+")
    stated, _, encoded = rest.partition("+")
    raw = _base64(encoded)
    key = VerifierKey(name, raw[1:])
    if raw[:1] != _ED25519 or len(key.public) != 32 or key.hash.hex() != stated:
        raise NoteInvalid("it is not an Ed25519 verifier key")
    return key


def _signing_key(key_file: str) -> tuple[str, bytes]:
    try:
        with open(key_file, encoding="ascii") as stream:
            text = stream.read().strip()
    except FileNotFoundError:
        text = _make_key(key_file)
    name, _, rest = text.removeprefix(_PRIVATE).partition("+")
    raw = _base64(rest.partition("+")[2])
    if not text.startswith(_PRIVATE) or raw[:1] != _ED25519 or len(raw) != 33:
        raise NoteInvalid(f"`{key_file}` does not hold a signing key")
    return name, raw[1:]


def _make_key(key_file: str) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    name = f"ringfence.local/{os.urandom(8).hex()}"
    private = Ed25519PrivateKey.generate()
    digest = _key_hash(name, private.public_key().public_bytes_raw()).hex()
    text = f"{_PRIVATE}{name}+{digest}+{base64.b64encode(_ED25519 + private.private_bytes_raw()).decode()}"
    # SECURITY: exclusive and without following links, so that nobody can hand us a key of theirs half-way.
    descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    return text


def _publish(key_file: str, key: VerifierKey) -> None:
    path = f"{key_file}.pub"
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii") as stream:
            stream.write(f"{key}\n")


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as wrong:
        raise NoteInvalid("its base64 cannot be read") from wrong
