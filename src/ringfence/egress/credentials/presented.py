"""Every credential that a request shows: by where it stands, by what its place is called, and by its own shape.

It looks at heads and at short form bodies. Whose a credential is, is not decided here. A key that a server takes from a
place of its own, which neither its name nor its shape gives away, is not found.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from enum import StrEnum
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from ringfence.egress.http_head import RequestHead
from ringfence.policy.request_paths import query_key

_TOKEN68 = re.compile(r"[A-Za-z0-9._~+/=-]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPLIT = re.compile(r"[^A-Za-z0-9]+")
_SECRET_WORDS = frozenset(
    (
        *("auth", "authorization", "authentication", "token", "tokens", "apikey", "secret", "password", "passwd"),
        *("credential", "credentials", "jwt", "signature", "sig", "accesstoken", "authtoken", "privatetoken", "pat"),
        *("passphrase", "bearer", "hapikey", "awsaccesskeyid", "apptoken", "usertoken", "clientsecret", "oauth", "pwd"),
        *("jsessionid", "phpsessid"),
    )
)
"""A place that is called so, or has one of these in its name, holds a credential."""
_KEY_OF = frozenset(
    (
        *("api", "access", "auth", "private", "subscription", "functions", "app", "application", "account", "service"),
        *("user", "x", "client", "secret", "master", "goog", "license", "shared", "integration", "sentry", "write"),
        *("ingest", "ingestion", "developer", "consumer", "maps", "google", "routing", "publishable", "dd"),
    )
)
"""What a key of a query or form is of, where it is a credential."""
_NO_KEY_OF = frozenset(
    ("idempotency", "websocket", "cache", "surrogate", "sort", "partition", "order", "group", "public")
)
"""What a key of a header is of, where it is none: every other one is taken for a credential."""
_RUN_TOGETHER = re.compile(
    r"(?:api|access|auth|private|secret|account|subscription|licen[cs]e)key|(?:access|auth|private|api|user)token"
    r"|passw(?:or)?d|credentials?|clientsecret|authorization"
)
"""A name without a mark between its words that says the same."""
_HARMLESS = frozenset(
    ("page", "next", "continuation", "sync", "cursor", "csrf", "xsrf", "crumb", "max", "resume", "pagination", "skip")
)
"""A token with one of these in its name says where to go on, or protects a browser."""
_NAMED_SO = frozenset((b"authorization", b"proxy-authorization", b"cookie", b"cookie2", b"x-amz-security-token"))
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9_-])(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{40,}|glpat-[\w-]{20,}"
    r"|xox[abprs]-[\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{35}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,}|hf_[A-Za-z0-9]{30,}"
    r"|dckr_pat_[\w-]{20,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}|bot[0-9]{6,12}:[\w-]{30,}"
    r"|(?:webhooks/[0-9]{15,20}/|services/T[A-Z0-9]{7,}/B[A-Z0-9]{7,}/)[\w-]{20,})"
)
_LONG_ENOUGH = 8
_IN_URL = re.compile(r"/\((?:[A-Z]\([^()/]{1,200}\)){1,9}\)(?=/|$)")
"""A session, or a login, that a server of ASP.NET takes from the path where there are no cookies."""


class Place(StrEnum):
    """Where in a request a credential stands."""

    AUTHORIZATION = "Authorization"
    HEADER = "header"
    COOKIE = "cookie"
    QUERY = "query"
    PATH = "path"
    BODY = "body"


class Presented(msgspec.Struct, frozen=True, kw_only=True):
    """One credential that a request shows."""

    place: Place
    name: str = ""
    """The name of the header, of the key in the query or in the form."""
    scheme: str = ""
    """For `Authorization`: `bearer`, `basic`, `token` ..., in lower case."""
    user: str = ""
    """For Basic: the user name."""
    value: str
    """SECURITY: for comparing only. It may be somebody's credential and goes into no message."""

    def __repr__(self) -> str:
        return f"Presented({self.where})"

    @property
    def where(self) -> str:
        """Its place in words."""
        match self.place:
            case Place.AUTHORIZATION:
                return f"in `Authorization` ({self.scheme})" if self.scheme else "in `Authorization`"
            case Place.HEADER:
                return f"in the header `{self.name}`"
            case Place.COOKIE:
                return "in a cookie"
            case Place.QUERY:
                return f"in the query, as `{self.name}`"
            case Place.PATH:
                return "in the path"
            case Place.BODY:
                return f"in the body, as `{self.name}`"


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """Where a host takes its credentials beside the usual places, because a policy says so: whatever stands there is
    one."""

    headers: frozenset[str] = frozenset()
    """In lower case, with a dash for each underscore."""
    keys: frozenset[str] = frozenset()
    """Of queries, as `query_key` has them."""


