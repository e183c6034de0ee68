"""Runs inside: every attempt in a process of its own, several at a time, with one line about how each ended.

The standard library alone, for the system's interpreter. An attempt that finds a proxy in its environment uses it;
without one it goes straight to where a reader that means well would go.
"""

import base64
import errno
import fcntl
import json
import os
import signal
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

SECONDS, AT_ONCE = 2.0, 40


class Ended(Exception):
    """The last word of an attempt."""


def proxy_place(variable):
    """Where the proxy listens; None without one."""
    found = os.environ.get(variable) or os.environ.get("HTTPS_PROXY")
    place = urlsplit(found) if found else None
    return (place.hostname, place.port) if place else None


def wire(text):
    """The bytes of a word: its characters are bytes, as in `latin-1`."""
    return text.encode("latin-1")


def split(place):
    """The host and port of a place."""
    host, _, port = place.rpartition(":")
    return host.strip("[]"), int(port)


def dial(place):
    """A connection to a host and port."""
    client = socket.create_connection(place, SECONDS)
    client.settimeout(SECONDS)
    return client


def heard(client):
    """Ends with what came back."""
    answer = client.recv(2000)
    raise Ended("done" if b"pong" in answer else ended_by(answer))


def ended_by(answer):
    """The last word for an answer that is not the server's."""
    first = answer.split(b"\r\n")[0].split(b" ")
    return f"status {first[1].decode()}" if first[0].startswith(b"HTTP/") and len(first) > 1 else "closed"


