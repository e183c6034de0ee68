"""What a server may take a request for instead of what it says: another method, path or host, named in a field, the
query or a form. Pure.

SECURITY: many frameworks go by such words. A rule would then be about a method, a path or a host that means nothing.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus, urlsplit

import msgspec

from ringfence.egress.http_head import RequestHead
from ringfence.model.host import HOST_LOOPBACK, Destination, parse_destination, shown
from ringfence.policy.operations import SAFE

_METHODS = frozenset((b"x-http-method-override", b"x-http-method", b"x-method-override"))
_PATHS = frozenset((b"x-original-url", b"x-original-uri", b"x-rewrite-url", b"x-forwarded-uri"))
_HOSTS = frozenset((b"x-forwarded-host", b"x-host", b"x-original-host", b"x-http-host-override", b"forwarded"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"))
_ALL = _METHODS | _PATHS | _HOSTS
_KEYS = frozenset(("_method", "_httpmethod", "$method"))
_FORWARDED = re.compile(r'(?i)(?:^|[;,])\s*host\s*=\s*("[^"]*"|[^;,\s]*)')
_PART = re.compile(rb'(?i)name\s*=\s*"?\s*(?:_method|_httpmethod|\$method)\s*[";\r\n]')
_FORM = b"application/x-www-form-urlencoded"


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


def may_pose_in_form(head: RequestHead) -> bool:
    """Whether the body of a request may be a form that names another method."""
    return head.method == "POST" and _kind(head) in (_FORM, b"multipart/form-data")


def posing_in_form(head: RequestHead, body: bytes, *, complete: bool) -> Posing | None:
    """The same by a form, as far as it was read."""
    if _kind(head) == _FORM:
        if not complete:
            return Posing("http.method", "a form is too long to see whether it names another method")
        return _listed(head, body.decode("latin-1"))
    if _PART.search(body):
        return Posing("http.method", f"the request is a {head.method}, and its form names a method for its server")
    return None


def _listed(head: RequestHead, text: str) -> Posing | None:
    for part in re.split("[&;]", text):
        key, _, value = part.partition("=")
        if unquote_plus(key).strip().lower() in _KEYS:
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
