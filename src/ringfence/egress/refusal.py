"""How a client is told that its connection was refused or failed, in the words of the protocol that it speaks.

The text says what was refused, which rule or limit said so, why, and what to do next.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from ringfence.egress import socks
from ringfence.egress.ssh.wire import VERSION, disconnect
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.host import Destination, Host

ACCESS_DENIED = 49
UNRECOGNIZED_NAME = 112
_PHRASES = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no connection."""

    status: int
    """The HTTP status."""
    text: str
    """What the person or agent reads; several lines."""
    verdict: str = "error"
    """The value of `X-Ringfence-Verdict`: `deny`, or `error` where no rule was the reason."""
    rule: str = ""
    socks: int = socks.FAILED
    alert: int = ACCESS_DENIED
    """The TLS alert."""
    media: str = "text/plain; charset=utf-8"
    content: bytes = b""
    """The body of the HTTP response, where it is another one than the text."""

    def as_http(self, *, keep: bool = False) -> bytes:
        """A complete HTTP response. `keep`: the client may go on with its next request."""
        body = self.content or self.text.encode()
        rule = (
            f"X-Ringfence-Rule: {self.rule}\r\n"
            if self.rule and self.rule.isascii() and self.rule.isprintable()
            else ""
        )
        end = "" if keep else "Connection: close\r\n"
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\nContent-Type: {self.media}\r\n"
            f"Content-Length: {len(body)}\r\nX-Ringfence-Verdict: {self.verdict}\r\n{rule}{end}\r\n"
        )
        return head.encode("ascii") + body

    def as_fields(self) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """The same in HTTP/2: the header, and the body behind it."""
        body = self.content or self.text.encode()
        header = [
            (b":status", b"%d" % self.status),
            (b"content-type", self.media.encode("ascii")),
            (b"content-length", b"%d" % len(body)),
            (b"x-ringfence-verdict", self.verdict.encode("ascii")),
        ]
        if self.rule and self.rule.isascii() and self.rule.isprintable():
            header.append((b"x-ringfence-rule", self.rule.encode("ascii")))
        return header, body

    def as_socks(self) -> bytes:
        """The SOCKS5 reply. The protocol has no room for words."""
        return socks.reply(self.socks)

    def as_tls(self) -> bytes:
        """A fatal TLS alert, in the clear, as it is answered to a ClientHello."""
        return bytes((21, 3, 3, 0, 2, 2, self.alert))

    def in_answer_to(self, first: bytes) -> bytes:
        """What a client that started to speak directly, without a proxy, understands; empty where that is nothing."""
        if first[:1] == b"\x16":
            return self.as_tls()
        if first[:4] == b"SSH-":
            return VERSION + disconnect(self.text)
        return self.as_http() if b"HTTP/" in first.partition(b"\n")[0].upper() else b""


def denied(decision: Decision) -> Refusal:
    """The refusal that a decision makes."""
    # The client may be the agent: it learns the rule and what helps, the whole rationale is on the record.
    because = decision.because
    lines = [f"ringfence: {decision.message or f'connection to {_what(decision)} is denied'}"]
    lines += [f"  rule: {because.rule}: {because.text}"] if because is not None else []
    lines += [f"  what to do: {step}" for step in decision.next_steps]
    return Refusal(
        status=403,
        text="\n".join(lines) + "\n",
        verdict="deny",
        rule=because.rule if because is not None else "",
        socks=socks.NOT_ALLOWED,
        alert=UNRECOGNIZED_NAME if because is not None and because.rule == "tls.name" else ACCESS_DENIED,
    )


class Worded(Protocol):
    """A denial in the form of the interface that a client speaks."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def media(self) -> str:
        """The type of the body."""
        ...

    @property
    def body(self) -> bytes:
        """The body."""
        ...


def worded(denial: Refusal, answer: Worded | None) -> Refusal:
    """A denial in that form, where there is one."""
    if answer is None:
        return denial
    return msgspec.structs.replace(denial, status=answer.status, media=answer.media, content=answer.body)


def built_in(action: ConnectAction, rule: str, text: str, *steps: str) -> Decision:
    """A denial by the gateway itself, where no policy was asked or the policy's answer cannot be carried out safely."""
    reason = Reason(rule=rule, layer="built-in", source="gateway", verdict=Verdict.DENY, text=text)
    destination = Destination(host=Host(name=action.host), port=action.port)
    return Decision(
        verdict=Verdict.DENY,
        action=action,
        reasons=(reason,),
        policy="",
        message=f"connection to `{destination}` is denied",
        next_steps=steps,
        resolved_by="gateway",
    )


def unasked(action: ConnectAction, problem: str) -> Decision:
    """The denial of a name that could carry data out."""
    text = f"the name is not asked for: {problem}"
    return built_in(action, "dns.budget", text, "name the host in full in a `[[network.rule]]` if it is meant")


def malformed(reason: str) -> Refusal:
    """The client's request cannot be read in one way only."""
    return Refusal(status=400, text=f"ringfence: the request is refused: {reason}\n")


def too_large(limit: int) -> Refusal:
    """The client's head does not end."""
    return Refusal(status=431, text=f"ringfence: the request is refused: its head is longer than {limit} bytes\n")


def too_late(seconds: float) -> Refusal:
    """The client did not say where it wants to go."""
    return Refusal(status=408, text=f"ringfence: no complete request came within {seconds:g} seconds\n")


def overloaded(limit: int) -> Refusal:
    """There are too many connections."""
    text = f"ringfence: the session has {limit} connections open, which is the limit; close some and try again\n"
    return Refusal(status=503, text=text)


def no_room(limit: int) -> Refusal:
    """Too much is held already to read a request or an answer before it goes on."""
    text = (
        f"ringfence: the session holds {limit} bytes of requests and answers, which is the limit; "
        "send fewer at once or wait\n"
    )
    return Refusal(status=503, text=text)


def unreachable(destination: Destination, reason: str, *, status: int = 502, code: int = socks.UNREACHABLE) -> Refusal:
    """The connection was allowed, and the other side is not there."""
    text = f"ringfence: `{destination}` is allowed, but cannot be reached: {reason}\n"
    return Refusal(status=status, text=text, socks=code)


def _what(decision: Decision) -> str:
    action = decision.action
    return f"`{action.host}:{action.port}`" if isinstance(action, ConnectAction) else "the destination"
