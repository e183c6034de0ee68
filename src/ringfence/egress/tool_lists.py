"""Lists of tools that MCP servers give over HTTP: each is judged before it goes on to the agent.

An answer comes as JSON or as an event in a stream, to the request that asked for it or on another stream that is open.
What else comes passes as it is: JSON when it is complete, a stream event by event.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import Protocol

from ringfence.egress import refusal
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.egress.request_body import BodyUnread, unpacked
from ringfence.model.decision import Decision, Verdict
from ringfence.policy.mcp_identity import address_of
from ringfence.policy.operations import read_json

MOST_QUESTION = 1 << 16
"""How much of a request is read to see whether it asks for a list."""
MOST_ANSWER = 1 << 23
"""How long a list, or an event of a stream, may be."""
_MOST_ASKED = 1024

_JSON, _EVENTS = b"application/json", b"text/event-stream"
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class ListJudge(Protocol):
    """Decides about lists. Neither of its methods waits for anybody."""

    def listed(self, server: str, identity: str, tools: list[object], *, whole: bool) -> Decision:
        """Whether the list may be shown, of which more is to come without `whole`."""
        ...

    def take(self, server: str, identity: str) -> None:
        """Somebody who was asked said yes to the last list of this server."""
        ...


class ToolLists:
    """The amendment that looks for lists of tools."""

    def __init__(self, judge: ListJudge) -> None:
        self._judge = judge
        self._asked: OrderedDict[tuple[str, int, str], tuple[str, bool]] = OrderedDict()
        """Requests for a list that have no answer yet: where they went, and whether they ask for a further page."""
        self._pages: dict[str, list[object]] = {}

    def __call__(self, request: Request) -> Steps | None:
        """The steps for what may be MCP: its requests take both kinds of answers, and its streams are asked for."""
        fields = {name: value.lower() for name, value in request.head.fields}
        takes = fields.get(b"accept", b"")
        named = any(name.startswith(b"mcp-") for name in fields)
        if request.head.method == "GET" and (_EVENTS in takes or named):
            return _Looking(self, request, asks=False)
        posts = request.head.method == "POST" and _JSON in fields.get(b"content-type", b"")
        return _Looking(self, request, asks=True) if posts and (named or {*_parts(takes)} >= {_JSON, _EVENTS}) else None

    def note(self, request: Request, message: object) -> None:
        """A message of a client: does it ask for a list?"""
        for one in message if isinstance(message, list) else [message]:
            if isinstance(one, dict) and one.get("method") == "tools/list":
                parameters = one.get("params")
                further = isinstance(parameters, dict) and parameters.get("cursor") is not None
                self._asked[_key(request, one.get("id"))] = (_address(request), further)
                if len(self._asked) > _MOST_ASKED:
                    self._asked.popitem(last=False)

    def awaits(self, request: Request) -> bool:
        """Whether a list is to come from where this request goes."""
        where = _key(request, None)[:2]
        return any(key[:2] == where for key in self._asked)

    def heard(self, request: Request, message: object) -> Iterator[tuple[str, str, Decision]]:
        """The servers and decisions about the lists in a message of a server."""
        for one in message if isinstance(message, list) else [message]:
            result = one.get("result") if isinstance(one, dict) else None
            if not isinstance(one, dict) or not isinstance(result, dict):
                continue
            number = _key(request, one.get("id"))
            tools = result.get("tools")
            identity, further = self._asked.pop(number, (_address(request), False))
            if not isinstance(tools, list):
                continue
            so_far = [*(self._pages.pop(identity, ()) if further else ()), *tools]
            whole = not isinstance(result.get("nextCursor"), str)
            if not whole:
                self._pages[identity] = so_far
            server = request.destination.host.name
            yield server, identity, self._judge.listed(server, identity, so_far, whole=whole)

    def take(self, server: str, identity: str) -> None:
        """A yes to a list."""
        self._judge.take(server, identity)


class _Looking(Steps):
    """One request and what is answered to it."""

    def __init__(self, lists: ToolLists, request: Request, *, asks: bool) -> None:
        self._lists = lists
        self._request = request
        self.whole = MOST_QUESTION if asks else 0
        self._media = b""
        self._coding = b""
        self._held = bytearray()
        self._confirmed: list[tuple[str, str]] = []
        """What somebody is asked about. That anything comes after it means that they said yes."""

    def body(self, data: bytes, *, complete: bool) -> None:
        if b"tools" in data or b"\\u" in data:
            self._lists.note(self._request, read_json(data))

    def request(self, head: RequestHead) -> RequestHead | Held:
        return RequestHead(
            method=head.method,
            target=head.target,
            destination=head.destination,
            path=head.path,
            query=head.query,
            fields=(*(one for one in head.fields if one[0] != b"accept-encoding"), (b"accept-encoding", b"identity")),
            length=head.length,
            chunked=head.chunked,
            minor=head.minor,
        )

    def response(self, head: ResponseHead) -> ResponseHead | Held:
        media = (head.field(b"content-type") or b"").partition(b";")[0].strip()
        self._media = media if media in (_JSON, _EVENTS) else b""
        self._coding = head.field(b"content-encoding") or b""
        if media == _EVENTS and self._coding not in (b"", b"identity"):
            return self._unread("a stream of events is compressed although nobody asked for that")
        return head

    def received(self, data: bytes) -> bytes | Held:
        self._take()
        if not self._media:
            return data
        self._held += data
        if self._media == _EVENTS:
            return self._events()
        if len(self._held) > MOST_ANSWER:
            if self._lists.awaits(self._request):
                return self._unread(f"a list of tools is longer than {MOST_ANSWER >> 20} MiB")
            self._media = b""
            return self._all()
        return b""

    def all_received(self) -> bytes | Held:
        self._take()
        if self._media != _JSON:
            # What is left of a stream is no whole event, and nobody reads it as one.
            return self._all()
        content, whole = bytes(self._held), True
        try:
            if self._coding not in (b"", b"identity"):
                content, whole = unpacked(content, self._coding, complete=True)
            if not whole:
                raise BodyUnread("an answer is longer than what is read of it")
        except BodyUnread as unread:
            return self._unread(str(unread))
        return self._judged(self._all(), content)

    def ended(self, error: str) -> None:
        if not error:
            self._take()

    def _events(self) -> bytes | Held:
        """The events that are complete, each looked at."""
        cut, found = 0, []
        for end in _EVENT_END.finditer(self._held):
            found.append(_data(bytes(self._held[cut : end.end()])))
            cut = end.end()
        if len(self._held) - cut > MOST_ANSWER:
            return self._unread(f"an event of a stream is longer than {MOST_ANSWER >> 20} MiB")
        passed = bytes(self._held[:cut])
        del self._held[:cut]
        return self._judged(passed, *found)

    def _judged(self, data: bytes, *messages: bytes) -> bytes | Held:
        """What may go on, or the strictest decision about the lists in it."""
        decisions: list[Decision] = []
        for text in messages:
            if b"tools" not in text and b"\\u" not in text:
                continue
            try:
                message = read_json(text)
            except ValueError as error:
                if b"tools" in text and self._lists.awaits(self._request):
                    return self._unread(f"a list of tools cannot be read: {error}")
                continue
            for server, identity, decision in self._lists.heard(self._request, message):
                decisions.append(decision)
                if decision.verdict is Verdict.ASK:
                    self._confirmed.append((server, identity))
        strictest = max(decisions, key=lambda one: one.verdict.strictness, default=None)
        if strictest is None or strictest.verdict is Verdict.ALLOW:
            return data
        return Held(decision=strictest, data=data)

    def _take(self) -> None:
        confirmed, self._confirmed = self._confirmed, []
        for server, identity in confirmed:
            self._lists.take(server, identity)

    def _all(self) -> bytes:
        whole = bytes(self._held)
        self._held.clear()
        return whole

    def _unread(self, text: str) -> Held:
        return Held(decision=refusal.built_in(self._request.action, "mcp.unread", text))


def _data(event: bytes) -> bytes:
    """What an event of a stream says."""
    lines = [line for line in _LINE_END.split(event) if line.startswith(b"data:")]
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def _parts(accept: bytes) -> Iterator[bytes]:
    return (part.partition(b";")[0].strip() for part in accept.split(b","))


def _key(request: Request, number: object) -> tuple[str, int, str]:
    return request.destination.host.name, request.destination.port, json.dumps(number)


def _address(request: Request) -> str:
    host, port = request.destination.host.name, request.destination.port
    return address_of(host, port, request.head.path or "/", secure=request.secure)