NOWHERE = Own()


def presented(head: RequestHead, own: Own = NOWHERE) -> tuple[Presented, ...]:
    """The credentials of a head, each once."""
    return tuple(dict.fromkeys((*_in_fields(head, own), *_in_query(head.query, own), *_in_path(head.path))))


def in_form(body: bytes) -> tuple[Presented, ...]:
    """Those of a body of `application/x-www-form-urlencoded`."""
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=None)
    return tuple(
        Presented(place=Place.BODY, name=shown_name(name), value=value)
        for name, value in pairs
        if value and (is_secret_name(name) or _SHAPES.search(value))
    )


_FIELD_NAME = re.compile(
    rb"content-disposition:(?:[^\r\n]|\r?\n[ \t]){0,300}?(?<=[; \t])name(\*[0-9*]{0,3})?[ \t]*=[ \t]*"
    rb"\"?([^\"\r\n;]{1,120})",
    re.IGNORECASE,
)
"""SECURITY: a line may be folded, and a name be percent-encoded, as old and new readers of mail and forms take it."""
_PART_FIELD = re.compile(
    rb"\n(authorization|proxy-authorization|cookie|x-api-key|api-key|x-goog-api-key|private-token|x-auth-token)[ \t]*:",
    re.IGNORECASE,
)


def in_multipart(piece: bytes) -> tuple[Presented, ...]:
    """Those of the names of parts in a piece of a body of `multipart/form-data`."""
    names = []
    for found in _FIELD_NAME.finditer(piece):
        text = found[2].decode("latin-1").strip()
        names.append(unquote_plus(text.rpartition("'")[2] if found[1] else text))
    secret = [name for name in names if _joined(name) in _PARTS]
    return tuple(Presented(place=Place.BODY, name=shown_name(name), value="?") for name in secret)


def in_requests(piece: bytes) -> tuple[Presented, ...]:
    """Those of requests in a piece of a body that holds several, each with a header of its own."""
    names = [found[1].decode("latin-1").lower() for found in _PART_FIELD.finditer(piece)]
    return tuple(Presented(place=Place.BODY, name=name, value="?") for name in names)


_PAIR = re.compile(r"[\"']?([A-Za-z][A-Za-z_ .-]{2,30})[\"']?\s{0,20}:\s{0,20}([\"'][^\"']|[^\s\"'])")
_ELEMENT = re.compile(
    r"<(?:[\w-]{1,40}:)?([A-Za-z][\w.-]{2,30})(?:\s[^<>]{0,300})?>\s{0,20}[^<\s]"
    r"|\s(?:[\w-]{1,40}:)?([A-Za-z][\w.-]{2,30})\s?=\s?[\"'][^\"']"
)
_ONE_LINE_FORM = re.compile(rb"\s*[\w.%\[\]+-]{1,100}=[^\s<>{}]*\s*")


def in_loose_json(text: str) -> tuple[Presented, ...]:
    """Those of what begins as JSON and is none: servers differ in what they still take for it."""
    return _called_so(found[1] for found in _PAIR.finditer(text))


def in_xml(text: str) -> tuple[Presented, ...]:
    """Those of elements and attributes that are called so."""
    return _called_so(found[1] or found[2] for found in _ELEMENT.finditer(text))