def opened(target):
    """A tunnel to a place; without a proxy, a connection to it."""
    place = proxy_place("HTTPS_PROXY")
    client = dial(place or split(target))
    if place:
        client.sendall(wire(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"))
        answer = client.recv(1000)
        if b" 200 " not in answer.split(b"\r\n")[0]:
            raise Ended(ended_by(answer))
    return client


# ---- below the proxy


def connect(host, port, text, how="plain"):
    """Connects to an address, in one of several ways, and sends a text."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind, protocol = {"mptcp": (1, 262), "sctp": (1, 132), "sctp-many": (5, 132), "dccp": (6, 33)}.get(how, (1, 0))
    if how == "smc":
        family, protocol = 43, 0
    client = socket.socket(family, kind, protocol)
    client.settimeout(SECONDS)
    ways = {
        "device": lambda: client.setsockopt(socket.SOL_SOCKET, 25, b"lo\0"),
        "fastopen-connect": lambda: client.setsockopt(socket.IPPROTO_TCP, 30, 1),
        "route": lambda: client.setsockopt(0, 4, bytes((131, 7, 4)) + socket.inet_aton(host) + b"\0"),
        "mark": lambda: client.setsockopt(socket.SOL_SOCKET, 36, 7),
        "transparent": lambda: client.setsockopt(0, 19, 1),
        "free": lambda: (client.setsockopt(0, 15, 1), client.bind(("10.20.30.40", 0))),
        "repair": lambda: client.setsockopt(socket.IPPROTO_TCP, 19, 1),
    }
    ways.get(how, lambda: None)()
    place = (host, int(port))
    if how == "fastopen":
        client.settimeout(None)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 3, 0))
        client.sendto(wire(text + "\r\n"), socket.MSG_FASTOPEN, place)
        client.settimeout(SECONDS)
    elif how == "sctp-many":
        client.sendto(wire(text), place)
    else:
        client.connect(place)
        client.sendall(wire(text + "\r\n"))
    heard(client)


def datagram(host, port, text, how="plain"):
    """Sends a datagram, in one of several ways."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    client = socket.socket(family, socket.SOCK_DGRAM, 136 if how == "udplite" else 0)
    client.settimeout(0.7)
    place = (host, int(port))
    data = wire(text)
    if how == "quic":  # the long header of an Initial packet, padded as it has to be
        data = (b"\xc3\x00\x00\x00\x01\x08" + bytes(8) + b"\x00\x00\x44\x00" + data).ljust(1200, b"\0")
    if how == "connected":
        client.connect(place)
        client.send(data)
    elif how == "message":
        client.sendmsg([data], [], 0, place)
    else:
        client.sendto(data, place)
    heard(client)


def ping(host, text, kind="raw"):
    """Sends a ping that carries a text, by a raw socket or by that for pings."""
    client = socket.socket(socket.AF_INET, socket.SOCK_RAW if kind == "raw" else socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    client.settimeout(0.7)
    body = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + wire(text)
    body += b"\0" * (len(body) % 2)
    total = sum(struct.unpack(f">{len(body) // 2}H", body))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    client.sendto(body[:2] + struct.pack(">H", total) + body[4:], (host, 0))
    while wire(text) not in client.recv(2000):
        pass
    raise Ended("succeeded a ping was answered")


def family(number, kind, protocol):
    """Opens a socket of a family that has ways of its own out of the machine."""
    socket.socket(int(number), int(kind), int(protocol)).close()
    raise Ended("succeeded a socket was opened")


def interface(word):
    """Changes the network itself."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if word == "mtu":  # to what it is: only the right to do so is tried
        found = fcntl.ioctl(client, 0x8921, struct.pack("16si12x", b"lo", 0))
        fcntl.ioctl(client, 0x8922, found)
    elif word == "tun":
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, 0x400454CA, struct.pack("16sH14x", b"", 0x1001))
    elif word == "promiscuous":
        everything = socket.socket(17, 3, socket.htons(3))
        everything.bind(("lo", 0))
    elif word == "firewall":
        _netfilter()
    raise Ended("succeeded the network was changed")


def _netfilter():
    """Adds a table to the packet filter: whoever may do so may take our redirect away."""
    client = socket.socket(16, 3, 12)
    client.settimeout(1)

    def message(kind, flags, family, resource, body=b""):
        return (
            struct.pack("=IHHII", 20 + len(body), kind, flags, 1, 0) + struct.pack(">BBH", family, 0, resource) + body
        )

    table = struct.pack("=HH", 4 + 8, 1) + b"attempt\0"
    batch = message(16, 1, 0, 10) + message(10 << 8, 0x405, 2, 0, table) + message(17, 1, 0, 10)
    client.send(batch)
    answer = client.recv(4096)
    (code,) = struct.unpack_from("=i", answer, 16)
    if code:
        raise OSError(-code, os.strerror(-code))


def inherited(descriptor, text):
    """Writes to a socket that was open when the session began."""
    client = socket.socket(fileno=int(descriptor))
    client.settimeout(SECONDS)
    client.sendall(wire(text))
    heard(client)


def unix(name, text):
    """Writes to a socket that is known by a name alone."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(SECONDS)
    client.connect("\0" + name)
    client.sendall(wire(text))
    heard(client)


# ---- names


def query(server, name, kind="1", how="udp"):
    """Asks a name server for a name that carries data; `system`: the one of this machine."""
    if server == "system":
        with open("/etc/resolv.conf", encoding="ascii") as stream:
            server = next(line.split()[1] for line in stream if line.startswith("nameserver"))
    labels = b"".join(bytes([len(part)]) + wire(part) for part in name.split("."))
    more = b""
    if how == "edns":  # an option of our own, with the data
        option = struct.pack(">HH", 65001, len(name)) + wire(name)
        more = b"\0" + struct.pack(">HHIH", 41, 1232, 0, len(option)) + option
        labels = b"\x04leak\x04test"
    packet = struct.pack(">6H", 7, 0x0100, 1, 0, 0, bool(more)) + labels + b"\0" + struct.pack(">2H", int(kind), 1)
    packet += more
    if how == "tcp":
        client = dial((server, 53))
        client.sendall(struct.pack(">H", len(packet)) + packet)
    else:
        client = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(0.7)
        client.sendto(packet, (server, 53))
    answer = client.recv(512)
    raise Ended("done" if answer else "closed")


def resolve(name):
    """Asks the system for a name that carries data."""
    try:
        socket.getaddrinfo(name, 80)
    except socket.gaierror as error:
        raise Ended(f"EAI {error.errno}") from None
    raise Ended("done")


def secure(host, port, name, text):
    """Speaks TLS to a place straight away, with a text in the name that it asks for."""
    context = ssl.create_default_context()
    client = dial((host, int(port)))
    try:
        context.wrap_socket(client, server_hostname=f"{text}.{name}")
    except ssl.SSLError as error:
        raise Ended("done" if error.reason == "WRONG_VERSION_NUMBER" else "closed") from None


# ---- the proxy


def proxied(place, raw, then=""):
    """Says something to the proxy, and `then` behind its yes; without one, to where it leads if one means well."""
    proxy = proxy_place("HTTP_PROXY")
    client = dial(proxy or split(place))
    client.sendall(wire(raw if proxy else then or raw))
    answer = client.recv(2000)
    if proxy and then:
        if b" 200 " not in answer.split(b"\r\n")[0]:
            raise Ended(ended_by(answer))
        client.sendall(wire(then))
        answer = client.recv(2000)
    seen = ended_by(answer)
    while answer and seen == "status 200":  # whoever sends several requests listens for all answers
        client.settimeout(0.3)
        try:
            answer = client.recv(2000)
        except OSError:
            break
    raise Ended(seen if b"pong" not in answer else "done")


def tunnelled(target, *parts):
    """Opens a tunnel to an allowed place and says something in it, in one piece or in several."""
    client = opened(target)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answer = b""
    for part in parts:
        client.sendall(wire(part))
        if len(parts) > 1:
            time.sleep(0.05)
    answer = client.recv(2000)
    time.sleep(0.2)
    raise Ended("done" if b"pong" in answer else ended_by(answer))


def hello(target, name, how="plain"):
    """Opens a tunnel to an allowed place and asks there for another, in TLS."""
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0"
    names = [wire(each) for each in name.split("|")] if name else []
    entries = [b"\0" + struct.pack(">H", len(each)) + each for each in names]
    if how == "twice":
        listed = [struct.pack(">HHH", 0, len(each) + 2, len(each)) + each for each in entries]
    else:
        joined = b"".join(entries)
        listed = [struct.pack(">HHH", 0, len(joined) + 2, len(joined)) + joined] if entries else []
    extensions = b"".join(listed)
    body += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    size = 52 if how == "records" else 16384  # the name begins in the second
    data = b"".join(
        b"\x16\x03\x01" + struct.pack(">H", len(message[at : at + size])) + message[at : at + size]
        for at in range(0, len(message), size)
    )
    if how == "warned":
        data = b"\x15\x03\x01\x00\x02\x01\x5a" + data
    if how == "old":
        data = b"\x80" + bytes([9 + 3 + 16 + len(name)]) + b"\x01\x03\x01\x00\x03\x00\x00\x00\x10\x00\x00\x2f"
        data += bytes(16) + wire(name)
    client = opened(target)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pieces = [data[:1], data[1:9], data[9:]] if how == "segments" else [data]
    for piece in pieces:
        client.sendall(piece)
        time.sleep(0.03)
    heard(client)


def socks(version, command, host, port, text):
    """Asks for a place by SOCKS 4, 4a or 5; without a proxy, goes to where a reader that means well would."""
    place = proxy_place("ALL_PROXY")
    naive = host.split("\0")[0].strip("[]")
    if not place:
        if command == "3":
            datagram(naive, port, text)
        connect(socket.gethostbyname(naive) if ":" not in naive else naive, port, text)
    client = dial(place)
    ask = struct.pack(">H", int(port))
    if version == "5":
        client.sendall(b"\x05\x01\x00")
        if client.recv(2) != b"\x05\x00":
            raise Ended("socks refused")
        client.sendall(b"\x05" + bytes([int(command)]) + b"\x00" + _socks_address(host) + ask)
    else:
        address = b"\0\0\0\x01" if version == "4a" else socket.inet_aton(host)
        named = wire(host) + b"\0" if version == "4a" else b""
        client.sendall(b"\x04" + bytes([int(command)]) + ask + address + b"user\0" + named)
    answer = client.recv(100)
    granted = b"\0" if version == "5" else b"\x5a"
    if answer[1:2] != granted:
        raise Ended(f"socks {answer[1]}" if len(answer) > 1 else "closed")
    client.sendall(wire(text))
    heard(client)


def _socks_address(host):
    for family, kind in ((socket.AF_INET, b"\x01"), (socket.AF_INET6, b"\x04")):
        try:
            return kind + socket.inet_pton(family, host.strip("[]"))
        except (OSError, ValueError):
            pass
    return b"\x03" + bytes([len(host)]) + wire(host)


def password(text):
    """Logs in at the proxy with a password that carries data, and asks for a place."""
    place = proxy_place("ALL_PROXY")
    if not place:
        connect("1.1.1.1", "443", text)
    client = dial(place)
    client.sendall(b"\x05\x01\x02")
    answer = client.recv(2)
    raise Ended("socks refused" if answer == b"\x05\xff" else f"socks {answer!r}")


def fetch(url):
    """Asks for a page the way ordinary programs do, and goes where the answer sends them."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            raise Ended("done" if b"pong" in answer.read() else "other answer")
    except urllib.error.HTTPError as error:
        raise Ended(f"status {error.code}") from None
    except urllib.error.URLError as error:
        raise error.reason if isinstance(error.reason, OSError) else error from None


WAYS = (connect, datagram, ping, family, interface, inherited, query, resolve, secure, proxied, tunnelled, hello)
ATTEMPTS = {each.__name__: each for each in (*WAYS, unix, socks, password, fetch)}


def last_word(words):
    """Makes one attempt, and says how it ended."""
    try:
        ATTEMPTS[words[0]](*words[1:])
    except Ended as end:
        return str(end)
    except socket.gaierror as error:
        return f"EAI {error.errno}"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, f"error {type(error).__name__}")
    return "done"


def start(name, words):
    """One attempt in a process of its own."""
    child = os.fork()
    if child == 0:
        signal.alarm(int(3 * SECONDS))
        print(f"attempt {name} {last_word(words)}", flush=True)
        os._exit(0)
    return child


def main():
    """Make all attempts."""
    running = set()
    for name, words in json.loads(base64.b64decode(sys.argv[1])).items():
        running.add(start(name, words))
        while len(running) >= AT_ONCE:
            running.discard(os.wait()[0])
    while running:
        running.discard(os.wait()[0])


if __name__ == "__main__":
    print("attack: began", flush=True)
    main()
    print("attack: ended done", flush=True)
