"""Sockets in a sandbox without a network of its own: each is made here, and connected, bound and set to listen here.

A program's stream socket is ours too until it is connected; then it leads to the gateway, or to a program inside, and
to nothing else. Its datagram socket is no socket of the network at all, but one end of a pair at whose other end the
gateway answers DNS: whatever address a program gives with a message, there is nobody else to receive it.
"""

from __future__ import annotations

import os
import select
import time
from _socket import (
    AF_INET,
    AF_INET6,
    AF_NETLINK,
    AF_UNIX,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_V6ONLY,
    SO_ERROR,
    SO_REUSEADDR,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    inet_ntop,
    inet_pton,
    socket,
    socketpair,
)

from ringfence.sandbox import listeners, syscalls
from ringfence.sandbox.backends.calls import AT_CWD, Descriptor, Kernels, Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence.sandbox.backends.calls import Answer, Call
    from ringfence.sandbox.backends.files import Files

_ENOENT, _EACCES, _EINVAL, _EAGAIN = 2, 13, 22, 11
_EAFNOSUPPORT, _EADDRINUSE, _EADDRNOTAVAIL, _ENETUNREACH = 97, 98, 99, 101
_EISCONN, _ENOTCONN, _ETIMEDOUT, _ECONNREFUSED, _EINPROGRESS, _EOPNOTSUPP = 106, 107, 110, 111, 115, 95
_UNSPEC = 0
_DNS = 53
_HELD = 512
"""How many sockets without a connection are held; of an older one that comes to be connected, a new one takes the
place."""
_REMEMBERED = 65_536
_WAIT_SECONDS = 30.0
_BACKLOG = 4096
_HERE = ("127.0.0.1", "0.0.0.0", "::", "::1")  # noqa: S104 - as the kernel takes them
"""The addresses at which the gateway's proxy and the host's ports are found; others of the loopback are nobody's."""
_DATAGRAM, _CONNECTED, _LISTENING = "datagram", "connected", "listening"


class Waiting:
    """A caller that waits until its socket is connected."""

    def __init__(self, call: Call, made: socket, retry: Callable[[], int] | None, deadline: float) -> None:
        self.call = call
        self.made = made
        self.retry = retry
        self.deadline = deadline