def in_plain_text(body: bytes) -> tuple[Presented, ...]:
    """Those of a line that is a form, whatever it is said to be."""
    return in_form(body.strip()) if _ONE_LINE_FORM.fullmatch(body) else ()


def _called_so(names: Iterable[str]) -> tuple[Presented, ...]:
    secret = dict.fromkeys(name for name in names if _joined(name) in _JSON_KEYS)
    return tuple(Presented(place=Place.BODY, name=shown_name(name), value="?") for name in secret)


def in_value(value: object) -> tuple[Presented, ...]:
    """Those of a JSON text: of its object, or of every one in its list."""
    found: list[Presented] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found += in_object(one)
        elif isinstance(one, list):
            waiting += one
    return tuple(found)


def in_message(value: object) -> tuple[Presented, ...]:
    """Those of a message of a WebSocket: where clients of GraphQL log in, at any depth and by whatever name."""
    found = list(in_value(value))
    if isinstance(value, dict) and isinstance(value.get("payload"), dict):
        payload = value["payload"]
        found += _deeply(payload if value.get("type") == "connection_init" else payload.get("extensions"))
    return tuple(found)


def _deeply(value: object) -> Iterator[Presented]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        for name, inner in one.items() if isinstance(one, dict) else ():
            if isinstance(inner, str) and inner and is_secret_name(name):
                yield Presented(place=Place.BODY, name=shown_name(name), value=inner)
            else:
                waiting.append(inner)


def in_object(values: dict[str, object]) -> tuple[Presented, ...]:
    """Those of the outermost keys of a JSON body, as far as their names are what APIs call their own credentials."""
    return tuple(
        Presented(place=Place.BODY, name=shown_name(name), value=value)
        for name, value in values.items()
        if isinstance(value, str) and value and _joined(name) in _JSON_KEYS
    )


_JSON_KEYS = frozenset(
    ("accesstoken", "privatetoken", "apikey", "clientsecret", "refreshtoken", "authtoken", "apitoken")
)


_PARTS = _JSON_KEYS | frozenset(
    (
        *("token", "password", "secret", "authorization", "awsaccesskeyid", "xamzcredential", "xamzsignature"),
        *("googleaccessid", "xgoogcredential", "xgoogsignature", "ossaccesskeyid"),
    )
)
"""Names of parts, those included with which a form is signed that uploads to a bucket."""


def is_secret_name(name: str) -> bool:
    """Whether a header, or a key of a query or form, is called as those that hold a credential."""
    words = [word.lower() for part in _SPLIT.split(name) for word in _CAMEL.split(part) if word]
    joined = "".join(words)
    if joined in _SECRET_WORDS:
        return True
    if _HARMLESS & set(words):
        return False
    if _SECRET_WORDS & set(words) or any(map(_RUN_TOGETHER.search, words)):
        return True
    return any(word == "key" and at > 0 and words[at - 1] in _KEY_OF for at, word in enumerate(words))


def shown_name(name: str) -> str:
    """A name as it may stand in a message."""
    return "".join(one if one.isalnum() or one in "-_." else "?" for one in name[:40])


def _in_fields(head: RequestHead, own: Own) -> Iterator[Presented]:
    # Servers read several lines of them as one.
    protocols = b",".join(raw for name, raw in head.fields if name == b"sec-websocket-protocol")
    if protocols:
        yield from _in_protocols(protocols.decode("latin-1"))
    for name, raw in head.fields:
        value = raw.decode("latin-1").strip()
        if not value:
            continue
        if name in (b"authorization", b"proxy-authorization"):
            yield _authorization(value)
        elif name in (b"cookie", b"cookie2"):
            yield Presented(place=Place.COOKIE, value=value)
        elif name == b"sec-websocket-protocol":
            continue
        elif (
            _SHAPES.search(value)
            or (own.headers and name.decode("latin-1").replace("_", "-") in own.headers)
            or (not name.startswith(b"sec-") and (name in _NAMED_SO or _is_secret_field(name, value)))
        ):
            yield Presented(place=Place.HEADER, name=shown_name(name.decode("latin-1")), value=value)


