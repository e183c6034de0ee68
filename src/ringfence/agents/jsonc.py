"""Reads settings in JSON with comments and trailing commas, as the agents that allow them do.

Strict otherwise: what is no JSON without those is refused, so that nobody takes a half-read file for a whole one.
"""

from __future__ import annotations

import json
import re

_TEXT = r'"(?:[^"\\\n]|\\.)*+"?'
_COMMENT = re.compile(_TEXT + r"|//[^\n\r]*+|/\*(?:.*?\*/|.*)", re.DOTALL)
_COMMA = re.compile(_TEXT + r"|,(?=\s*+[}\]])", re.DOTALL)
# SECURITY: what is open at the end is taken as a whole, so that a repository's file is read in one pass.

JsonObject = dict[str, object]


def read_object(content: bytes | None) -> JsonObject:
    """The object in a file; empty where there is no file or nothing in it. `ValueError` for anything else."""
    text = (content or b"").decode("utf-8-sig")
    return _object(_COMMA.sub(_kept, _COMMENT.sub(_kept, text)))


def plain_object(content: bytes | None) -> JsonObject:
    """The same of a file for an agent that allows neither comments nor trailing commas."""
    return _object((content or b"").decode("utf-8-sig"))


def _object(text: str) -> JsonObject:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it does not hold an object")
    return dict(value)


def as_object(value: object) -> JsonObject:
    """A part of settings that is to be an object; an empty one where it is anything else."""
    return dict(value) if isinstance(value, dict) else {}


def _kept(found: re.Match[str]) -> str:
    """A text stays, a comment leaves a space, so that it parts two words as before, and a trailing comma goes."""
    token = found[0]
    if token.startswith('"'):
        return token
    if token.startswith("/*") and not (token.endswith("*/") and len(token) > 3):
        raise ValueError("a comment does not end")
    return " " if token.startswith("/") else ""