class Sockets:
    """Serves the calls that make and join sockets. `deliver` hands a connection, and where it is to go, to the
    gateway."""

    def __init__(
        self, files: Files, own: str, hook: str, host_ports: list[int], deliver: Callable[[str, socket], None]
    ) -> None:
        self._files = files
        self._own = own
        # The sandbox's loopback is one of IPv4 under it all; what listens by IPv6 alone has an address of its own, so
        # that both can have the same port.
        self._own6 = own.rpartition(".")[0] + ".255"
        self._hook = hook
        self._host_ports = frozenset(host_ports)
        self._deliver = deliver
        self._held: dict[int, socket] = {}
        self._known: dict[int, str] = {}
        self._name_servers: dict[int, bytes] = {}
        self._families: dict[int, int] = {}
        self._ports: dict[tuple[str, int], int] = {}
        self._abstract: dict[bytes, int] = {}
        self._paths: dict[tuple[int, int], int] = {}
        """The sockets with a path, each held by a descriptor: else the number of one that is gone would be given to
        another, and to a daemon outside at that."""
        self._expected: dict[tuple[str, int], str] = {}
        self.waiting: dict[int, Waiting] = {}
        """The callers that wait, by the descriptor of their socket."""
        self.gate = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
        """Where the connections for the gateway are made. Nobody else's are taken there."""
        self.gate.bind((own, 0))
        self.gate.listen(_BACKLOG)
        self.handlers: dict[str, Callable[[Call], Answer]] = {
            "socket": self._socket,
            "connect": self._connect,
            "bind": self._bind,
            "listen": self._listen,
            "sendto": self._send,
            "recvfrom": self._receive,
            "getsockname": lambda c: self._name(c, peer=False),
            "getpeername": lambda c: self._name(c, peer=True),
        }

    def accept(self) -> None:
        """Take the connections that were made for the gateway, and hand them over."""
        while True:
            try:
                taken, sender = self.gate._accept()  # type: ignore[attr-defined]
            except OSError:
                return
            made = socket(fileno=taken)
            # SECURITY: anybody on the machine may connect here; only what was connected by us is expected.
            kind = self._expected.pop((sender[0], sender[1]), None)
            if kind is not None:
                self._deliver(kind, made)
            made.close()

    def settle(self, descriptor: int, now: float) -> None:
        """See what became of a connection that somebody waits for."""
        waiting = self.waiting[descriptor]
        code = waiting.retry() if waiting.retry is not None else waiting.made.getsockopt(SOL_SOCKET, SO_ERROR)
        if code == _EAGAIN and now < waiting.deadline:
            return
        del self.waiting[descriptor]
        os.set_blocking(descriptor, True)
        waiting.made.close()
        waiting.call.answer(-code)

    def expire(self, now: float) -> None:
        """Give up on what takes too long, and ask again where nothing tells us."""
        for descriptor, waiting in tuple(self.waiting.items()):
            if waiting.retry is not None:
                self.settle(descriptor, now)
            elif now >= waiting.deadline:
                del self.waiting[descriptor]
                os.set_blocking(descriptor, True)
                waiting.made.close()
                waiting.call.answer(-_ETIMEDOUT)

    def _socket(self, call: Call) -> Answer:
        family, kind, protocol = (call.number_at(index) for index in range(3))
        flags, kind = kind & ~0xF, kind & 0xF
        if family in (AF_INET, AF_INET6) and kind == SOCK_DGRAM:
            return self._datagram(family, flags)
        made = socket(family, kind | flags | SOCK_CLOEXEC, protocol)
        self._hold(made.fileno(), made)
        return Descriptor(os.dup(made.fileno()), close_on_exec=bool(flags & SOCK_CLOEXEC))

    def _datagram(self, family: int, flags: int) -> Answer:
        theirs, ours = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        try:
            self._deliver("dns_packets", ours)
        finally:
            ours.close()
        os.set_blocking(theirs.fileno(), not flags & SOCK_NONBLOCK)
        self._remember(_number(theirs.fileno()), _DATAGRAM)
        self._families[_number(theirs.fileno())] = family
        return Descriptor(theirs.detach(), close_on_exec=bool(flags & SOCK_CLOEXEC))

    def _hold(self, descriptor: int, made: socket) -> None:
        number = _number(descriptor)
        self._known.pop(number, None)
        self._held[number] = made
        if len(self._held) > _HELD:
            self._held.pop(next(iter(self._held))).close()

    def _remember(self, number: int, what: str) -> None:
        self._known.pop(number, None)
        self._known[number] = what
        self._name_servers.pop(number, None)
        if len(self._known) > _REMEMBERED:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._name_servers.pop(oldest, None)
            self._families.pop(oldest, None)

    def _address(self, call: Call) -> tuple[int, bytes]:
        size = min(call.arguments[2] & 0xFFFFFFFF, 128)
        if size < 2:
            raise OSError(_EINVAL, "no address")
        raw = call.memory(call.arguments[1], size)
        if len(raw) < size:
            raise OSError(14, "no such address")
        return int.from_bytes(raw[:2], "little"), raw

    def _connect(self, call: Call) -> Answer:
        family, raw = self._address(call)
        number = call.socket_number(call.number_at(0))
        known = self._known.get(number)
        call.check()
        if known == _DATAGRAM:
            return self._connect_datagram(number, family, raw)
        if known is not None:
            return -_EISCONN
        made = self._held.get(number)
        if made is None:
            made = self._in_place(call, AF_UNIX if family == AF_UNIX else AF_INET6 if family == AF_INET6 else AF_INET)
            number = _number(made.fileno())
        if made.family == AF_NETLINK or family == _UNSPEC:
            return 0 if family == made.family else -_EAFNOSUPPORT
        if family != made.family:
            return -_EAFNOSUPPORT
        return (
            self._connect_unix(call, made, number, raw[2:])
            if family == AF_UNIX
            else self._connect_tcp(call, made, number, *_internet(raw))
        )

    def _connect_datagram(self, number: int, family: int, raw: bytes) -> Answer:
        if family in (_UNSPEC, AF_UNIX):
            return 0 if family == _UNSPEC else -_EAFNOSUPPORT
        if _internet(raw)[1] != _DNS:
            return -_ENETUNREACH
        self._name_servers[number] = raw[:28]
        return 0

    def _connect_tcp(self, call: Call, made: socket, number: int, address: str, port: int) -> Answer:
        target, kind = self._target(address, port)
        if target is None:
            return -_ECONNREFUSED
        blocking = os.get_blocking(made.fileno())
        os.set_blocking(made.fileno(), False)
        if made.family == AF_INET6 and not made.getsockname()[1]:
            made.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
        code = made.connect_ex(target if made.family == AF_INET else (f"::ffff:{target[0]}", target[1]))
        if code not in (0, _EINPROGRESS):
            os.set_blocking(made.fileno(), blocking)
            return -code
        if kind:
            address, port = made.getsockname()[:2]
            self._expected[address.removeprefix("::ffff:"), port] = kind
        return self._joined(call, made, number, code, blocking=blocking)

    def _target(self, address: str, port: int) -> tuple[tuple[str, int] | None, str]:
        """Where a connection is made, and what the gateway is to make of it."""
        gate = self.gate.getsockname()
        if port == _DNS:
            return gate, "dns_tcp"
        if not _is_loopback(address):
            return gate, f"{'capture6' if ':' in address else 'capture4'} {address} {port}"
        if port == listeners.PROXY_PORT and address in _HERE:
            return gate, "proxy"
        for own in (self._own6, self._own) if ":" in address else (self._own,):
            number = self._ports.get((own, port))
            if number is not None and _listens(own, port, number):
                return (own, port), ""
        if port in self._host_ports and address in _HERE:
            return gate, f"host:{port}"
        return None, ""

    def _joined(self, call: Call, made: socket, number: int, code: int, *, blocking: bool) -> Answer:
        """A connection is under way: the socket is the program's alone from now on."""
        self._held.pop(number, None)
        self._remember(number, _CONNECTED)
        if not blocking:
            made.close()
            return -code
        if code == _EINPROGRESS:
            code = made.getsockopt(SOL_SOCKET, SO_ERROR) if _is_writable(made) else code
        if code != _EINPROGRESS:
            os.set_blocking(made.fileno(), True)
            made.close()
            return -code
        return self._wait(call, made, None)

    def _wait(self, call: Call, made: socket, retry: Callable[[], int] | None) -> Answer:
        self.waiting[made.fileno()] = Waiting(call, made, retry, _clock() + _WAIT_SECONDS)
        return Later()

    def _connect_unix(self, call: Call, made: socket, number: int, name: bytes) -> Answer:
        if name.startswith(b"\0"):
            if name not in self._abstract or not _is_bound(b"@" + name[1:], self._abstract[name]):
                return -_ECONNREFUSED
            return self._connect_to(call, made, number, os.fsdecode(name), None)
        path = name.partition(b"\0")[0]
        if path == os.fsencode(listeners.HOOK_PATH):
            return self._connect_to(call, made, number, self._hook, None)
        base, path = call.start(AT_CWD, path)
        try:
            held = syscalls.open_as_seen(base, path)
        finally:
            os.close(base)
        status = os.fstat(held)
        if (status.st_dev, status.st_ino) not in self._paths:
            os.close(held)
            # SECURITY: whoever else listens there is outside.
            return -_EACCES
        return self._connect_to(call, made, number, f"/proc/self/fd/{held}", held)

    def _connect_to(self, call: Call, made: socket, number: int, name: str, held: int | None) -> Answer:
        blocking = os.get_blocking(made.fileno())
        os.set_blocking(made.fileno(), False)
        code = made.connect_ex(name)
        if code == _EAGAIN and blocking:
            self._held.pop(number, None)
            again = made

            def retry() -> int:
                result = again.connect_ex(name)
                if result != _EAGAIN and held is not None:
                    os.close(held)
                return result

            return self._wait(call, made, retry)
        if held is not None:
            os.close(held)
        os.set_blocking(made.fileno(), blocking)
        if code == 0:
            self._held.pop(number, None)
            self._remember(number, _CONNECTED)
            made.close()
        return -code

    def _send(self, call: Call) -> Answer:
        """Take note of the name server that a message is for. Whatever the address is, nobody else receives it."""
        number = call.socket_number(call.number_at(0))
        if self._known.get(number) == _DATAGRAM:
            raw = call.memory(call.arguments[4], min(call.arguments[5] & 0xFFFFFFFF, 28))
            call.check()
            self._name_servers[number] = raw
        return Kernels()

    def _receive(self, call: Call) -> Answer:
        """Lay the name server's address out for a caller that is about to receive an answer from it: resolvers make
        sure that it comes from there, and the kernel leaves what it has nothing to put into."""
        number = call.socket_number(call.number_at(0))
        raw = self._name_servers.get(number)
        if raw and self._known.get(number) == _DATAGRAM and call.arguments[5]:
            size = int.from_bytes(call.memory(call.arguments[5], 4), "little")
            call.write(call.arguments[4], raw[: min(size, len(raw))])
        return Kernels()

    def _name(self, call: Call, *, peer: bool) -> Answer:
        """The name of a datagram socket, which is to the program what it asked for."""
        number = call.socket_number(call.number_at(0))
        if self._known.get(number) != _DATAGRAM:
            return Kernels()
        raw = self._name_servers.get(number, b"")
        if peer and not raw:
            return -_ENOTCONN
        if not peer:
            raw = self._own_name(self._families.get(number, AF_INET), 49_152 + number % 16_384 if raw else 0)
        size = int.from_bytes(call.memory(call.arguments[2], 4), "little")
        call.write(call.arguments[1], raw[: min(size, len(raw))])
        call.write(call.arguments[2], len(raw).to_bytes(4, "little"))
        return 0

    def _own_name(self, family: int, port: int) -> bytes:
        address = inet_pton(AF_INET, self._own)
        head = family.to_bytes(2, "little") + port.to_bytes(2, "big")
        if family == AF_INET:
            return head + address + bytes(8)
        return head + bytes(4) + bytes(10) + b"\xff\xff" + address + bytes(4)

    def _bind(self, call: Call) -> Answer:
        family, raw = self._address(call)
        number = call.socket_number(call.number_at(0))
        known = self._known.get(number)
        call.check()
        if known == _DATAGRAM:
            return 0 if _internet(raw)[1] == 0 else -_EADDRNOTAVAIL
        if known is not None:
            return -_EINVAL
        made = self._held.get(number) or self._in_place(call, family)
        if family != made.family:
            return -_EAFNOSUPPORT
        if family == AF_NETLINK:
            made.bind((0, int.from_bytes(raw[8:12], "little")))
            self._held.pop(number, None)
            made.close()
            return 0
        if family == AF_UNIX:
            return self._bind_unix(call, made, raw[2:])
        address, port = _internet(raw)
        if not _is_loopback(address):
            return -_EADDRNOTAVAIL
        return self._bind_tcp(made, port)

    def _bind_tcp(self, made: socket, port: int) -> Answer:
        own = self._own
        if made.family == AF_INET6 and made.getsockopt(IPPROTO_IPV6, IPV6_V6ONLY):
            own = self._own6
            made.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
        address = own if made.family == AF_INET else f"::ffff:{own}"
        try:
            made.bind((address, port))
        except OSError as error:
            if error.errno != _EADDRINUSE or not self._let_go(own, port):
                raise
            made.bind((address, port))
        self._ports[own, made.getsockname()[1]] = _number(made.fileno())
        return 0

    def _let_go(self, own: str, port: int) -> bool:
        """Close what we hold of sockets that were bound to a port and never used: the program may have closed them."""
        number = self._ports.get((own, port))
        held = None if number is None else self._held.pop(number, None)
        if held is not None:
            held.close()
        return held is not None

    def _bind_unix(self, call: Call, made: socket, name: bytes) -> Answer:
        if not name or name.startswith(b"\0"):
            made.bind(name)
            self._abstract[os.fsencode(made.getsockname())] = _number(made.fileno())
            # SECURITY: a program can make names without end.
            if len(self._abstract) > _REMEMBERED:
                del self._abstract[next(iter(self._abstract))]
            return 0
        with self._files.socket_place(call, name.partition(b"\0")[0]) as place:
            os.umask(call.umask())
            os.fchdir(place.folder)
            try:
                made.bind(place.name)
                held = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            finally:
                os.chdir("/")
        status = os.fstat(held)
        self._paths[status.st_dev, status.st_ino] = held
        self._let_go_of_paths()
        return 0

    def _let_go_of_paths(self) -> None:
        """Of too many, those that have been removed go first, then the oldest."""
        if len(self._paths) <= _HELD:
            return
        gone = [key for key, held in self._paths.items() if not os.fstat(held).st_nlink]
        for key in gone or [next(iter(self._paths))]:
            os.close(self._paths.pop(key))

    def _listen(self, call: Call) -> Answer:
        number = call.socket_number(call.number_at(0))
        known = self._known.get(number)
        call.check()
        if known is not None:
            return 0 if known == _LISTENING else -_EOPNOTSUPP
        made = self._held.get(number)
        if made is None:
            return -_EINVAL
        if made.family in (AF_INET, AF_INET6) and made.getsockname()[1] == 0:
            # SECURITY: a socket that is bound to nothing would listen on every address of the machine.
            self._bind_tcp(made, 0)
        made.listen(max(call.number_at(1), 0))
        self._remember(number, _LISTENING)
        self._held.pop(number, None)
        made.close()
        return 0

    def _in_place(self, call: Call, family: int) -> socket:
        """A new socket in the place of one of the caller's that we do not hold any more."""
        if family not in (AF_INET, AF_INET6, AF_UNIX, AF_NETLINK):
            raise OSError(_EAFNOSUPPORT, "no such family")
        number = call.number_at(0)
        flags = call.descriptor_flags(number)
        made = socket(family, SOCK_STREAM if family != AF_NETLINK else SOCK_DGRAM)
        if family in (AF_INET, AF_INET6):
            made.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        os.set_blocking(made.fileno(), not flags & os.O_NONBLOCK)
        call.put(number, made.fileno(), close_on_exec=bool(flags & os.O_CLOEXEC))
        self._hold(made.fileno(), made)
        return made


