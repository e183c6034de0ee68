"""What is done with credentials in an inspected request and its answer: refuse, swap, sign, take out of the answer.

Values in, values out, after the seam of `egress.inspection`. The value of a credential is in the head that goes to the
server, and in nothing else that leaves here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from ringfence.egress import refusal
from ringfence.egress.credentials.choosing import Chosen, Refused, choose
from ringfence.egress.credentials.echo import Echo, EchoStream, Packed
from ringfence.egress.credentials.minted import MOST_BYTES, Minted
from ringfence.egress.credentials.placing import Misplaced, place
from ringfence.egress.credentials.presented import (
    Presented,
    in_form,
    in_loose_json,
    in_message,
    in_multipart,
    in_plain_text,
    in_requests,
    in_value,
    in_xml,
)
from ringfence.egress.credentials.secret import Credential, Token
from ringfence.egress.credentials.sigv4 import SignatureInvalid, Signed, needs_body, read_signed, sign_again
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Fields, Held, Request, Steps
from ringfence.egress.request_body import plain, unpacked
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import CredentialUsed
from ringfence.policy.credentials import CredentialTable
from ringfence.policy.effective import BUILT_IN, CredentialForm, CredentialRule, Origin
from ringfence.policy.graphql import read_json
from ringfence.policy.operations import may_be_json

MOST_SIGNED = 16 * 1024 * 1024
"""The longest body that is held until its hash is known."""
MOST_FORM = 1024 * 1024
"""The longest form that is looked into; a longer one does not go to a host with a credential."""
MOST_JSON = 16 * 1024 * 1024
"""The longest JSON that is looked into: questions to models carry pictures. A longer one does not go there either."""
MOST_PARTS = 1_000_000
"""How many parts a JSON may have: reading that many takes about a second, and nobody is served meanwhile."""
_LONGEST_NAME = 500
_FRAMED = re.compile(rb"[\x00\x01]")
_STREAMED = (
    (b"application/grpc", _FRAMED),
    (b"application/connect+", _FRAMED),
    (b"application/x-git-", re.compile(rb"0[0-9a-f]{3}(?![=&])")),
)
"""What is answered before it ends, or is no text, and how it begins. What begins otherwise only says so."""
_BEGINNING = 5
_COOKIES = frozenset((b"set-cookie", b"set-cookie2"))
_TYPE_END = re.compile(rb"[;,\s]")
_FORM = b"application/x-www-form-urlencoded"


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of a session."""

    table: CredentialTable
    credentials: tuple[Credential, ...] = ()
    echo: Echo
    used: Callable[[CredentialUsed], None]
    """Puts a use on record, before the request goes."""
    refused: Callable[[Decision], None]
    """Puts on record what was taken out of an answer."""
    minted: Minted
    """What servers made for them."""

    @staticmethod
    def of(
        table: CredentialTable,
        credentials: tuple[Credential, ...],
        used: Callable[[CredentialUsed], None],
        refused: Callable[[Decision], None],
        token: Token,
    ) -> Wallet:
        """A wallet with its echo."""
        return Wallet(
            table=table,
            credentials=credentials,
            echo=Echo(credentials),
            used=used,
            refused=refused,
            minted=Minted(token),
        )

    def known(self) -> tuple[Credential, ...]:
        """Every credential that may be shown, those included that servers made."""
        return (*self.credentials, *self.minted.credentials())

    def __call__(self, request: Request) -> Steps | None:
        """The steps for a request; see `Amendment`."""
        to = request.destination
        if not self.table.pins(to.host, to.port):
            return Elsewhere(self, request) if self.credentials else None
        return Pinned(self, request)


class Elsewhere(Steps):
    """A host without a credential: a placeholder has no business there."""

    def __init__(self, wallet: Wallet, request: Request) -> None:
        self._wallet = wallet
        self._request = request

    def request(self, head: RequestHead) -> RequestHead | Held:
        """The head as it is, or why a placeholder may not go there."""
        wallet, request = self._wallet, self._request
        found = choose(head, request.destination, wallet.table, wallet.known(), secure=request.secure)
        return Held(decision=_denied(request, found)) if isinstance(found, Refused) else head


