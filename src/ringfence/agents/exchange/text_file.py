"""A settings file as it was handed in, and what is said where it is not even text, TOML or JSON."""

from __future__ import annotations

import re

import msgspec

from ringfence.model.situations import Diagnostic, PolicyInvalid
from ringfence.policy.schema import escaped

MAX_BYTES = 4 * 1024 * 1024
"""More than any settings file has."""

_PLACE = re.compile(r"(?s)(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)")


class TextFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of an agent."""

    name: str
    """As people know it."""
    content: bytes


def decoded(file: TextFile) -> str:
    """Its text; `PolicyInvalid` where it is none, or too much."""
    if len(file.content) > MAX_BYTES:
        raise fault(file, 1, 1, f"the file has {len(file.content):,} bytes; the limit is {MAX_BYTES:,}")
    try:
        return file.content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = file.content[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        message = f"byte 0x{file.content[error.start]:02x} is not UTF-8"
        raise fault(file, before.count(b"\n") + 1, column, message) from None


def toml_fault(error: Exception, text: str, file: TextFile) -> PolicyInvalid:
    """What is wrong with a text that is not TOML."""
    match = _PLACE.fullmatch(str(error))
    if match is None:
        return fault(file, 1, 1, f"not valid TOML: {escaped(str(error))}")
    said, line, column = match.groups()
    if line is None:
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
    return fault(file, int(line), int(column), f"not valid TOML: {escaped(said[:1].lower() + said[1:])}")


def fault(file: TextFile, line: int, column: int, message: str) -> PolicyInvalid:
    """One fault at a place."""
    return PolicyInvalid(
        (Diagnostic(file=file.name, line=line, column=column, message=message),), remedy="correct the file"
    )
