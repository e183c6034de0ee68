"""ClientHellos for tests: real ones from the TLS library, and made ones for what it would never send."""

from __future__ import annotations

import contextlib
import ssl


def real_hello(server_name: str | None) -> bytes:
    """What Python's TLS client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=server_name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def made_hello(*extensions: tuple[int, bytes], record: int = 16_384) -> bytes:
    """A ClientHello with these extensions, in records of that length."""
    fields = b"".join(
        kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content for kind, content in extensions
    )
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01" + b"\x01\0" + len(fields).to_bytes(2, "big") + fields
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    parts = (message[at : at + record] for at in range(0, len(message), record))
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def server_name(name: bytes) -> tuple[int, bytes]:
    """The extension that names the host."""
    entry = b"\0" + len(name).to_bytes(2, "big") + name
    return 0, len(entry).to_bytes(2, "big") + entry
