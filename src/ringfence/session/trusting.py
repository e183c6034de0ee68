"""Makes the programs inside trust the gateway for the hosts that it looks into: files with the session's authority
beside what the machine trusts, and the variables that name them. Nothing of the host is changed."""

from __future__ import annotations

import datetime
import os
import ssl
from collections.abc import Mapping

import msgspec

from ringfence.egress.inspection import Certifies
from ringfence.egress.trust_stores import bundle, certificates, java_store
from ringfence.model.shown import PlacedFile

_FOLDER = "/run/ringfence"
BUNDLE = f"{_FOLDER}/ca-bundle.pem"
"""What the machine trusts, and the session's authority."""
OWN = f"{_FOLDER}/ca.pem"
"""The session's authority alone."""
JAVA = f"{_FOLDER}/cacerts"

VARIABLES = (
    *((name, BUNDLE) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO")),
    *((name, BUNDLE) for name in ("CODEX_CA_CERTIFICATE", "AWS_CA_BUNDLE", "PIP_CERT", "CARGO_HTTP_CAINFO")),
    *((name, BUNDLE) for name in ("NIX_SSL_CERT_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")),
    *((name, OWN) for name in ("NODE_EXTRA_CA_CERTS", "DENO_CERT")),
)
"""By which programs find a trust store that is not the system's own."""

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
_JAVA_STORES = (
    "/etc/ssl/certs/java/cacerts",
    "/etc/pki/java/cacerts",
    "/etc/pki/ca-trust/extracted/java/cacerts",
)
_LARGEST = 16 << 20


class Trusting(msgspec.Struct, frozen=True, kw_only=True):
    """What the sandbox is given so that its programs trust the gateway."""

    authority: Certifies
    files: tuple[PlacedFile, ...]
    overlays: tuple[PlacedFile, ...]
    """Over the system's own trust stores, where mounts are possible."""
    variables: tuple[tuple[str, str], ...] = VARIABLES


def trusting(session: str, now: datetime.datetime, environ: Mapping[str, str]) -> Trusting:
    """An authority for a session, and everything that makes it trusted inside."""
    from ringfence.egress.authority import Authority  # takes time to load, and most sessions look into nothing

    authority = Authority(session, now)
    machine = _machine(environ)
    both = bundle(authority.pem, machine)
    store = java_store((authority.der, *certificates(machine)), now_ms=int(now.timestamp() * 1000))
    files = (
        PlacedFile(path=BUNDLE, content=both),
        PlacedFile(path=OWN, content=authority.pem),
        PlacedFile(path=JAVA, content=store),
    )
    overlays = [PlacedFile(path=path, content=both) for path in _real(_BUNDLES)]
    overlays += [PlacedFile(path=path, content=store) for path in _real((*_JAVA_STORES, *_own_java(environ)))]
    return Trusting(authority=authority, files=files, overlays=tuple(overlays))


def _machine(environ: Mapping[str, str]) -> bytes:
    """The certificates that programs outside trust, as PEM."""
    paths = ssl.get_default_verify_paths()
    named = environ.get("SSL_CERT_FILE")
    for path in (named, paths.cafile, *_BUNDLES):
        if path:
            content = _read(path)
            if certificates(content):
                return content
    folder = environ.get("SSL_CERT_DIR") or paths.capath
    if folder and os.path.isdir(folder):
        return b"\n".join(_read(os.path.join(folder, name)) for name in sorted(os.listdir(folder)))
    return b""


def _own_java(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The store of the Java that the environment names, where it has one of its own."""
    home = environ.get("JAVA_HOME")
    return (os.path.join(home, "lib", "security", "cacerts"),) if home else ()


def _real(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The files themselves, each once: a link inside leads to the file, which is what is covered."""
    return tuple(dict.fromkeys(os.path.realpath(path) for path in paths if os.path.isfile(path)))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""
