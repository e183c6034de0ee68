"""Watches a key exchange and holds back a server's key until it is one that was asked for. Bytes in, bytes out.

Nothing here proves that the server has the key: its signature is over a secret that only the two ends know. The client
checks that, against the very key that was checked here. See ADR 27.
"""

from __future__ import annotations

import base64
import hashlib

from ringfence.egress.ssh import wire
from ringfence.egress.ssh.wire import Part, SshInvalid, Stream

_REPLY, _GROUP_REPLY = 31, 33
_COOKIE = 16
_EXCHANGES = ("curve25519-", "curve448-", "ecdh-sha2-", "diffie-hellman-group", "sntrup761x25519-", "mlkem")
"""What the algorithms begin with whose answer carries the host key first."""
_GROUPS = "diffie-hellman-group-exchange-"
_CERTIFICATE = b"-cert-v01@openssh.com"
_FIELDS = {b"ssh-ed25519": 1, b"ssh-rsa": 2, b"ecdsa-sha2-": 2, b"sk-ssh-ed25519": 2, b"sk-ecdsa-sha2-": 3}
"""How many fields a public key has behind its name."""
_LONGEST = 262_144


class WrongKey(Exception):
    """The server shows another key."""


class KeyExchange:
    """One connection, until its encryption begins. `fingerprints` are the keys of which the server has to show one."""

    def __init__(self, fingerprints: tuple[str, ...]) -> None:
        self.shown = ""
        """The fingerprint of the key that the server showed."""
        self.over = False
        """Whether the encryption begins, and nothing more can be read."""
        self._fingerprints = fingerprints
        self._client = Stream(lines=False)
        self._server = Stream(lines=True)
        self._client_algorithms: tuple[str, ...] | None = None
        self._server_algorithms: tuple[str, ...] | None = None
        self._moved = 0

    def from_client(self, data: bytes) -> bytes:
        """What of the client's bytes may go on to the server."""
        self._client.feed(self._counted(data))
        passed = b""
        while self._client_algorithms is None and (part := self._client.next()) is not None:
            if part.payload is not None:
                self._client_algorithms = self._first(part, self._client_algorithms)
            passed += part.raw
        if self._client_algorithms is not None:
            passed += self._client.left
            self._client = Stream(lines=False)
        return passed

    def from_server(self, data: bytes) -> bytes:
        """What of the server's bytes may go on to the client. `WrongKey` where that would be another key."""
        if self.over:
            return data
        self._server.feed(self._counted(data))
        passed = b""
        while not self.over and (part := self._server.next()) is not None:
            if part.payload is not None:
                self._server_says(part)
            passed += part.raw
        return passed + self._server.left if self.over else passed

    def _server_says(self, part: Part) -> None:
        payload = part.payload or b""
        kind = payload[0] if payload else 0
        if self._server_algorithms is None:
            self._server_algorithms = self._first(part, None)
        elif kind == wire.NEWKEYS and self.shown:
            self.over = True
        elif kind in (_REPLY, _GROUP_REPLY):
            if kind == _GROUP_REPLY or not self._chosen().startswith(_GROUPS):
                self._check(wire.string(payload, 1)[0])
        elif kind not in (wire.DISCONNECT, wire.IGNORE, wire.UNIMPLEMENTED, wire.DEBUG):
            raise SshInvalid(f"the server sends message {kind} before its key is known")

    def _first(self, part: Part, known: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The key exchanges that one side can do."""
        payload = part.payload or b""
        if payload[:1] in (bytes([wire.IGNORE]), bytes([wire.DEBUG]), bytes([wire.DISCONNECT])):
            return known
        if payload[:1] != bytes([wire.KEXINIT]):
            raise SshInvalid("the first packet is not the offer of algorithms")
        names, _ = wire.string(payload, 1 + _COOKIE)
        return tuple(names.decode("ascii", "replace").split(","))

    def _chosen(self) -> str:
        """The key exchange that both sides take: the client's first that the server has."""
        offered, known = self._client_algorithms or (), self._server_algorithms or ()
        chosen = next((one for one in offered if one in known), "")
        if not chosen.startswith(_EXCHANGES):
            raise SshInvalid(f"the key exchange `{chosen[:60]}` shows no host key that can be read here")
        return chosen

    def _check(self, blob: bytes) -> None:
        # INVARIANT: every answer is checked, not only the first: which one the client takes is its own business.
        self._chosen()
        self.shown = fingerprint(plain_key(blob))
        if self.shown not in self._fingerprints:
            raise WrongKey(self.shown)

    def _counted(self, data: bytes) -> bytes:
        self._moved += len(data)
        if self._moved > _LONGEST:
            raise SshInvalid(f"its encryption does not begin within {_LONGEST} bytes")
        return data


def fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key, as OpenSSH shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def plain_key(blob: bytes) -> bytes:
    """The key itself, where a server shows a certificate: the client checks the signature with that same key."""
    name, at = wire.string(blob, 0)
    if not name.endswith(_CERTIFICATE):
        return blob
    kind = name.removesuffix(_CERTIFICATE)
    count = next((count for prefix, count in _FIELDS.items() if kind.startswith(prefix)), None)
    if count is None:
        raise SshInvalid("the server shows a certificate of an unknown kind")
    _, at = wire.string(blob, at)  # the nonce
    begin = at
    for _ in range(count):
        _, at = wire.string(blob, at)
    # The keys of security tokens are named after the vendor, as their certificates are.
    plain = kind + b"@openssh.com" if kind.startswith(b"sk-") else kind
    return len(plain).to_bytes(4, "big") + plain + blob[begin:at]
