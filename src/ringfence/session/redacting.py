"""What the policy keeps out of the record, taken out before the ledger sees it.

It stands before every recorder of a session. The ledger's own redaction of known secrets comes behind it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from fnmatch import fnmatchcase

import msgspec

from ringfence.model.event import Body, ModelToolCall, Receipt, ToolCallRequested
from ringfence.model.ports import Recorder
from ringfence.model.situations import LedgerBroken
from ringfence.policy.effective import TelemetryPolicy, ToolArguments

_WORD = re.compile(r"[^\s\"'\\=,;:()<>|&]+")
_STRUCTURE = frozenset(
    {
        "event", "kind", "verdict", "placement", "risk", "operation", "scope", "change", "outcome", "before", "after",
        "resolved_by", "layer", "rule", "source", "policy", "request", "grant", "call", "shown", "session",
        "id", "approver", "seen", "channel", "authentication", "previous", "text_digest", "key", "signature",
        "prompt_digest", "response",
    }
)  # fmt: skip
"""Fields that say what an event is, and never hold what somebody typed."""


class Redacting:
    """A recorder that lets the policy's wishes be done first."""

    def __init__(self, recorder: Recorder, telemetry: TelemetryPolicy, key: Callable[[], bytes]) -> None:
        self._recorder = recorder
        self._telemetry = telemetry
        self._key = key

    async def record(self, body: Body) -> Receipt:
        """Record what remains."""
        return await self._recorder.record(self._cleaned(body))

    def record_soon(self, body: Body, done: Callable[[Receipt | LedgerBroken], None] | None = None) -> None:
        """Record what remains, without waiting."""
        if done is None:
            self._recorder.record_soon(self._cleaned(body))
        else:
            self._recorder.record_soon(self._cleaned(body), done)

    def _cleaned(self, body: Body) -> Body:
        if (
            isinstance(body, ToolCallRequested | ModelToolCall)
            and self._telemetry.tool_arguments is ToolArguments.DIGEST
        ):
            digest = hmac.digest(self._key(), body.arguments.encode("utf-8", "surrogatepass"), "sha256").hex()
            body = msgspec.structs.replace(body, arguments=f'{{"digest":"{digest}"}}')
        if not self._telemetry.redact:
            return body
        plain = self._redacted(msgspec.to_builtins(body))
        cleaned: Body = msgspec.convert(plain, type=Body)
        return cleaned

    def _redacted(self, value: object) -> object:
        match value:
            case str():
                return _WORD.sub(self._stand_in, value)
            case dict():
                return {key: one if key in _STRUCTURE else self._redacted(one) for key, one in value.items()}
            case list() | tuple():
                return [self._redacted(one) for one in value]
            case _:
                return value

    def _stand_in(self, found: re.Match[str]) -> str:
        word = found[0]
        if not any(fnmatchcase(word, glob) for glob in self._telemetry.redact):
            return word
        return "redacted-" + hmac.digest(self._key(), word.encode("utf-8", "surrogatepass"), "sha256")[:8].hex()
