"""The frames between the hook client inside and the session outside: one question, one answer, then the end.

Only bytes in and out, no input or output. The client carries its own copy of these few lines, because it has to run
without this package; a test keeps the two in step.
"""

from __future__ import annotations

import struct

from ringfence.agents.agent import HookAnswer, HookUnreadable

QUESTION = b"RFQ1"
ANSWER = b"RFA1"
HEADER = 8
"""Four bytes that name the frame and its version, four that hold the length of what follows, big-endian."""
LARGEST = 16 * 1024 * 1024
"""A tool call that is larger is denied unread."""


def question(event: str, payload: bytes) -> bytes:
    """The frame that carries what the agent handed to its hook."""
    return _frame(QUESTION, event.encode() + b"\n" + payload)


def answer(content: HookAnswer) -> bytes:
    """The frame that tells the client what to print and to return."""
    head = struct.pack(">BI", content.exit_code, len(content.stdout))
    return _frame(ANSWER, head + content.stdout + content.stderr)


def body_length(header: bytes, kind: bytes) -> int:
    """How many bytes follow a header; `HookUnreadable` where it is not a header of this kind."""
    if len(header) != HEADER or header[:4] != kind:
        raise HookUnreadable("the frame does not begin as one of this version does")
    length = int.from_bytes(header[4:], "big")
    if length > LARGEST:
        raise HookUnreadable(f"the frame has {length} bytes and the limit is {LARGEST}")
    return length


def read_question(body: bytes) -> tuple[str, bytes]:
    """The event and the payload of a question."""
    event, separator, payload = body.partition(b"\n")
    if not separator or not event.isalnum():
        raise HookUnreadable("the question does not name an event")
    return event.decode(), payload


def read_answer(body: bytes) -> HookAnswer:
    """The content of an answer."""
    if len(body) < 5:
        raise HookUnreadable("the answer is cut off")
    code, length = struct.unpack_from(">BI", body)
    if length > len(body) - 5:
        raise HookUnreadable("the answer is cut off")
    return HookAnswer(stdout=body[5 : 5 + length], stderr=body[5 + length :], exit_code=code)


def _frame(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "big") + body