class Pinned(Steps):
    """A host with a credential, or with none for anybody."""

    def __init__(self, wallet: Wallet, request: Request) -> None:
        self._wallet = wallet
        self._request = request
        self._body: bytes | None = b""
        self._echo = wallet.echo
        self._stream = EchoStream(self._echo)
        self._packed: Packed | None = None
        self._coding = ""
        self._shows_one = False
        self._minting = next(
            (one for one in wallet.table.of_host(request.destination.host, request.destination.port) if _mints(one)),
            None,
        )
        self._whole_answer: bytes | None = None
        self._last = b""
        kind = _kind(request.head.fields)
        coded = _value(request.head.fields, b"content-encoding").lower() not in (b"", b"identity")
        streamed = None if coded else next((begins for start, begins in _STREAMED if kind.startswith(start)), None)
        self._in_parts = kind.startswith(b"multipart/")
        self._in_requests = self._in_parts and kind != b"multipart/form-data"
        self._begins = b""
        """The beginning of a body that is called neither a form nor JSON."""
        if kind == _FORM or kind.endswith(b"json"):
            self.whole = MOST_FORM if kind == _FORM else MOST_JSON
        elif not self._in_parts and streamed is None and _has_body(request.head):
            self.whole = MOST_FORM
        if _is_signed(request.head) and _has_body(request.head):
            self.whole = MOST_SIGNED
        self._begins_as = None if self.whole else streamed
        """How the body has to begin, until it has begun."""
        if self.whole:
            self._body = None if _has_body(request.head) else b""

    @property
    def kept(self) -> int:
        """An answer in which there may be a token."""
        return len(self._whole_answer or b"")

    def body(self, data: bytes, *, complete: bool) -> None:
        """The beginning of the body."""
        self._body = data if complete else None
        self._begins = data

    def request(self, head: RequestHead) -> RequestHead | Held:
        """The head with the credential that it is bound to, or why it may not go."""
        wallet, request = self._wallet, self._request
        shown = self._in_body(head)
        if isinstance(shown, Refused):
            return self._hold(shown)
        found = choose(head, request.destination, wallet.table, wallet.known(), secure=request.secure, in_body=shown)
        if isinstance(found, Refused):
            return self._hold(found)
        head = msgspec.structs.replace(head, fields=_readable(head.fields))
        if found is None:
            return head
        try:
            amended = self._amended(head, found)
        except Misplaced as wrong:
            text = f"the placeholder of credential `{found.credential.name}` belongs {wrong}"
            return self._hold(_because(found.credential, "credentials.misplaced", text, "send it there"))
        except SignatureInvalid as wrong:
            text = f"the request cannot be signed with credential `{found.credential.name}`: {wrong}"
            return self._hold(_because(found.credential, "credentials.signature", text, ""))
        if found.credential.minted:
            self._echo = wallet.minted.echo(found.credential, wallet.credentials)
            self._stream = EchoStream(self._echo)
        self._shows_one = not found.credential.for_anybody
        if found.credential.for_anybody:
            return amended
        wallet.used(
            CredentialUsed(
                credential=found.credential.name,
                host=request.destination.host.name,
                port=request.destination.port,
                method=head.method,
                path=head.path,
            )
        )
        return amended

    def sent(self, data: bytes) -> bytes | Held:
        """A piece of the body; a form in parts is stopped at the name of a part that holds a credential."""
        if self._begins_as is not None:
            return self._begun(self._begins_as, data)
        if not self._in_parts:
            return data
        seen, self._last = self._last + data, (self._last + data)[-_LONGEST_NAME:]
        for one in (*in_multipart(seen), *(in_requests(seen) if self._in_requests else ())):
            return self._foreign(one)
        return data

    def all_sent(self) -> bytes | Held:
        """What was kept back of a body that is over before it has begun."""
        return self._last if self._begins_as is not None else b""

    def response(self, head: ResponseHead) -> ResponseHead | Held:
        """The head of the answer without values, and without cookies: a session made with a credential is one too."""
        # SECURITY: said twice, one client goes by the first, another by the last, and the next unpacks twice.
        codings = [value for name, value in head.fields if name == b"content-encoding"]
        self._coding = b", ".join(codings).decode("latin-1").strip().lower()
        if self._coding not in ("", "identity") and Packed.knows(self._coding):
            self._packed = Packed(self._coding, self._echo)
        kind = _value(head.fields, b"content-type").lower()
        if self._minting is not None and (b"json" in kind or b"xml" in kind) and head.status == 200:
            self._whole_answer, self.gathers = b"", True
        fields = []
        for name, value in head.fields:
            if name in _COOKIES:
                continue
            fields.append((self._clean(name), self._clean(value)))
        return msgspec.structs.replace(head, fields=tuple(fields), phrase=self._clean(head.phrase))

    def received(self, data: bytes) -> bytes | Held:
        """A piece of the answer without values."""
        if self._coding in ("", "identity"):
            before = self._stream.found
            passed = self._stream.take(data)
            self._tell(self._stream.found - before)
            return self._collected(passed) if self._whole_answer is not None else passed
        if self._packed is None:
            return self._stop(f"the answer is packed as `{_plain(self._coding)}`, which cannot be looked into")
        try:
            part = self._packed.take(data)
        except ValueError as error:
            return self._stop(f"the answer cannot be unpacked: {error}")
        if part is None:
            return self._stop("the answer repeats a credential, in a body that is packed")
        return self._collected(part) if self._whole_answer is not None else part

    def all_received(self) -> bytes | Held:
        """What was kept back."""
        try:
            rest = self._stream.finish() if self._packed is None else self._packed.finish()
        except ValueError as error:
            return self._stop(f"the answer cannot be unpacked: {error}")
        if self._whole_answer is None or self._minting is None:
            return rest
        whole = self._whole_answer + rest
        minted = self._wallet.minted
        before = minted.taken_out
        try:
            content = whole if self._packed is None else _content(whole, self._coding)
            answer = minted.replaced(content, self._minting, for_anybody=not self._shows_one)
            if self._packed is not None:
                if answer != content:
                    raise ValueError("it is packed, although nobody asked for that")
                answer = whole
        except ValueError as error:
            return self._stop(f"the answer has a token that would come inside as it is: {error}")
        self._tell(minted.taken_out - before)
        return answer

    def trailers(self, fields: Fields) -> Fields | Held:
        """The fields behind the answer, as those before it."""
        return tuple((self._clean(name), self._clean(value)) for name, value in fields if name not in _COOKIES)

    def message_sent(self, data: bytes, *, text: bool) -> bytes | Held:
        """A message that logs in with another credential does not go."""
        try:
            shown = _in_message(data, text=text)
        except ValueError as error:
            return self._hold(self._unseen(f"a message cannot be looked into for other credentials: {error}", ""))
        for one in shown:
            return self._foreign(one)
        return data

    def message_received(self, data: bytes, *, text: bool) -> bytes | Held:
        """A message without values."""
        return self._clean(data)

    def _begun(self, begins_as: re.Pattern[bytes], data: bytes) -> bytes | Held:
        """The beginning of a body that is looked into no further, as long as it is what it says."""
        self._last += data
        if len(self._last) < _BEGINNING:
            return b""
        data, self._last, self._begins_as = self._last, b"", None
        if begins_as.match(data) is None:
            text = "a body that is not what it says cannot be looked into for other credentials"
            return self._hold(self._unseen(text, "say in its `Content-Type` what it is"))
        for one in in_plain_text(data):
            return self._foreign(one)
        return data

    def _collected(self, data: bytes) -> bytes:
        """Keeps an answer until it is whole, because there may be a token in it. A longer one goes on as it is: a token
        in it would be one that no host takes."""
        assert self._whole_answer is not None
        whole = self._whole_answer + data
        self._whole_answer = whole if len(whole) <= MOST_BYTES else None
        return b"" if self._whole_answer is not None else whole

    def _amended(self, head: RequestHead, found: Chosen) -> RequestHead:
        credential = found.credential
        if credential.aws is None:
            return place(head, credential, found.shown)
        signed = _ours(head, credential)
        body = self._body if needs_body(head, signed) else b""
        return sign_again(head, _authority(self._request), signed, credential.aws, body=body)

    def _in_body(self, head: RequestHead) -> tuple[Presented, ...] | Refused:
        kind = _kind(head.fields)
        if kind.endswith(b"json"):
            return self._in_json(head, lines=kind.endswith(b"ndjson"))
        if self._in_parts and _value(head.fields, b"content-encoding").lower() not in (b"", b"identity"):
            text = "a form in parts that is packed cannot be looked into for other credentials"
            return self._unseen(text, "send it as it is")
        if kind != _FORM:
            return () if self._in_parts or not self._begins or _is_signed(head) else self._in_anything(head, kind)
        if _value(head.fields, b"content-encoding"):
            text = "a form that is packed cannot be looked into for other credentials"
            return self._unseen(text, "send it as it is")
        if self._body is None:
            text = f"a form of more than {MOST_FORM:,} bytes cannot be looked into for other credentials"
            return self._unseen(text, "send less")
        # There are clients that call everything a form, and servers that know them.
        other = self._in_anything(head, kind) if self._body else ()
        return other if isinstance(other, Refused) else (*in_form(self._body), *other)

    def _in_json(self, head: RequestHead, *, lines: bool) -> tuple[Presented, ...] | Refused:
        """Those of a JSON body, or of one with a JSON text on every line."""
        if self._body is None:
            text = f"a JSON of more than {MOST_JSON:,} bytes cannot be looked into for other credentials"
            return self._unseen(text, "send less")
        coding, kind = _value(head.fields, b"content-encoding"), _value(head.fields, b"content-type")
        try:
            body, whole = plain(self._body, coding, kind, complete=True, most=MOST_JSON)
            if not whole:
                raise ValueError("it is packed, and longer than what is read of it")
            _bounded(body)
            texts = [one for one in body.split(b"\n") if one.strip()] if lines else [body] if body else []
            return tuple(shown for one in texts for shown in in_value(read_json(one)))
        except ValueError as error:
            text = f"a JSON cannot be looked into for other credentials: {error}"
            return self._unseen(text, "send JSON in UTF-8 as it is, each key once")

    def _in_anything(self, head: RequestHead, kind: bytes) -> tuple[Presented, ...] | Refused:
        """Those of a body that says it is something else: there are servers that do not care what a body says."""
        coding = _value(head.fields, b"content-encoding")
        try:
            body, whole = plain(self._begins, coding, b"", complete=self._body is not None, most=MOST_FORM)
        except ValueError as error:
            text = f"a packed body cannot be looked into for other credentials: {error}"
            return self._unseen(text, "send it as it is, or packed with gzip")
        if may_be_json(body, "", complete=True) or not (whole or body.strip()):
            if not whole:
                text = f"what begins as JSON of more than {MOST_FORM:,} bytes cannot be looked into"
                return self._unseen(text, "say that it is JSON in its `Content-Type`, or send less")
            try:
                _bounded(body)
                return in_value(read_json(body))
            except ValueError:
                return in_loose_json(body.decode("utf-8", "replace"))
        if kind.endswith(b"xml") or body.lstrip().startswith(b"<"):
            return in_xml(body.decode("utf-8", "replace"))
        return in_plain_text(body) if whole and kind != _FORM else ()

    def _unseen(self, text: str, step: str) -> Refused:
        return Refused(rule="credentials.foreign", text=text, next_step=step, origin=self._origin())

    def _foreign(self, one: Presented) -> Held:
        to = self._request.destination
        text = f"a credential is shown {one.where}, and `{to.host}` takes only those that are bound to it"
        return self._hold(Refused(rule="credentials.foreign", text=text, origin=self._origin()))

    def _origin(self) -> Origin:
        to = self._request.destination
        return next(iter(self._wallet.table.saying(to.host, to.port)), BUILT_IN)

    def _clean(self, data: bytes) -> bytes:
        cleaned, found = self._echo.replaced(data)
        self._tell(found)
        return cleaned

    def _tell(self, found: int) -> None:
        if found:
            text = "the answer has a credential; it was taken out before it came inside"
            self._wallet.refused(refusal.built_in(self._request.action, "credentials.echo", text))

    def _stop(self, text: str) -> Held:
        return Held(decision=refusal.built_in(self._request.action, "credentials.echo", text))

    def _hold(self, refused: Refused) -> Held:
        return Held(decision=_denied(self._request, refused))


