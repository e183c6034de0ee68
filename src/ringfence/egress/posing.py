"""What a server may take a request for instead of what it says: another method, path or host, named in a field, the
query or a form. Pure.

SECURITY: many frameworks go by such words. A rule would then be about a method, a path or a host that means nothing.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus, urlsplit

import msgspec

from ringfence.egress.http_head import RequestHead
from ringfence.egress.request_body import BodyUnread, unpacked
from ringfence.model.host import HOST_LOOPBACK, Destination, parse_destination, shown
from ringfence.policy.operations import SAFE

_METHODS = frozenset((b"x-http-method-override", b"x-http-method", b"x-method-override"))
_PATHS = frozenset((b"x-original-url", b"x-original-uri", b"x-rewrite-url", b"x-forwarded-uri"))
_HOSTS = frozenset((b"x-forwarded-host", b"x-host", b"x-original-host", b"x-http-host-override", b"forwarded"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"))
_ALL = _METHODS | _PATHS | _HOSTS
_KEYS = frozenset(("_method", "_httpmethod", "$method"))
_QUERY_KEYS = _KEYS | {name.decode() for name in _METHODS}
_FORWARDED = re.compile(r'(?i)(?:^|[;,])\s*host\s*=\s*("[^"]*"|[^;,\s]*)')
_PART = re.compile(rb"(?i)(?<![a-z0-9_-])name(\*[0-9]{0,3}\*?)?\s{0,256}=\s{0,256}([^\r\n;]{1,200})")
"""What a part of a form says that it is called."""
_PADDED = re.compile(rb"(?i)(?<![a-z0-9_-])name[*0-9]{0,5}(?:\s{257}|\s{0,256}=\s{257})")
_OVERLAP = 1024
"""More than one of these is long."""
_FORM, _MULTIPART = b"application/x-www-form-urlencoded", b"multipart/"


class Posing(msgspec.Struct, frozen=True):
    """Why a request is not what it says."""

    rule: str
    text: str


def other_words(fields: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    """The fields by which a server may take a request for another one; most requests have none."""
    # Some servers make one variable of a dash and an underscore.
    plain = [(name.replace(b"_", b"-") if b"_" in name else name, name, value) for name, value in fields]
    return tuple((one, value) for one, name, value in plain if one in _ALL or (one in _FRAMING and b"_" in name))


def posing(head: RequestHead, words: tuple[tuple[bytes, bytes], ...], to: Destination) -> Posing | None:
    """What a server may take a request for by its header and query; None where that is what it is."""
    for name, raw in words:
        value = raw.decode("latin-1").strip()
        if name in _METHODS:
            found = _method(head, value)
        elif name in _PATHS:
            found = _path(head, value)
        elif name in _HOSTS:
            found = _host(name, value, to)
        else:
            field = name.decode("latin-1").replace("-", "_")
            found = Posing("http.framing", f"some servers read its field `{field}` as the one that frames its body")
        if found is not None:
            return found
    if head.method == "POST" and "ethod" in unquote_plus(head.query).lower():
        return _listed(head, head.query.removeprefix("?"))
    return None


def names_method(query: str) -> bool:
    """Whether a query has a key by which a server may take the request for one of another method."""
    return any(_word(part.partition("=")[0]) in _QUERY_KEYS for part in re.split("[&;]", query.removeprefix("?")))


def may_pose_in_form(head: RequestHead) -> bool:
    """Whether the body of a request may be a form that names another method."""
    # Some servers take a body without a type for a form.
    kind = _kind(head)
    return head.method == "POST" and (kind in (b"", _FORM) or kind.startswith(_MULTIPART))


def posing_in_form(head: RequestHead, body: bytes, *, complete: bool) -> Posing | None:
    """The same by a form, as far as it was read; what is left of a long one in parts is for a `LongForm`."""
    coding = next((value for name, value in head.fields if name == b"content-encoding"), b"").strip().lower()
    if coding not in (b"", b"identity"):
        try:
            body, complete = unpacked(body, coding, complete=complete)
        except BodyUnread as unread:
            return Posing("http.method", f"a form cannot be read to see whether it names another method: {unread}")
    in_parts = _kind(head).startswith(_MULTIPART)
    if not complete and (not in_parts or coding):
        return Posing("http.method", "a form is too long to see whether it names another method")
    return LongForm(head).feed(body) if in_parts else _listed(head, body.decode("latin-1"))


class LongForm:
    """A form in parts on its way, looked at piece by piece."""

    def __init__(self, head: RequestHead) -> None:
        self._method = head.method
        self._last = b""

    def feed(self, data: bytes) -> Posing | None:
        """What a server may take the request for by what came so far."""
        seen, self._last = self._last + data, (self._last + data)[-_OVERLAP:]
        if any(_names_method(one) for one in _PART.finditer(seen)) or _PADDED.search(seen):
            return Posing("http.method", f"the request is a {self._method}, and its form names a method for its server")
        return None


def _names_method(part: re.Match[bytes]) -> bool:
    """Whether the name of a part is one of those, in any way in which servers read it."""
    said = part[2].decode("latin-1").strip()
    # SECURITY: nobody needs a name in pieces, or in the words of mail, and some servers put it together.
    if (part[1] or b"").strip(b"*") or said.strip("\"'").startswith("=?"):
        return True
    if part[1]:
        said = said.rpartition("'")[2]
    quoted = re.match(r'"((?:[^"\\]|\\.)*)', said)
    return _word((quoted[1] if quoted else said.partition(" ")[0]).replace("\\", "")) in _KEYS


def _word(key: str) -> str:
    """A key as servers may read it: some end it at a NUL, and take a dot or a blank for `_`."""
    return re.sub("[ .]", "_", unquote_plus(key).partition("\0")[0].strip().strip("\"'").lower())


def _listed(head: RequestHead, text: str) -> Posing | None:
    for part in re.split("[&;]", text):
        key, _, value = part.partition("=")
        if _word(key) in _KEYS:
            found = _method(head, unquote_plus(value).strip())
            if found is not None:
                return found
    return None


def _method(head: RequestHead, value: str) -> Posing | None:
    word = value.upper()
    if word == head.method or word in SAFE or not word:
        return None
    return Posing("http.method", f"the request is a {head.method}, and asks its server to take it for {shown(word)}")


def _path(head: RequestHead, value: str) -> Posing | None:
    try:
        path = urlsplit(value).path or "/"
    except ValueError:
        path = ""
    if path == head.path:
        return None
    return Posing(
        "http.path", f"the request is for {shown(head.path)}, and asks its server to take it for {shown(value)}"
    )


def _host(name: bytes, value: str, to: Destination) -> Posing | None:
    if to.host.name == HOST_LOOPBACK:
        return None  # a development server behind another one
    named = _FORWARDED.findall(value) if name == b"forwarded" else value.split(",")
    for one in (word.strip().strip('"') for word in named):
        try:
            same = parse_destination(one, default_port=to.port).host == to.host
        except ValueError:
            same = False
        if not same:
            text = f"the request is for `{to.host}`, and asks its server to take it for {shown(one)}"
            return Posing("http.host", text)
    return None


def _kind(head: RequestHead) -> bytes:
    said = next((value for name, value in head.fields if name == b"content-type"), b"")
    return said.partition(b";")[0].strip().lower()
