"""The beginning of a PostgreSQL connection (protocol 3): the client shows a placeholder, the server gets the password.

Sans-IO: bytes of both sides in, bytes for both sides out, until the server has said yes; what follows passes untouched.
To the server it speaks TLS or not at all, and it proves to know the password by SCRAM where the server takes that.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from enum import Enum, auto
from hashlib import md5

import msgspec

from ringfence.egress.credentials.secret import Credential
from ringfence.egress.databases.scram import MECHANISM, Scram, ScramInvalid
from ringfence.policy.effective import Attach

MOST_MESSAGE = 64 * 1024
"""How long a message before the login may be."""
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_OK, _CLEAR, _MD5, _SASL, _SASL_GO_ON, _SASL_DONE = 0, 3, 5, 10, 11, 12


class State(Enum):
    """What is waited for."""

    STARTUP = auto()
    CLIENT_TLS = auto()
    PASSWORD = auto()
    SERVER_OFFER = auto()
    SERVER_TLS = auto()
    SERVER = auto()
    OPEN = auto()
    """The login is over: all bytes pass from here on."""
    OVER = auto()
    """Nothing more comes; what is waiting for the client goes to it."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why the login may not go on."""

    rule: str
    text: str


class Login:
    """One connection. The stage around it moves bytes, and wraps a side in TLS where `state` says so."""

    def __init__(
        self,
        credentials: Sequence[Credential],
        nonce: Callable[[int], bytes],
        *,
        can_tls: bool,
        used: Callable[[Credential, str, str], None],
    ) -> None:
        """`used` is told which credential is about to be used, by which user and for which database."""
        self.state = State.STARTUP
        self.to_client = b""
        self.to_server = b""
        self.refusal: Refusal | None = None
        self._credentials = tuple(credentials)
        self._nonce = nonce
        self._can_tls = can_tls
        self._used = used
        self._from_client = b""
        self._from_server = b""
        self._startup = b""
        self._cancels = False
        self._user = ""
        self._database = ""
        self._credential: Credential | None = None
        self._scram: Scram | None = None

    def client_said(self, data: bytes) -> None:
        """Bytes of the client."""
        if self.state is State.OPEN:
            self.to_server += data
            return
        self._from_client += data
        while self.state in (State.STARTUP, State.PASSWORD) and self._client_step():
            pass
        if len(self._from_client) > MOST_MESSAGE:
            self._refuse("protocol.malformed", "the client says too much before it is logged in")

    def client_is_secure(self) -> None:
        """The client's TLS stands."""
        self.state = State.STARTUP
        self._can_tls = False

    def server_is_secure(self) -> None:
        """The server's TLS stands, and its certificate names the host."""
        self.to_server += self._startup
        self.state = State.OVER if self._cancels else State.SERVER

    def server_said(self, data: bytes) -> None:
        """Bytes of the server."""
        if self.state is State.OPEN:
            self.to_client += data
            return None
        self._from_server += data
        if self.state is State.SERVER_OFFER:
            # SECURITY: whatever stands behind that byte was not said by the server of the certificate.
            if self._from_server != b"S":
                return self._refuse("credentials.clear", "the server does not offer TLS")
            self._from_server, self.state = b"", State.SERVER_TLS
        while self.state is State.SERVER and (message := self._message()) is not None:
            self._server_step(*message)
        if len(self._from_server) > MOST_MESSAGE:
            self._refuse("protocol.malformed", "the server says too much before the login")
        return None

    # the client

    def _client_step(self) -> bool:
        """Whether a message was complete."""
        data = self._from_client
        if self.state is State.PASSWORD:
            if len(data) < 5:
                return False
            length = int.from_bytes(data[1:5], "big") + 1
            if data[:1] != b"p" or not 5 <= length <= MOST_MESSAGE:
                self._refuse("protocol.malformed", "the client does not answer with a password")
                return False
            if len(data) < length:
                return False
            self._from_client = data[length:]
            self._shown(data[5:length].removesuffix(b"\0"))
            return True
        if len(data) < 8:
            return False
        length, code = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big")
        if not 8 <= length <= MOST_MESSAGE:
            self._refuse("protocol.malformed", "the client does not begin as one of PostgreSQL does")
            return False
        if len(data) < length:
            return False
        packet, self._from_client = data[:length], data[length:]
        self._begins(code, packet)
        return True

    def _begins(self, code: int, packet: bytes) -> None:
        if code == _SSL and self._from_client:
            # SECURITY: what came in the clear behind the question must not be taken for a part of the TLS.
            self._refuse("protocol.malformed", "the client says more before its TLS stands")
        elif code == _SSL and self._can_tls:
            self.to_client += b"S"
            self.state = State.CLIENT_TLS
        elif code in (_SSL, _GSS):
            self.to_client += b"N"
        elif code == _CANCEL:
            # A query is cancelled by a number that only the client and the server of that query know.
            self._startup, self._cancels = packet, True
            self._go_to_server()
        elif code >> 16 == 3:
            self._wants_in(packet)
        else:
            self._refuse("protocol.malformed", "the client speaks another version than 3 of PostgreSQL's protocol")

    def _wants_in(self, packet: bytes) -> None:
        parts = packet[8:].rstrip(b"\0").split(b"\0")
        said = dict(zip(parts[::2], parts[1::2], strict=False))
        if len(parts) % 2 or b"user" not in said or len(said) * 2 != len(parts):
            return self._refuse("protocol.malformed", "the client names no user, or something twice")
        self._startup = packet
        self._user = said[b"user"].decode("utf-8", "replace")
        self._database = said.get(b"database", said[b"user"]).decode("utf-8", "replace")
        fitting = [one for one in self._credentials if one.rule.user in ("", self._user)]
        if not fitting:
            names = ", ".join(f"`{one.rule.user}`" for one in self._credentials)
            return self._refuse("credentials.foreign", f"the client logs in as `{self._user}`, and only {names} may")
        self._credentials = tuple(fitting)
        if fitting[0].rule.attach is Attach.ALWAYS:
            return self._go_to_server(fitting[0])
        self.to_client += _authentication(_CLEAR)
        self.state = State.PASSWORD
        return None

    def _shown(self, password: bytes) -> None:
        for one in self._credentials:
            if hmac.compare_digest(password, one.placeholder.encode()):
                return self._go_to_server(one)
        names = ", ".join(f"`{one.name}`" for one in self._credentials)
        return self._refuse("credentials.foreign", f"the client shows another password than the placeholder of {names}")

    def _go_to_server(self, credential: Credential | None = None) -> None:
        self._credential = credential
        if credential is not None:
            self._used(credential, self._user, self._database)
        self.to_server += (8).to_bytes(4, "big") + _SSL.to_bytes(4, "big")
        self.state = State.SERVER_OFFER

    # the server

    def _message(self) -> tuple[bytes, bytes] | None:
        data = self._from_server
        if len(data) < 5:
            return None
        length = int.from_bytes(data[1:5], "big") + 1
        if not 5 <= length <= MOST_MESSAGE:
            self._refuse("protocol.malformed", "the server does not speak PostgreSQL's protocol")
            return None
        if len(data) < length:
            return None
        self._from_server = data[length:]
        return data[:1], data[5:length]

    def _server_step(self, kind: bytes, content: bytes) -> None:
        if kind in (b"E", b"N", b"v"):
            self.to_client += kind + (len(content) + 4).to_bytes(4, "big") + content
            self.state = State.OVER if kind == b"E" else self.state
            return None
        if kind != b"R" or len(content) < 4:
            return self._refuse("protocol.malformed", "the server says something else than how to log in")
        try:
            self._authenticate(int.from_bytes(content[:4], "big"), content[4:])
        except ScramInvalid as invalid:
            self._refuse("credentials.server", f"the server cannot be trusted with the login: {invalid}")

    def _authenticate(self, code: int, content: bytes) -> None:
        assert self._credential is not None
        password = self._credential.secret.reveal()
        match code:
            case 0 if self._scram is None:
                self._open()
            case 3:
                self._answer(password.encode() + b"\0")
            case 5:
                inner = md5(password.encode() + self._user.encode(), usedforsecurity=False).hexdigest()
                digest = md5(inner.encode() + content[:4], usedforsecurity=False).hexdigest()
                self._answer(f"md5{digest}".encode() + b"\0")
            case 10 if MECHANISM in content.split(b"\0"):
                self._scram = Scram(password, self._nonce(18))
                first = self._scram.first()
                self._answer(MECHANISM + b"\0" + len(first).to_bytes(4, "big") + first)
            case 11 if self._scram is not None:
                self._answer(self._scram.final(content))
            case 12 if self._scram is not None:
                self._scram.verify(content)
                self._scram = None
            case 0:
                raise ScramInvalid("it says yes before it has proved that it knows the password")
            case _:
                self._refuse(
                    "credentials.server", f"the server wants a login of a kind that is not known here ({code})"
                )

    def _answer(self, content: bytes) -> None:
        self.to_server += b"p" + (len(content) + 4).to_bytes(4, "big") + content

    def _open(self) -> None:
        self.state = State.OPEN
        self.to_client += _authentication(_OK) + self._from_server
        self.to_server += self._from_client
        self._from_client = self._from_server = b""

    def _refuse(self, rule: str, text: str) -> None:
        if self.state is State.OVER:
            return
        self.state = State.OVER
        self.to_server = b""
        self.refusal = Refusal(rule=rule, text=text)
        self.to_client += failure(f"ringfence: denied ({rule}): {text}")


def failure(text: str) -> bytes:
    """An error in the words of PostgreSQL."""
    shown = text.encode("ascii", "backslashreplace").replace(b"\0", b" ")
    content = b"SFATAL\0VFATAL\0C28000\0M" + shown + b"\0\0"
    return b"E" + (len(content) + 4).to_bytes(4, "big") + content


def _authentication(code: int) -> bytes:
    return b"R" + (8).to_bytes(4, "big") + code.to_bytes(4, "big")