def _content(packed: bytes, coding: str) -> bytes:
    """What is in a packed answer; `ValueError` where that cannot be known."""
    content, whole = unpacked(packed, coding.encode(), complete=True)
    if not whole:
        raise ValueError("it is packed, and longer than what is read of it")
    return content


def _mints(rule: CredentialRule) -> bool:
    return rule.form in {CredentialForm.DOCKER, CredentialForm.AWS}


def _ours(head: RequestHead, credential: Credential) -> Signed:
    signed = read_signed(head)
    if signed is None or signed.key != credential.placeholder:
        raise SignatureInvalid(f"it is not signed with the key in `{_KEY_VARIABLE}`")
    return signed


_KEY_VARIABLE = "AWS_ACCESS_KEY_ID"


def _is_signed(head: RequestHead) -> bool:
    try:
        signed = read_signed(head)
    except SignatureInvalid:
        return False
    return signed is not None and needs_body(head, signed)


def _has_body(head: RequestHead) -> bool:
    return head.chunked or head.length > 0


def _authority(request: Request) -> str:
    to = request.destination
    return to.host.authority if to.port == 443 else str(to)


def _readable(fields: Fields) -> Fields:
    """The fields without what would make an answer unreadable here."""
    kept = tuple((name, value) for name, value in fields if name != b"accept-encoding")
    return (*kept, (b"accept-encoding", b"identity"))


