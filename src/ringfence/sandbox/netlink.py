"""The sandbox's network: a loopback that takes every address as its own, and a redirect of every TCP port to the
gateway.

Raw netlink, because the tools for it may not be installed and cost a hundred milliseconds. What happens to the captured
connections is decided outside.
"""

from __future__ import annotations

import fcntl
import os
from _socket import AF_INET, AF_INET6, AF_NETLINK, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_RAW, socket
from _struct import pack, unpack_from

_REQUEST, _ACK, _EXCL, _CREATE, _APPEND = 1, 4, 0x200, 0x400, 0x800
_NEWROUTE, _TABLE_LOCAL, _LOCAL, _SCOPE_HOST = 24, 255, 2, 254
_SIOCSIFFLAGS, _UP, _RUNNING = 0x8914, 0x1, 0x40
_LOOPBACK = 1
_NETFILTER, _NFTABLES, _BATCH_BEGIN, _BATCH_END = 12, 10, 16, 17
_NEWTABLE, _NEWCHAIN, _NEWRULE = 0, 3, 6
_INET = 1
_TCP, _DNS = 6, 53
_HOOK_OUTPUT, _PRIORITY_DSTNAT = 3, -100
_META_NFPROTO, _META_L4PROTO = 15, 16
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2


def loopback_up() -> None:
    """Bring the loopback interface up."""
    probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        fcntl.ioctl(probe.fileno(), _SIOCSIFFLAGS, pack("16sH14x", b"lo", _UP | _RUNNING))
    finally:
        probe.close()


def take_every_address() -> bool:
    """Route all of IPv4 and IPv6 to the loopback; False where the kernel has no IPv6."""
    # UDP is not redirected: with these routes a datagram to any address finds no listener and is refused at once, so
    # that QUIC falls back to TCP without waiting; port 53 finds our resolver, whatever the resolver's address was.
    channel = _Channel(0)
    try:
        channel.transact([channel.message(_NEWROUTE, _CREATE | _EXCL | _ACK, _local_route(AF_INET))], 1)
        try:
            channel.transact([channel.message(_NEWROUTE, _CREATE | _EXCL | _ACK, _local_route(AF_INET6))], 1)
        except OSError:
            return False
        return True
    finally:
        channel.close()


def redirect_tcp(port: int) -> None:
    """Redirect every TCP connection to a port of ours, but those to the sandbox's own loopback and to port 53."""
    # Loopback is left alone, or the development server and its tests could not talk; port 53 has our resolver already.
    channel = _Channel(_NETFILTER)
    to_port = _expression("immediate", _attribute(1, pack(">I", 1)), _nested(2, _attribute(1, pack(">H", port))))
    redirect = to_port + _expression("redir", _attribute(1, pack(">I", 1)), _attribute(3, pack(">I", 2)))
    tcp = _meta(_META_L4PROTO) + _compare(equal=True, value=bytes([_TCP]))
    tcp += _payload(_TRANSPORT_HEADER, 2, 2) + _compare(equal=False, value=pack(">H", _DNS))
    v4 = _meta(_META_NFPROTO) + _compare(equal=True, value=b"\x02") + tcp
    v4 += _payload(_NETWORK_HEADER, 16, 1) + _compare(equal=False, value=b"\x7f")
    v6 = _meta(_META_NFPROTO) + _compare(equal=True, value=b"\x0a") + tcp
    v6 += _payload(_NETWORK_HEADER, 24, 16) + _compare(equal=False, value=bytes(15) + b"\x01")
    hook = _nested(4, _attribute(1, pack(">I", _HOOK_OUTPUT)), _attribute(2, pack(">i", _PRIORITY_DSTNAT)))
    table, chain = _text(1, "ringfence"), "output"
    try:
        batch = [
            channel.nft(_NEWTABLE, _CREATE, table),
            channel.nft(_NEWCHAIN, _CREATE, table + _text(3, chain) + hook + _text(7, "nat")),
            channel.nft(_NEWRULE, _CREATE | _APPEND, table + _text(2, chain) + _nested(4, v4 + redirect)),
            channel.nft(_NEWRULE, _CREATE | _APPEND, table + _text(2, chain) + _nested(4, v6 + redirect)),
        ]
        edge = pack(">BBH", 0, 0, _NFTABLES)
        begin, end = channel.message(_BATCH_BEGIN, 0, edge), channel.message(_BATCH_END, 0, edge)
        channel.transact([begin, *batch, end], len(batch))
    finally:
        channel.close()


class _Channel:
    """One netlink socket; counts messages, and turns a refused one into an `OSError`."""

    def __init__(self, protocol: int) -> None:
        self._socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._sequence = 0

    def message(self, kind: int, flags: int, body: bytes) -> bytes:
        self._sequence += 1
        return pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, self._sequence, 0) + body

    def nft(self, kind: int, flags: int, body: bytes) -> bytes:
        return self.message((_NFTABLES << 8) | kind, flags | _ACK, pack(">BBH", _INET, 0, 0) + body)

    def transact(self, messages: list[bytes], acknowledgements: int) -> None:
        self._socket.send(b"".join(messages))
        while acknowledgements > 0:
            reply = self._socket.recv(65536)
            position = 0
            while position + 16 <= len(reply):
                length, kind = unpack_from("=IH", reply, position)
                if kind == 2:
                    (error,) = unpack_from("=i", reply, position + 16)
                    if error:
                        raise OSError(-error, f"netlink: {os.strerror(-error)}")
                    acknowledgements -= 1
                position += (length + 3) & ~3

    def close(self) -> None:
        self._socket.close()


def _local_route(family: int) -> bytes:
    scope = _SCOPE_HOST if family == AF_INET else 0
    header = pack("=BBBBBBBBI", family, 0, 0, 0, _TABLE_LOCAL, 4, scope, _LOCAL, 0)
    return header + _attribute(4, pack("=I", _LOOPBACK))


def _attribute(kind: int, data: bytes) -> bytes:
    return pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _nested(kind: int, *data: bytes) -> bytes:
    return _attribute(kind | 0x8000, b"".join(data))


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _expression(name: str, *data: bytes) -> bytes:
    return _nested(1, _text(1, name), _nested(2, *data))


def _meta(key: int) -> bytes:
    return _expression("meta", _attribute(2, pack(">I", key)), _attribute(1, pack(">I", 1)))


def _payload(base: int, offset: int, length: int) -> bytes:
    words = [1, base, offset, length]
    return _expression("payload", *[_attribute(kind, pack(">I", word)) for kind, word in enumerate(words, 1)])


def _compare(*, equal: bool, value: bytes) -> bytes:
    operator = pack(">I", 0 if equal else 1)
    return _expression("cmp", _attribute(1, pack(">I", 1)), _attribute(2, operator), _nested(3, _attribute(1, value)))
