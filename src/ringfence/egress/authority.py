"""The certificate authority of one session, and the certificates it makes for the hosts that are inspected.

The key is made when the session begins, is never written to a disk, and dies with the process; the certificate is what
the sandbox is told to trust. Nothing outside the sandbox ever trusts it.
"""

from __future__ import annotations

import datetime
import os
import ssl
from collections import OrderedDict
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringfence.egress.inspection import HTTP1
from ringfence.model.host import Host

_CONTEXTS = 1024
_BACKDATED = datetime.timedelta(days=1)
_VALID = datetime.timedelta(days=30)
_LONGEST_COMMON_NAME = 64


class Authority:
    """Signs for one session. `now` is when it begins, in UTC."""

    def __init__(self, session: str, now: datetime.datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._begin, self._end = now - _BACKDATED, now + _VALID
        # The session in the name: two sessions' authorities must never pass for each other in somebody's cache.
        self._name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ringfence"),
                x509.NameAttribute(NameOID.COMMON_NAME, f"Ringfence session {session}"[:_LONGEST_COMMON_NAME]),
            ]
        )
        self._certificate = self._sign_itself()
        # One key for all leaves: it protects nothing that the authority's own does not.
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_pem = self._leaf_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._contexts: OrderedDict[tuple[str, tuple[str, ...]], ssl.SSLContext] = OrderedDict()

    @property
    def pem(self) -> bytes:
        """The certificate that the sandbox trusts."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The same, as Java's key stores want it."""
        return self._certificate.public_bytes(Encoding.DER)

    def context(self, host: Host, protocols: tuple[str, ...] = HTTP1) -> ssl.SSLContext:
        """What a client that asks for `host` is answered with."""
        wanted = (host.name, protocols)
        context = self._contexts.get(wanted)
        if context is None:
            context = self._contexts[wanted] = self._make(host, protocols)
            if len(self._contexts) > _CONTEXTS:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end(wanted)
        return context

    def leaf(self, host: Host) -> x509.Certificate:
        """A certificate for that host and no other."""
        name: x509.GeneralName = x509.DNSName(host.name)
        if host.address is not None:
            name = x509.IPAddress(ip_address(host.address))
        subject = [] if len(host.name) > _LONGEST_COMMON_NAME else [x509.NameAttribute(NameOID.COMMON_NAME, host.name)]
        public = self._leaf_key.public_key()
        return (
            self._builder(x509.Name(subject), public)
            .add_extension(x509.SubjectAlternativeName([name]), critical=not subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            # Strict clients (Python 3.13 and later) reject a leaf without both key identifiers.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )

    def _make(self, host: Host, protocols: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(list(protocols))
        # `load_cert_chain` takes a path only; this one leads to memory.
        memory = os.memfd_create("leaf", os.MFD_CLOEXEC)
        try:
            os.write(memory, self._leaf_pem + self.leaf(host).public_bytes(Encoding.PEM))
            context.load_cert_chain(f"/proc/self/fd/{memory}")
        finally:
            os.close(memory)
        return context

    def _sign_itself(self) -> x509.Certificate:
        public = self._key.public_key()
        return (
            self._builder(self._name, public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, SHA256())
        )

    def _builder(self, subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._end)
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