def _kind(fields: Fields) -> bytes:
    # SECURITY: for some servers the type ends at a comma or a blank, too.
    return _TYPE_END.split(_value(fields, b"content-type").strip().lower(), maxsplit=1)[0]


def _value(fields: Fields, name: bytes) -> bytes:
    return next((value for written, value in fields if written == name), b"")


def _in_message(data: bytes, *, text: bool) -> tuple[Presented, ...]:
    """Those of a message of a WebSocket that a server may read as JSON; `ValueError` where we cannot."""
    if not may_be_json(data, "", complete=True):
        return ()
    try:
        data.decode()
    except UnicodeDecodeError:
        if not text:
            return ()  # something else that happens to begin with a brace
        raise
    _bounded(data)
    return in_message(read_json(data))


def _bounded(text: bytes) -> None:
    # SECURITY: sixteen million bytes of `{},` would hold everybody up for eight seconds.
    if sum(map(text.count, (b"{", b"[", b",", b"\n"))) > MOST_PARTS:
        raise ValueError(f"it has more than {MOST_PARTS:,} brackets, commas and lines")


def _denied(request: Request, found: Refused) -> Decision:
    reason = Reason(
        rule=found.rule,
        layer=found.origin.layer,
        source=found.origin.source,
        verdict=Verdict.DENY,
        text=found.text,
    )
    return _deny(request, reason, (found.next_step,) if found.next_step else ())


def _deny(request: Request, reason: Reason, steps: tuple[str, ...]) -> Decision:
    decision = refusal.built_in(request.action, reason.rule, reason.text, *steps)
    return msgspec.structs.replace(decision, reasons=(reason,))


def _because(credential: Credential, rule: str, text: str, step: str) -> Refused:
    return Refused(rule=rule, text=text, next_step=step, origin=credential.rule.origin)


def _plain(text: str) -> str:
    return "".join(one for one in text[:40] if one.isalnum() or one in "-, ")