def _number(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


def _internet(raw: bytes) -> tuple[str, int]:
    """The address and port of the network, IPv4 as such in whichever form it comes."""
    family, port = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:4], "big")
    if family == AF_INET and len(raw) >= 16:
        return inet_ntop(AF_INET, raw[4:8]), port
    if family == AF_INET6 and len(raw) >= 24:
        if raw[8:20] == bytes(10) + b"\xff\xff":
            return inet_ntop(AF_INET, raw[20:24]), port
        return inet_ntop(AF_INET6, raw[8:24]), port
    raise OSError(_EINVAL if family in (AF_INET, AF_INET6) else _EAFNOSUPPORT, "no such address")


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in _HERE


def _is_writable(made: socket) -> bool:
    poll = select.poll()
    poll.register(made.fileno(), select.POLLOUT)
    return bool(poll.poll(0))


def _clock() -> float:
    return time.monotonic()


def _listens(own: str, port: int, number: int) -> bool:
    """Whether a socket that was bound inside listens on its port still."""
    # SECURITY: asked each time, since a program outside that listens on every address has the port as soon as ours has
    # left it.
    raw = bytes(int(each) for each in own.split("."))[::-1].hex().upper()
    for table, address in (("tcp", raw), ("tcp6", f"0000000000000000FFFF0000{raw}")):
        try:
            with open(f"/proc/net/{table}", encoding="ascii") as file:
                for line in file:
                    fields = line.split()
                    if fields[1] == f"{address}:{port:04X}" and fields[3] == "0A" and int(fields[9]) == number:
                        return True
        except OSError:
            continue
    return False


def _is_bound(name: bytes, number: int) -> bool:
    """Whether an abstract name belongs to the socket inside that took it still."""
    with open("/proc/net/unix", "rb") as file:
        return any(
            line.split(maxsplit=7)[6:7] == [b"%d" % number] and line.rstrip(b"\n").endswith(b" " + name)
            for line in file
        )
