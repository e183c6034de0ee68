"""One exchange with a model: its request read, its answer gathered while it passes, and both as one event at the end.

Values in, values out; what it reads goes on as it came. It never stops an answer: what cannot be read is counted by its
length, and the event says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ringfence.egress.http_response import ResponseHead
from ringfence.egress.model_wire.answers import Answer, take
from ringfence.egress.model_wire.asked import Asked
from ringfence.egress.model_wire.server_sent import ServerSent
from ringfence.egress.model_wire.shapes import DEEPEST_ERRORS, parsed, rows, values
from ringfence.egress.model_wire.spending import Spending, guessed
from ringfence.egress.model_wire.unpacking import Unpack, Unreadable, unpacking
from ringfence.model.event import ModelAnswered, ModelToolCall
from ringfence.policy.judges.model import Usage

MOST_ANSWER = 64 * 1024 * 1024
"""Bytes of one answer that are read."""
MOST_TOGETHER = 256 * 1024 * 1024
"""SECURITY: bytes of requests and answers that are kept at once, outside, where no limit of the session's holds."""
_DONE = b"[DONE]"
_NO_ROOM = "too much is on its way at once to read it; its length was counted"


class Place:
    """What an exchange shares with the others of its session."""

    def __init__(
        self,
        spending: Spending,
        record: Callable[[ModelAnswered | ModelToolCall], None],
        *,
        content: bool,
        most: int = MOST_TOGETHER,
    ) -> None:
        self.spending = spending
        self.record = record
        self.content = content
        """Whether prompts and refusals are recorded in their own words."""
        self.last_prompt = ""
        """The digest of the last one whose text was recorded: each request repeats it."""
        self._kept, self._most = 0, most

    def keep(self, size: int) -> bool:
        """Whether so many bytes more may be kept. They are, until they are let go."""
        if self._kept + size > self._most:
            return False
        self._kept += size
        return True

    def let_go(self, size: int) -> None:
        """So many bytes are not kept any more."""
        self._kept -= size


class Exchange:
    """From the request on."""

    def __init__(
        self,
        place: Place,
        request: Asked,
        *,
        provider: str,
        host: str,
        port: int,
        now: Callable[[], float],
        began: float | None = None,
    ) -> None:
        """`began`: when the request went, where that was not now."""
        self.answer = Answer()
        self._place = place
        self._request = request
        self._about = (provider, host, port)
        self._now = now
        self._began = now() if began is None else began
        self._first: float | None = None
        self._number = place.spending.begin(request)
        self._status = 0
        self._unpack: Unpack | None = None
        self._stream: ServerSent | None = None
        self._whole = bytearray()
        self._read = 0
        self._unread = ""
        self._kept = 0
        """Bytes of it that are kept."""
        self._full = False
        """Whether there was no room for it: from then on it is only counted."""
        self._over = False

    def responded(self, head: ResponseHead) -> None:
        """The head of the answer."""
        self._status = head.status
        media = (head.field(b"content-type") or b"").partition(b";")[0].strip().lower()
        self._stream = ServerSent() if media == b"text/event-stream" else None
        try:
            self._unpack = unpacking((head.field(b"content-encoding") or b"").decode("latin-1"))
        except Unreadable as error:
            self._unread = str(error)

    def received(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._first is None and data:
            self._first = self._now()
        if self._unpack is None or (self._unread and not self._full):
            self._read += len(data)
            return
        try:
            plain = self._unpack(data, MOST_ANSWER - self._read)
            self._read += len(plain)
            if not self._full:
                self._gather(plain)
                self._keep()
        except Unreadable as error:
            self._unread, self._full = str(error), False
            self._whole.clear()

    def event(self, data: bytes) -> None:
        """One event of the answer, whole."""
        if self._first is None:
            self._first = self._now()
        if self._full:
            self._read += len(data)
            return
        if data.strip() == _DONE:
            self.answer.final = True
            return
        try:
            found = parsed(data, strict=False)
            # One chunk each, or all of them as a list.
            for one in rows(found) if isinstance(found, list) else [values(found)]:
                take(self._request.interface, self.answer, one)
        except DEEPEST_ERRORS:
            self._unread = self._unread or "a part of the answer is not JSON"
        self._keep()

    def over(self, error: str) -> None:
        """Nothing more comes: count it, and put it on record. Only the first time counts."""
        if self._over:
            return
        self._over = True
        last = self._stream.finish() if self._stream is not None else bytes(self._whole)
        if last and not self._unread:
            self.event(last)
        self.answer.close_calls()
        self._settle(error)
        self._place.let_go(self._kept)

    def _keep(self) -> None:
        kept = len(self._whole) + self.answer.kept + (0 if self._stream is None else self._stream.kept)
        if kept <= self._kept:
            return
        if self._place.keep(kept - self._kept):
            self._kept = kept
        else:
            self._unread, self._full = _NO_ROOM, True
            self._whole.clear()
            self._stream = None if self._stream is None else ServerSent()

    def _gather(self, plain: bytes) -> None:
        if self._stream is None:
            self._whole += plain
            return
        for data in self._stream.take(plain):
            self.event(data)

    def _settle(self, error: str) -> None:
        request, answer, place = self._request, self.answer, self._place
        known = answer.usage
        answered = 200 <= self._status < 300
        # SECURITY: who breaks an answer off before it says what it used must not have it for nothing.
        estimated = answered and not self._whole_answer(error)
        usage = known or Usage()
        if estimated:
            size = answer.output_bytes if self._stream is not None and not self._unread else self._read
            usage = guessed(request, known, max(size, answer.output_bytes))
        models = tuple(dict.fromkeys((*request.models, *([answer.model] if answer.model else []))))
        cost = place.spending.settle(self._number, models, usage, estimated=estimated)
        provider, host, port = self._about
        prompt = request.prompt.encode("utf-8", "surrogatepass")
        told = hashlib.sha256(prompt).hexdigest() if prompt else ""
        place.record(
            ModelAnswered(
                provider=provider,
                interface=request.interface.value,
                host=host,
                port=port,
                model=request.models[0] if request.models else "",
                answered_by=answer.model,
                response=answer.id,
                status=self._status,
                streamed=self._stream is not None,
                prompt_length=len(request.prompt),
                prompt_digest=f"sha256:{told}" if told else "",
                prompt=request.prompt if place.content and told and told != place.last_prompt else None,
                tools=request.tools,
                calls=len(answer.calls),
                input_tokens=usage.input_tokens,
                cached_tokens=usage.cached_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                estimated=estimated,
                cost_millionths=cost,
                finish=tuple(answer.finish),
                refused=answer.refusal is not None,
                refusal=(answer.refusal or None) if place.content else None,
                first_ms=None if self._first is None else round((self._first - self._began) * 1000),
                duration_ms=round((self._now() - self._began) * 1000),
                unread=self._unread or (f"the request: {request.unread}" if request.unread else ""),
                error=answer.error or error,
            )
        )
        place.last_prompt = told
        for call in answer.calls:
            place.record(
                ModelToolCall(
                    tool=call.tool, call=call.call, kind=call.kind, arguments=call.arguments, response=answer.id
                )
            )

    def _whole_answer(self, error: str) -> bool:
        """Whether the answer is complete, so that what it says about its tokens is the last word."""
        answer = self.answer
        return answer.usage is not None and (answer.final or not (error or self._unread))
