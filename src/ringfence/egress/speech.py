"""Whether what a client says first is a protocol that may be spoken on its connection.

A few bytes are looked at: enough to tell protocols apart, and too few to judge what is done with one.
"""

from __future__ import annotations

from collections.abc import Callable

from ringfence.egress import refusal
from ringfence.egress.first_bytes import Http, Spoken, Tls
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision

_TCP = "tcp"
_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_PROTOCOL_41 = 0x200
_NAMES = {"http": "HTTP", "tls": "TLS", "ssh": "SSH", "postgresql": "PostgreSQL", "mysql": "MySQL", "redis": "Redis"}


def may_be_spoken(spoken: Spoken, first: bytes, protocols: tuple[str, ...], *, ended: bool) -> bool | None:
    """Whether one of the protocols begins like this; None while that cannot be said yet."""
    if _TCP in protocols and not isinstance(spoken, Http | Tls):
        return True
    match spoken:
        case Http():
            return "http" in protocols
        case Tls():
            return "tls" in protocols
        case _:
            said = [begins(first) for name, begins in _BEGINNINGS.items() if name in protocols]
            if any(said):
                return True
            return None if None in said and not ended else not first


def unspeakable(action: ConnectAction, protocols: tuple[str, ...], spoken: Spoken | None = None) -> Decision:
    """The denial of a client that speaks something else."""
    said = "HTTP" if isinstance(spoken, Http) else "TLS" if isinstance(spoken, Tls) else ""
    if said and protocols and not {"http", "tls"} & set(protocols):
        opened = " and ".join(f'`protocol = "{name}"`' for name in protocols)
        text = f"the client speaks {said}, and requests to this destination are looked into; a rule with {opened}"
        step = (
            f"take `protocol` out of the rule for `{action.host}:{action.port}`: then HTTP and TLS are spoken there, "
        )
        step += "and their requests are seen; the administrator can name it in `network.pass_through`"
        return refusal.built_in(action, "network.protocol", f"{text} opens everything else there alone", step)
    allowed = ", ".join(_NAMES.get(name, name) for name in protocols)
    text = f"the client speaks another protocol than the rules for this destination open ({allowed})"
    step = f'name it in a `[[network.rule]]` for `{action.host}:{action.port}`: `protocol = "ssh"`, `"tcp"` and others'
    return refusal.built_in(action, "network.protocol", text, step)


def unread_key(action: ConnectAction) -> Decision:
    """The denial of SSH on a connection whose server said something else first, or long before its client."""
    text = "the client speaks SSH only after the server said something else, so that the server's key cannot be read"
    step = 'open the port for SSH alone, with `protocol = "ssh"`: there, what a server says first is read too'
    return refusal.built_in(action, "ssh.host-key", text, step)


def _ssh(first: bytes) -> bool | None:
    return True if first.startswith(b"SSH-") else (None if b"SSH-".startswith(first) else False)


def _postgresql(first: bytes) -> bool | None:
    """A request for encryption, a cancellation, or the start with version 3."""
    if len(first) < 8:
        return None if first[:2] in (b"", b"\0", b"\0\0") else False
    length, code = int.from_bytes(first[:4], "big"), int.from_bytes(first[4:8], "big")
    if code in (_SSL, _GSS):
        return length == 8
    return 8 <= length <= 10_000 and (code == _CANCEL or code >> 16 == 3)


def _mysql(first: bytes) -> bool | None:
    """The answer to the server's greeting: packet 1, with the capabilities of version 4.1."""
    if len(first) < 6:
        return None if len(first) < 4 or first[3] == 1 else False
    length, capabilities = int.from_bytes(first[:3], "little"), int.from_bytes(first[4:6], "little")
    return first[3] == 1 and length >= 32 and bool(capabilities & _PROTOCOL_41)


def _redis(first: bytes) -> bool | None:
    """A command as an array of texts."""
    line, end, _ = first.partition(b"\r\n")
    if line[:1] not in (b"", b"*") or not (line[1:].isdigit() or not line[1:]) or len(line) > 8:
        return False
    return True if end and line[1:] else None


_BEGINNINGS: dict[str, Callable[[bytes], bool | None]] = {
    "ssh": _ssh,
    "postgresql": _postgresql,
    "mysql": _mysql,
    "redis": _redis,
}
