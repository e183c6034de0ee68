"""The filter between programs inside and the person's ssh-agent. Pure: messages in, messages out.

It lists the keys that a rule names, and lets one sign only what logs in to a host that the rule names: the client has
to bind the connection to the host's key first (`session-bind@openssh.com`), which the agent verifies, and the text to
be signed has to be about that session. Everything else is answered as a failure.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping

import msgspec

LARGEST = 256 * 1024
FAILURE = b"\x05"
_SUCCESS, _LIST, _IDENTITIES, _SIGN, _SIGNED, _EXTENSION = 6, 11, 12, 13, 14, 27
_USERAUTH_REQUEST = 50
_BIND = b"session-bind@openssh.com"
_METHODS = (b"publickey", b"publickey-hostbound-v00@openssh.com")


class Malformed(ValueError):
    """A message that does not have the form of the protocol."""


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the agent is to see; its answer goes back through `AgentFilter.answered`."""

    message: bytes


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the agent never sees."""

    why: str
    answer: bytes = FAILURE


class AgentFilter:
    """One connection from inside. `permitted` are the keys that may sign, by fingerprint, each with the host keys that
    it may sign for, by name."""

    def __init__(self, permitted: Mapping[str, Mapping[bytes, str]]) -> None:
        self._permitted = permitted
        self._bound: tuple[bytes, bytes] | None = None
        self._binding: tuple[bytes, bytes] | None = None
        self._forwarded = False
        self.signing = ""
        """What the last forwarded request signs, for the record."""

    def asked(self, message: bytes) -> Forwarded | Refusal:
        """What becomes of a request."""
        self._binding, self.signing = None, ""
        try:
            return self._judge(message)
        except Malformed as malformed:
            return Refusal(why=str(malformed))

    def answered(self, request: Forwarded, answer: bytes) -> bytes:
        """What the client is told of the agent's answer."""
        kind, number = request.message[0], answer[:1]
        if kind == _LIST and number == bytes((_IDENTITIES,)):
            return self._visible(answer)
        if kind == _EXTENSION and number == bytes((_SUCCESS,)):
            self._bound = self._binding
            return answer[:1]
        if kind == _SIGN and number == bytes((_SIGNED,)):
            return answer
        return FAILURE

    def _judge(self, message: bytes) -> Forwarded | Refusal:
        kind = message[0] if message else 0
        if self._forwarded:
            return Refusal(why="the connection is forwarded to a further host")
        if kind == _LIST and len(message) == 1:
            return Forwarded(message=message)
        if kind == _EXTENSION:
            return self._bind(message)
        if kind == _SIGN:
            return self._sign(message)
        return Refusal(why=f"requests of kind {kind} are not let through: keys are listed and sign, and nothing else")

    def _bind(self, message: bytes) -> Forwarded | Refusal:
        fields = _Fields(message[1:])
        if fields.text() != _BIND:
            return Refusal(why="the only extension that is let through binds a connection to its host")
        host, session, _signature = fields.text(), fields.text(), fields.text()
        forwarding = fields.byte()
        fields.end()
        if forwarding or self._bound is not None:
            # SECURITY: whoever is at that host speaks from here on, and would bind the connection anew.
            self._forwarded = True
            return Refusal(why="the connection is forwarded to a further host")
        if not any(host in hosts for hosts in self._permitted.values()):
            return Refusal(why=f"the host key {fingerprint(host)} belongs to no host that a rule names")
        self._binding = (host, session)
        return Forwarded(message=message)

    def _sign(self, message: bytes) -> Forwarded | Refusal:
        fields = _Fields(message[1:])
        key, data, _flags = fields.text(), fields.text(), fields.number()
        fields.end()
        hosts = self._permitted.get(fingerprint(key))
        if hosts is None:
            return Refusal(why=f"the key {fingerprint(key)} is named by no rule")
        if self._bound is None:
            return Refusal(why="the connection was not bound to a host, so nothing tells where the signature goes")
        host, session = self._bound
        if host not in hosts:
            return Refusal(why=f"the key {fingerprint(key)} may not sign for this host")
        why = _not_a_login(data, key, host, session)
        if why:
            return Refusal(why=why)
        self.signing = f"{fingerprint(key)} for {hosts[host]}"
        return Forwarded(message=message)

    def _visible(self, answer: bytes) -> bytes:
        try:
            fields = _Fields(answer[1:])
            entries = [(fields.text(), fields.text()) for _ in range(min(fields.number(), 10_000))]
        except Malformed:
            return FAILURE
        kept = [entry for entry in entries if fingerprint(entry[0]) in self._permitted]
        packed = b"".join(_packed(text) for entry in kept for text in entry)
        return bytes((_IDENTITIES,)) + struct.pack(">I", len(kept)) + packed


def fingerprint(key: bytes) -> str:
    """A key's fingerprint as `ssh-add -l` shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _not_a_login(data: bytes, key: bytes, host: bytes, session: bytes) -> str:
    """Why a text to be signed is not the login to this host in this session, or nothing."""
    try:
        fields = _Fields(data)
        if fields.text() != session:
            return "the text to be signed is not about the session that the connection was bound to"
        kind, _user, service = fields.byte(), fields.text(), fields.text()
        method, with_signature, _algorithm, named = fields.text(), fields.byte(), fields.text(), fields.text()
        if (kind, service, with_signature, named) != (_USERAUTH_REQUEST, b"ssh-connection", 1, key):
            return "the text to be signed is no login"
        if method not in _METHODS:
            return "the text to be signed is a login of another kind"
        if method == _METHODS[1] and fields.text() != host:
            return "the login is for another host than the connection was bound to"
        fields.end()
    except Malformed:
        # A signature over a file or a commit has another form, and would be good for anything.
        return "the text to be signed is no login"
    return ""


class _Fields:
    """Reads the fields of a message, and never past its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        return self._take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def text(self) -> bytes:
        return self._take(self.number())

    def end(self) -> None:
        if self._at != len(self._data):
            raise Malformed("the message is longer than what it says")

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise Malformed("the message is cut off")
        self._at += size
        return self._data[self._at - size : self._at]


def _packed(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text
