"""The one place where a text becomes a host: policy, DNS, SOCKS, CONNECT, SNI and the Host header all come here.

A name is lower-case ASCII letters, digits, hyphens and underscores in labels, without a trailing dot; an address, in
whatever notation, becomes its one shortest form. It does not resolve names and does not say which host is allowed.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import msgspec

HOST_LOOPBACK = "host.ringfence.internal"
"""The name under which the host's own loopback can be reached from a sandbox, where a rule allows it."""

_LONGEST_INPUT = 1024
_LONGEST_NAME = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
# Characters that the two IDNA standards map to different names; a rule must not be about another host than it says.
_DEVIATIONS = "\u00df\u03c2\u200c\u200d"


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A host that cannot be misread: either a name in its one spelling, or an address in its one notation."""

    name: str
    """What rules match and people read: the name, or the address as text."""
    address: str | None = None
    """The address, where the host was written as one; then the same text as `name`."""

    def __str__(self) -> str:
        return self.name

    @property
    def authority(self) -> str:
        """The form that stands before a port: an IPv6 address in brackets, anything else as it is."""
        return f"[{self.name}]" if ":" in self.name else self.name


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A host and a port."""

    host: Host
    port: int

    def __str__(self) -> str:
        return f"{self.host.authority}:{self.port}"


@lru_cache(maxsize=2048)
def parse_host(text: str | bytes) -> Host:
    """The host that `text` names; `ValueError`, with words for a person, for anything that two programs could read
    differently. Bytes come from a wire and have to be ASCII; a `str` may hold an internationalised name (IDNA 2003)."""
    host = _decode(text).lower()
    # SECURITY: `evil.test\0.allowed.test` is one name to a matcher that looks at the end and another to the C library.
    _refuse_characters(host)
    if host.startswith("["):
        if not host.endswith("]") or ":" not in host:
            raise ValueError(f"host {shown(host)} has brackets that do not hold an IPv6 address")
        return _ipv6(host[1:-1])
    if ":" in host:
        return _ipv6(host)
    return _name_or_ipv4(host.removesuffix("."))


def parse_destination(text: str | bytes, *, default_port: int | None = None) -> Destination:
    """The host and port of `host:port`, an IPv6 address in brackets; without a port, `default_port` where there is
    one. `ValueError` for anything else."""
    whole = _decode(text)
    host, port = _split_port(whole)
    if port is None:
        if default_port is None:
            raise ValueError(f"destination {shown(whole)} has no port; write `host:port`")
        return Destination(host=parse_host(host), port=default_port)
    return Destination(host=parse_host(host), port=parse_port(port))


def parse_port(text: str) -> int:
    """A port from 1 to 65535 in plain decimal digits; `ValueError` otherwise."""
    if not _PORT.fullmatch(text) or not 0 < int(text) < 65536:
        raise ValueError(f"port {shown(text)} is not a number from 1 to 65535")
    return int(text)


def shown(text: str) -> str:
    """The text in backticks for a message: controls and everything outside ASCII escaped, and cut where it is long."""
    escaped = text.encode("unicode_escape").decode("ascii")
    return f"`{escaped if len(escaped) <= 100 else escaped[:100] + '...'}`"


def _decode(text: str | bytes) -> str:
    if len(text) > _LONGEST_INPUT:
        raise ValueError(f"host {shown(_lossy(text[:40]))} is longer than {_LONGEST_NAME} characters")
    if isinstance(text, bytes):
        if not text.isascii():
            raise ValueError(f"host {shown(_lossy(text))} is not ASCII; write the `xn--` form")
        return text.decode("ascii")
    return text if text.isascii() else _idna(text)


def _lossy(text: str | bytes) -> str:
    return text.decode("latin-1") if isinstance(text, bytes) else text


def _idna(text: str) -> str:
    if any(character in _DEVIATIONS for character in text):
        raise ValueError(f"host {shown(text)} means two names, depending on the IDNA standard; write the `xn--` form")
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise ValueError(f"host {shown(text)} is not a valid internationalised name: {error}") from None


def _refuse_characters(host: str) -> None:
    if not host:
        raise ValueError("the host is empty")
    for character in host:
        if character <= " " or character == "\x7f":
            raise ValueError(f"host {shown(host)} holds white space or a control character")
        if character == "%":
            raise ValueError(f"host {shown(host)} holds `%`: neither escapes nor zone ids are accepted")
        if character == "@":
            raise ValueError(f"host {shown(host)} holds `@`: a user name does not belong to a host")


def _name_or_ipv4(host: str) -> Host:
    last = host.rpartition(".")[2]
    # SECURITY: a resolver reads any of `0x7f.1`, `017700000001` and `2130706433` as an address. What ends in a number
    # is therefore an address or nothing, as in the URL standard.
    if _NUMBER.fullmatch(last):
        return _ipv4(host)
    if len(host) > _LONGEST_NAME:
        raise ValueError(f"host {shown(host)} is longer than {_LONGEST_NAME} characters")
    if not _NAME.fullmatch(host):
        raise ValueError(f"host {shown(host)} is not a name: {_fault(host)}")
    return Host(name=host)


def _fault(host: str) -> str:
    for label in host.split("."):
        if not label:
            return "it has an empty label"
        if len(label) > 63:
            return f"label {shown(label)} is longer than 63 characters"
        if label.startswith("-") or label.endswith("-"):
            return f"label {shown(label)} starts or ends with a hyphen"
    return "only letters, digits, `-`, `_` and `.` can stand in a name"


def _ipv4(host: str) -> Host:
    parts = [_number(part, host) for part in host.split(".")]
    if len(parts) > 4:
        raise ValueError(f"host {shown(host)} ends in a number but is not an IPv4 address: it has more than four parts")
    *leading, last = parts
    if any(part > 255 for part in leading) or last >= 256 ** (4 - len(leading)):
        raise ValueError(f"host {shown(host)} ends in a number but is not an IPv4 address: a part is too large")
    value = last
    for index, part in enumerate(leading):
        value |= part << 8 * (3 - index)
    text = str(IPv4Address(value))
    return Host(name=text, address=text)


def _number(part: str, host: str) -> int:
    try:
        if len(part) > 16:
            raise ValueError
        if part.startswith("0x"):
            return int(part[2:], 16) if "_" not in part else _refuse()
        return int(part, 8) if len(part) > 1 and part.startswith("0") else _decimal(part)
    except ValueError:
        message = f"host {shown(host)} ends in a number but is not an IPv4 address: {shown(part)} is not a number"
        raise ValueError(message) from None


def _decimal(part: str) -> int:
    return int(part) if part.isdecimal() else _refuse()


def _refuse() -> int:
    raise ValueError


def _ipv6(text: str) -> Host:
    try:
        address = IPv6Address(text)
    except AddressValueError as error:
        raise ValueError(f"host {shown(text)} is not an IPv6 address: {_lower_first(str(error))}") from None
    # A v4-mapped address is dialled as IPv4, so it is judged as IPv4.
    canonical = str(address.ipv4_mapped or address)
    return Host(name=canonical, address=canonical)


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:]


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"destination {shown(text)} is not `[address]:port`")
        return host + bracket, rest[1:] if rest else None
    host, colon, port = text.partition(":")
    if ":" in port:
        raise ValueError(f"destination {shown(text)} has several colons; write an IPv6 address as `[address]:port`")
    return host, port if colon else None
