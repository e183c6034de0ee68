"""The authority and the certificate of a measurement: the origin's, and what proxies that end TLS sign with."""

from __future__ import annotations

import datetime
import os
from ipaddress import ip_address

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Certificates(msgspec.Struct, frozen=True, kw_only=True):
    """Files, all readable for proxies that give up their rights."""

    authority: str
    """The certificate of the authority."""
    authority_key: str
    leaf: str
    """Certificate and key for `localhost`, in one file."""


def write(folder: str) -> Certificates:
    """Make an authority and a certificate for `localhost`, with ECDSA keys as is usual nowadays."""
    key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench authority")])
    authority = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = (
        _builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), name, leaf_key.public_key())
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    files = Certificates(
        authority=os.path.join(folder, "authority.pem"),
        authority_key=os.path.join(folder, "authority.key"),
        leaf=os.path.join(folder, "leaf.pem"),
    )
    _put(files.authority, authority.public_bytes(Encoding.PEM))
    _put(files.authority_key, _pem(key))
    _put(files.leaf, leaf.public_bytes(Encoding.PEM) + _pem(leaf_key))
    return files


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _put(path: str, content: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(content)
    os.chmod(path, 0o644)
