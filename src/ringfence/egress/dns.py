"""Answers DNS questions without asking anybody: every name gets a synthetic address that only this session's gateway
understands.

Names that policy denies get one as well. The connection then reaches the gateway, which knows the name, can ask a
person, puts the denial on record and says why; `no such host` would say none of this and look like a typing error.
Bytes in, bytes out.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum

import msgspec

from ringfence.egress.name_budget import NameBudget, registered_domain
from ringfence.egress.synthetic import SyntheticAddresses
from ringfence.model.host import parse_host

_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _AUTHORITATIVE, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0100, 0x0080
_OPCODE = 0x7800
_A, _AAAA, _IN = 1, 28, 1
_TTL = 1
_LONGEST_NAME = 255
_TOLD_AT_MOST = 256
_LOOPBACK = {_A: b"\x7f\0\0\x01", _AAAA: bytes(15) + b"\x01"}


def _nobody(_name: str, _problem: str) -> None:
    """For those who do not want to be told."""


class Code(IntEnum):
    """The response codes that we give."""

    NO_ERROR = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    NO_SUCH_NAME = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks."""

    name: bytes
    """The labels joined by dots, as they came."""
    kind: int
    klass: int
    wire: bytes
    """The question as it came, to be repeated in the answer: clients compare even the case."""


class Resolve:
    """The answers of one session, within its budget of questions and names. `refused` is told of a name that is not
    answered and why: once for each registered domain, and once when there are no questions left."""

    def __init__(
        self,
        names: SyntheticAddresses,
        budget: int,
        *,
        asked: NameBudget | None = None,
        refused: Callable[[str, str], None] = _nobody,
    ) -> None:
        self._names = names
        self._budget = self._left = budget
        self._asked = asked
        self._refused = refused
        self._told: set[str] = set()

    def answer(self, query: bytes) -> bytes | None:
        """The answer to one message; None for what must not be answered because it is not a query at all."""
        if len(query) < _HEADER.size:
            return None
        identity, flags, questions, _, _, _ = _HEADER.unpack_from(query)
        if flags & _RESPONSE:
            return None
        if flags & _OPCODE:
            return _reply(identity, flags, Code.NOT_IMPLEMENTED)
        question = read_question(query) if questions == 1 else None
        if question is None:
            return _reply(identity, flags, Code.FORMAT_ERROR)
        if question.klass != _IN:
            return _reply(identity, flags, Code.REFUSED, question)
        if self._left <= 0:
            self._tell("", question.name.decode("latin-1"), f"this session has asked {self._budget} questions")
            return _reply(identity, flags, Code.REFUSED, question)
        self._left -= 1
        code, address = self._address(question)
        return _reply(identity, flags, code, question, address)

    def _address(self, question: Question) -> tuple[Code, bytes]:
        """The response code and the address; no address where the name has none of that kind."""
        if not question.name:
            return Code.NO_ERROR, b""
        try:
            host = parse_host(question.name)
        except ValueError:
            # SECURITY: what no gateway rule could name does not exist here, so nothing can be encoded in it either.
            return Code.NO_SUCH_NAME, b""
        if host.address is not None:
            return Code.NO_SUCH_NAME, b""
        if question.kind not in (_A, _AAAA):
            # Also for HTTPS and SVCB, whose keys for an encrypted ClientHello would hide the name from us.
            return Code.NO_ERROR, b""
        if host.name == "localhost" or host.name.endswith(".localhost"):
            return Code.NO_ERROR, _LOOPBACK[question.kind]
        problem = self._asked.spend(host.name) if self._asked is not None else ""
        if problem:
            self._tell(registered_domain(host.name), host.name, problem)
            return Code.REFUSED, b""
        addresses = self._names.of(host.name)
        if addresses is None:
            self._tell("", host.name, "this session has asked for too many names")
            return Code.SERVER_FAILURE, b""
        return Code.NO_ERROR, addresses[question.kind == _AAAA].packed

    def _tell(self, about: str, name: str, problem: str) -> None:
        # INVARIANT: a flood of questions is no flood of events.
        if about not in self._told and len(self._told) < _TOLD_AT_MOST:
            self._told.add(about)
            self._refused(name, problem)


def read_question(query: bytes) -> Question | None:
    """The only question of a message; None where it is malformed. A compressed name in a question is malformed."""
    at = _HEADER.size
    labels = []
    while True:
        if at >= len(query):
            return None
        length = query[at]
        at += 1
        if length == 0:
            break
        if length > 63 or at + length > len(query) or at - _HEADER.size > _LONGEST_NAME:
            return None
        labels.append(query[at : at + length])
        at += length
    if at + 4 > len(query) or at - _HEADER.size > _LONGEST_NAME or any(b"." in label for label in labels):
        return None
    kind, klass = struct.unpack_from(">HH", query, at)
    return Question(name=b".".join(labels), kind=kind, klass=klass, wire=query[_HEADER.size : at + 4])


def _reply(identity: int, flags: int, code: Code, question: Question | None = None, address: bytes = b"") -> bytes:
    out = _RESPONSE | _AUTHORITATIVE | _RECURSION_AVAILABLE | (flags & (_OPCODE | _RECURSION_DESIRED)) | code
    head = _HEADER.pack(identity, out, 1 if question else 0, 1 if address else 0, 0, 0)
    if question is None:
        return head
    if not address:
        return head + question.wire
    # 0xc00c points back to the name in the question.
    record = struct.pack(">HHHIH", 0xC00C, question.kind, _IN, _TTL, len(address)) + address
    return head + question.wire + record