def _is_secret_field(name: bytes, value: str) -> bool:
    text = name.decode("latin-1")
    words = [word for word in _SPLIT.split(text) if word]
    is_key = len(words) > 1 and words[-1] == "key" and words[-2] not in _NO_KEY_OF
    return is_key or (is_secret_name(text) and not _says_kind(words, value))


def _says_kind(words: list[str], value: str) -> bool:
    """Whether a field says which kind of credential there is elsewhere, as `npm-auth-type: web` does."""
    return words[-1:] == ["type"] and re.fullmatch(r"[a-z]{1,16}", value) is not None


def _authorization(value: str) -> Presented:
    scheme, _, rest = value.partition(" ")
    rest = rest.strip()
    if scheme.lower() == "basic":
        try:
            user, colon, password = b64decode(rest, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, ValueError):
            return Presented(place=Place.AUTHORIZATION, scheme="basic", value=rest or value)
        # Some tools put a token where the user name belongs.
        return Presented(
            place=Place.AUTHORIZATION,
            scheme="basic",
            user=user if colon and password else "",
            value=password or user or value,
        )
    if rest and _TOKEN68.fullmatch(rest):
        return Presented(place=Place.AUTHORIZATION, scheme=shown_name(scheme.lower()), value=rest)
    if not rest:
        return Presented(place=Place.AUTHORIZATION, value=value)
    return Presented(place=Place.AUTHORIZATION, scheme=shown_name(scheme.lower()), value=rest)


def _in_protocols(value: str) -> Iterator[Presented]:
    # A browser's WebSocket has no headers of its own, so that some APIs take the key as a protocol, behind its name.
    before = ""
    for protocol in (one.strip() for one in value.split(",")):
        start, _, rest = protocol.rpartition(".")
        named = start or before
        if (named and is_secret_name(named) and len(rest) >= _LONG_ENOUGH) or _SHAPES.search(protocol):
            yield Presented(place=Place.HEADER, name="sec-websocket-protocol", value=rest)
        elif is_secret_name(before) and len(protocol) >= _LONG_ENOUGH:
            yield Presented(place=Place.HEADER, name="sec-websocket-protocol", value=protocol)
        before = protocol


def _in_query(query: str, own: Own) -> Iterator[Presented]:
    for part in re.split("[&;]", query.removeprefix("?")):
        name, _, raw = part.partition("=")
        name, value = unquote_plus(name), unquote_plus(raw)
        is_own = bool(own.keys) and query_key(name) in own.keys
        if value and (is_own or is_secret_name(name) or _is_key(name, value) or _SHAPES.search(value)):
            yield Presented(place=Place.QUERY, name=shown_name(name), value=value)
        elif _SHAPES.search(name):
            yield Presented(place=Place.QUERY, name="?", value=name)


def _is_key(name: str, value: str) -> bool:
    """`key=` alone is a credential in some APIs and a search in others; what a credential looks like decides."""
    return name.lower() == "key" and re.fullmatch(r"[A-Za-z0-9_-]{16,}", value) is not None


def _in_path(path: str) -> Iterator[Presented]:
    # Some servers take parameters from behind a semicolon in the path.
    for parameter in path.split(";")[1:]:
        name, _, value = parameter.partition("/")[0].partition("=")
        if value and is_secret_name(unquote_plus(name)):
            yield Presented(place=Place.PATH, name=shown_name(name), value=unquote_plus(value))
    for session in _IN_URL.findall(path):
        yield Presented(place=Place.PATH, value=session)
    for found in _SHAPES.finditer(unquote_plus(path.replace("+", "%2B"))):
        yield Presented(place=Place.PATH, value=found[0])


def _joined(name: str) -> str:
    return "".join(_SPLIT.split(name)).lower()
