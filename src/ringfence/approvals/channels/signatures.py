"""Signatures of messages to and from webhooks: HMAC-SHA256 over the moment and the body, each message once.

Pure but for what it remembers: the moment and the bytes come in, a problem or nothing comes out. Two schemes: ours,
which signs a nonce as well, and Slack's (`v0`), in which the signature itself is what comes only once.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

WINDOW_SECONDS = 300
TIMESTAMP, NONCE, SIGNATURE = "ringfence-timestamp", "ringfence-nonce", "ringfence-signature"
_SLACK_TIMESTAMP, _SLACK_SIGNATURE = "x-slack-request-timestamp", "x-slack-signature"
_REMEMBERED = 10_000


def signed(secret: bytes, body: bytes, *, now: int, nonce: str) -> dict[str, str]:
    """The headers of a message of ours."""
    return {TIMESTAMP: str(now), NONCE: nonce, SIGNATURE: f"v1={_hex(secret, f'v1:{now}:{nonce}:', body)}"}


class Seen:
    """Checks messages, and remembers them for as long as they could be sent again."""

    def __init__(self) -> None:
        self._until: dict[str, int] = {}

    def problem(self, secret: bytes, headers: Mapping[str, str], body: bytes, *, now: int, slack: bool = False) -> str:
        """Why a message is ignored; empty where it holds. One that holds is never taken again."""
        stamp = headers.get(_SLACK_TIMESTAMP if slack else TIMESTAMP, "")
        nonce = "" if slack else headers.get(NONCE, "")
        given = headers.get(_SLACK_SIGNATURE if slack else SIGNATURE, "")
        if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12 or (not slack and not 16 <= len(nonce) <= 128):
            return "it is not signed"
        start = f"v0:{stamp}:" if slack else f"v1:{stamp}:{nonce}:"
        expected = f"{'v0' if slack else 'v1'}={_hex(secret, start, body)}"
        if not hmac.compare_digest(given.encode(), expected.encode()):
            return "its signature does not hold"
        if abs(now - int(stamp)) > WINDOW_SECONDS:
            return f"it is older or newer than {WINDOW_SECONDS // 60} minutes"
        self._until = {one: until for one, until in self._until.items() if until >= now}
        mark = nonce or given
        if mark in self._until:
            return "it came before"
        if len(self._until) >= _REMEMBERED:
            return "too many messages came at once"
        self._until[mark] = int(stamp) + WINDOW_SECONDS
        return ""


def _hex(secret: bytes, start: str, body: bytes) -> str:
    return hmac.digest(secret, start.encode() + body, "sha256").hex()
