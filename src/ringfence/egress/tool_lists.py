"""Lists of tools that MCP servers give over HTTP: each is judged before it goes on to the agent.

An answer comes as JSON or as an event in a stream, to the request that asked for it or on another stream that is open.
What else comes passes as it is: JSON when it is complete, a stream event by event. While a list is awaited, an answer
that cannot be read is not shown, whatever it calls itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Protocol

from ringfence.egress import refusal
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.egress.request_body import BodyUnread, unpacked
from ringfence.model.decision import Decision, Verdict
from ringfence.policy.graphql import read_json
from ringfence.policy.mcp_identity import address_of

MOST_QUESTION = 1 << 16
"""How much of a request is read to see whether it asks for a list."""
MOST_ANSWER = 1 << 23
"""How long a list, or an event of a stream, may be."""
_MOST_ASKED = 1024
_MOST_PAGED = 1 << 24
"""Bytes of lists, all together, of which further pages are to come."""

_JSON, _EVENTS, _UNNAMED = b"application/json", b"text/event-stream", b"*/*"
_BOM = b"\xef\xbb\xbf"
_EVENT_LINE = re.compile(rb"(?:^|[\r\n])(?:\xef\xbb\xbf)?data:")
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class ListJudge(Protocol):
    """Decides about lists. Neither of its methods waits for anybody."""

    def listed(self, server: str, identity: str, tools: list[object], *, whole: bool) -> Decision:
        """Whether the list may be shown, of which more is to come without `whole`."""
        ...

    def take(self, decision: Decision) -> None:
        """Somebody who was asked said yes to the list that this decision is about."""
        ...


class ToolLists:
    """The amendment that looks for lists of tools."""

    def __init__(self, judge: ListJudge) -> None:
        self._judge = judge
        self._asked: dict[tuple[str, int, str, str], bool] = {}
        """Requests for a list that have no answer yet, with where they went: whether they ask for a further page."""
        self._pages: dict[str, list[object]] = {}
        self._paged: dict[str, int] = {}
        """How many bytes those are."""

    def __call__(self, request: Request) -> Steps | None:
        """The steps for what may be MCP: its requests take both kinds of answers, and its streams are asked for."""
        fields = {name: value.lower() for name, value in request.head.fields}
        takes = fields.get(b"accept", b"")
        named = any(name.startswith(b"mcp-") for name in fields)
        if request.head.method == "GET" and (_EVENTS in takes or named):
            return _Looking(self, request, asks=False)
        posts = request.head.method == "POST" and _JSON in fields.get(b"content-type", b"")
        return _Looking(self, request, asks=True) if posts and (named or {*_parts(takes)} >= {_JSON, _EVENTS}) else None

    def note(self, request: Request, message: object) -> bool:
        """A message of a client: does it ask for a list? False where there is no room to remember that."""
        for number, one in _asking(message):
            parameters = one.get("params")
            further = isinstance(parameters, dict) and parameters.get("cursor") is not None
            # Each client counts from one: that two ask the servers of one host with the same number is usual.
            key = (*_place(request), number, _address(request))
            # SECURITY: none is forgotten for another one, or whoever is inside decides which answers are judged.
            if key not in self._asked and len(self._asked) >= _MOST_ASKED:
                return False
            self._asked[key] = further
        return True

    def awaits(self, request: Request) -> bool:
        """Whether a list is to come from where this request goes."""
        where = _place(request)
        return any(key[:2] == where for key in self._asked)

    def heard(self, request: Request, message: object, size: int) -> Iterator[Decision]:
        """The decisions about the lists in a message of a server that is so many bytes long."""
        for number, result, tools in _lists(message):
            identity, further = self._answered(request, number)
            so_far = [*(self._pages.get(identity, ()) if further else ()), *tools]
            whole = not isinstance(result.get("nextCursor"), str)
            if not whole and not self._remember(identity, so_far, size, further=further):
                yield _unread(request, f"lists that are not complete are longer than {_MOST_PAGED >> 20} MiB")
                continue
            if whole and further:
                self._pages.pop(identity, None)
                self._paged.pop(identity, None)
            server = request.destination.host.name
            yield self._judge.listed(server, identity, so_far, whole=whole)

    def _answered(self, request: Request, number: str) -> tuple[str, bool]:
        """Who was asked for a list with this number, and whether for a further page: the server that answers, if it
        was."""
        own = (*_place(request), number, _address(request))
        found = own if own in self._asked else next((key for key in self._asked if key[:3] == own[:3]), own)
        return found[3], self._asked.pop(found, False)

    def _remember(self, identity: str, tools: list[object], size: int, *, further: bool) -> bool:
        known = self._paged.get(identity, 0)
        # SECURITY: a list without end would fill the memory of the gateway. What is known of it stays: its next page is
        # not judged alone.
        if sum(self._paged.values()) - (0 if further else known) + size > _MOST_PAGED:
            return False
        self._pages[identity], self._paged[identity] = tools, size + (known if further else 0)
        return True

    def take(self, decision: Decision) -> None:
        """A yes to a list."""
        self._judge.take(decision)


class _Looking(Steps):
    """One request and what is answered to it."""

    def __init__(self, lists: ToolLists, request: Request, *, asks: bool) -> None:
        self._lists = lists
        self._request = request
        self.whole = MOST_QUESTION if asks else 0
        self._has_room = True
        self._own: set[str] = set()
        """The numbers of the lists that this request asks for. SECURITY: what comes elsewhere does not end the wait for
        them, or a server that says a list to somebody else says what it likes here."""
        self._media = b""
        """How the answer is read; `_UNNAMED`: as what it turns out to be, for a list is awaited. Empty: not at all."""
        self._coding = b""
        self._harmless = False
        """Whether the answer is one that only says that something was accepted, or failed."""
        self._held = bytearray()
        self._scanned = 0
        """How much of that holds no end of an event."""
        self._begun = False
        """Whether the first event of a stream was seen."""

    @property
    def kept(self) -> int:
        return len(self._held)

    def body(self, data: bytes, *, complete: bool) -> None:
        if b"tools" in data or b"\\u" in data:
            message = read_json(data)
            self._own = {number for number, _ in _asking(message)}
            self._has_room = self._lists.note(self._request, message)

    def request(self, head: RequestHead) -> RequestHead | Held:
        if not self._has_room:
            return self._unread(f"{_MOST_ASKED} lists of tools were asked for and not answered, and no more can be")
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
        types = [value for name, value in head.fields if name == b"content-type"]
        if len(types) > 1 or any(b"," in one.partition(b";")[0] for one in types):
            return self._unread("an answer says more than once of which type it is")
        media = b"".join(types).partition(b";")[0].strip().lower()
        awaited = self._awaits()
        self._media = media if media in (_JSON, _EVENTS) else _UNNAMED if awaited else b""
        self._harmless = self._media == _UNNAMED and (head.status == 202 or head.status >= 400)
        self._coding = (head.field(b"content-encoding") or b"").strip().lower()
        if media == _EVENTS and self._coding not in (b"", b"identity"):
            return self._unread("a stream of events is compressed although nobody asked for that")
        self.gathers = self._media in (_JSON, _UNNAMED)
        return head

    def received(self, data: bytes) -> bytes | Held:
        if not self._media:
            return data
        self._held += data
        if self._media == _EVENTS:
            return self._events()
        if len(self._held) > MOST_ANSWER:
            if self._awaits():
                return self._unread(f"a list of tools is longer than {MOST_ANSWER >> 20} MiB")
            self._media = b""
            return self._all()
        return b""

    def all_received(self) -> bytes | Held:
        if self._media == _EVENTS:
            # What is left of a stream is no whole event, but there are readers that take it for one.
            rest = bytes(self._held)
            return self._judged(self._all(), *self._messages(rest))
        if not self._media:
            return self._all()
        content, whole = bytes(self._held), True
        try:
            if self._coding not in (b"", b"identity"):
                content, whole = unpacked(content, self._coding, complete=True)
            if not whole:
                raise BodyUnread("an answer is longer than what is read of it")
        except BodyUnread as unread:
            return self._all() if self._harmless else self._unread(str(unread))
        return self._judged(self._all(), *self._texts(content))

    def confirmed(self, held: Held) -> None:
        """The list that was asked about is taken."""
        self._lists.take(held.decision)

    def _texts(self, content: bytes) -> Iterator[bytes]:
        """The messages of an answer that is complete."""
        if self._media == _JSON or not _EVENT_LINE.search(content) or _is_json(content):
            yield content
        else:
            cut = 0
            for end in _EVENT_END.finditer(content):
                yield from self._messages(content[cut : end.end()])
                cut = end.end()
            yield from self._messages(content[cut:])

    def _messages(self, event: bytes) -> Iterator[bytes]:
        """What an event says, in all the ways in which it is read, unless that is nothing or only for somebody else."""
        first, self._begun = not self._begun, True
        readings = {event, event.removeprefix(_BOM)} if first else {event}
        for reading in readings:
            kind, text = _said(reading)
            if text.strip() and (kind in (b"", b"message") or _is_json(text)):
                yield text

    def _events(self) -> bytes | Held:
        """The events that are complete, each looked at."""
        cut, found = 0, list[bytes]()
        # The end of an event is up to four bytes, of which all but one may have come already.
        for end in _EVENT_END.finditer(self._held, max(self._scanned - 3, 0)):
            found += self._messages(bytes(self._held[cut : end.end()]))
            cut = end.end()
        if len(self._held) - cut > MOST_ANSWER:
            return self._unread(f"an event of a stream is longer than {MOST_ANSWER >> 20} MiB")
        passed = bytes(self._held[:cut])
        del self._held[:cut]
        self._scanned = len(self._held)
        return self._judged(passed, *found)

    def _judged(self, data: bytes, *messages: bytes) -> bytes | Held:
        """What may go on, or the strictest decision about the lists in it."""
        decisions: list[Decision] = []
        awaited = self._awaits()
        for text in messages:
            if not awaited and b"tools" not in text and b"\\u" not in text:
                continue
            try:
                message = read_json(text)
            except ValueError as error:
                if awaited and text.strip() and not self._harmless:
                    return self._unread(f"an answer in place of a list of tools cannot be read: {error}")
                continue
            decisions += self._lists.heard(self._request, message, len(text))
            self._own.difference_update(number for number, _, _ in _lists(message))
        strictest = max(decisions, key=lambda one: one.verdict.strictness, default=None)
        if strictest is None or strictest.verdict is Verdict.ALLOW:
            return data
        # SECURITY: a yes is one to the list that was shown to whoever said it, and lets nothing else pass with it.
        if any(one.verdict is Verdict.ASK and one.action != strictest.action for one in decisions):
            return self._unread("more than one list of tools that somebody has to be asked about comes at once")
        return Held(decision=strictest, data=data)

    def _awaits(self) -> bool:
        """Whether what comes may be a list that somebody asked for."""
        return bool(self._own) or self._lists.awaits(self._request)

    def _all(self) -> bytes:
        whole = bytes(self._held)
        self._held.clear()
        return whole

    def _unread(self, text: str) -> Held:
        return Held(decision=_unread(self._request, text))


def _unread(request: Request, text: str) -> Decision:
    return refusal.built_in(request.action, "mcp.unread", text)


def _said(event: bytes) -> tuple[bytes, bytes]:
    """Of which kind an event of a stream is, and what it says."""
    kind, lines = b"", []
    for line in _LINE_END.split(event):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
        elif name == b"event":
            kind = value.removeprefix(b" ")
    return kind, b"\n".join(lines)


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _parts(accept: bytes) -> Iterator[bytes]:
    return (part.partition(b";")[0].strip() for part in accept.split(b","))


def _asking(message: object) -> Iterator[tuple[str, dict[str, object]]]:
    """The requests for a list in a message, each with its number."""
    for one in message if isinstance(message, list) else [message]:
        if isinstance(one, dict) and one.get("method") == "tools/list":
            yield json.dumps(one.get("id")), one


def _lists(message: object) -> Iterator[tuple[str, dict[str, object], list[object]]]:
    """The lists in a message: the number of the request that each answers, the whole answer, and the tools."""
    for one in message if isinstance(message, list) else [message]:
        result = one.get("result") if isinstance(one, dict) else None
        tools = result.get("tools") if isinstance(result, dict) else None
        if isinstance(one, dict) and isinstance(result, dict) and isinstance(tools, list):
            yield json.dumps(one.get("id")), result, tools


def _place(request: Request) -> tuple[str, int]:
    return request.destination.host.name, request.destination.port


def _address(request: Request) -> str:
    host, port = request.destination.host.name, request.destination.port
    return address_of(host, port, request.head.path or "/", secure=request.secure)
