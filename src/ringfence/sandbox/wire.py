"""Packets between the session and the process inside: a request or an answer, and the descriptors that go with it.

Requests are `marshal` data, which needs no import and which only the side inside decodes: the session is trusted there.
Answers are lines of text, which the session parses with suspicion.
"""

from __future__ import annotations

import marshal
import os
from _socket import MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket
from _struct import pack, unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    # `typing` costs half as much as the interpreter's start, and nothing here needs it at run time.
    from typing import Any, TypeAlias

    Request: TypeAlias = dict[str, Any]

PACKET = 60_000
"""Larger requests travel in a memory file, announced by an empty packet."""
DESCRIPTORS = 250
"""The kernel passes 253 at once."""

_SPACE = 4096


def send(channel: socket, data: bytes, descriptors: tuple[int, ...] = ()) -> None:
    """Send one packet; the descriptors stay open here."""
    rights = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(descriptors)}i", *descriptors))] if descriptors else []
    channel.sendmsg([data], rights)


def receive(channel: socket) -> tuple[bytes, tuple[int, ...]]:
    """Receive one packet; no data means that the other side is gone."""
    data, ancillary, _, _ = channel.recvmsg(PACKET + 1024, _SPACE, MSG_CMSG_CLOEXEC)
    descriptors: tuple[int, ...] = ()
    for level, kind, value in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            descriptors += unpack(f"{len(value) // 4}i", value[: len(value) // 4 * 4])
    return data, descriptors


def send_request(channel: socket, request: Request, descriptors: tuple[int, ...] = ()) -> None:
    """Send a request of any size."""
    data = marshal.dumps(request)
    if len(data) <= PACKET:
        send(channel, data, descriptors)
        return
    file = os.memfd_create("request", os.MFD_CLOEXEC)
    try:
        with os.fdopen(file, "wb", closefd=False) as writer:
            writer.write(data)
        send(channel, b"+", (file, *descriptors))
    finally:
        os.close(file)


def receive_request(channel: socket) -> tuple[Request | None, tuple[int, ...]]:
    """Receive a request, or None when the session is gone."""
    data, descriptors = receive(channel)
    if not data:
        return None, descriptors
    if data == b"+":
        file, *rest = descriptors
        descriptors = tuple(rest)
        with os.fdopen(file, "rb") as reader:
            reader.seek(0)
            data = reader.read()
    request: Request = marshal.loads(data)  # noqa: S302 - the session wrote it; nothing inside can
    return request, descriptors
