"""What rules ask about a request beside its method and path, read off its head and body. Pure; it judges nothing."""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

from ringfence.egress.http_head import RequestHead
from ringfence.egress.request_body import BodyUnread, plain
from ringfence.model.action import RequestFacts
from ringfence.policy.graphql import Body
from ringfence.policy.judges.connect import FactsWanted
from ringfence.policy.operations import operations
from ringfence.policy.request_paths import query_key

_BOUNDARY = re.compile(rb'(?i);[ \t]*boundary=("[^"\\]{1,70}"|[A-Za-z0-9\'()+_,./:=?-]{1,70})[ \t]*(?=;|$)')


def facts(
    wanted: FactsWanted, head: RequestHead, content: bytes | None, *, complete: bool, websocket: bool
) -> RequestFacts:
    """The facts that are wanted. `content` is the beginning of the body, or nothing where it was not read."""
    query = _query(head.query)
    keys = frozenset(map(query_key, wanted.query))
    body = None
    if content is not None:
        body = _body(head, content, complete=complete)
    listed = {key: tuple(value for name, value in query if name == key) for key, _ in query}
    headers = tuple(
        (name.decode("ascii"), value.decode("latin-1"))
        for name, value in head.fields
        if name.decode("ascii") in wanted.headers
    )
    done = (
        operations(head.method, head.path, listed, body, websocket=websocket) if wanted.operations or websocket else ()
    )
    return RequestFacts(
        operations=done,
        query=tuple((key, value) for key, value in query if query_key(key) in keys),
        headers=headers,
    )


def _body(head: RequestHead, content: bytes, *, complete: bool) -> Body:
    kind = _field(head, b"content-type")
    media = kind.partition(b";")[0].strip().lower().decode("latin-1")
    try:
        content, complete = plain(content, _field(head, b"content-encoding"), kind, complete=complete)
    except BodyUnread:
        return Body(content=b"", complete=False, media=media)
    return Body(content=content, complete=complete, media=media, boundary=_boundary(kind))


def _boundary(kind: bytes) -> str:
    """What stands between the parts of a form; empty where servers could take it for different things."""
    said = _BOUNDARY.findall(kind)
    return said[0].strip(b'"').decode("latin-1") if len(said) == 1 == kind.lower().count(b"boundary") else ""


def _query(text: str) -> list[tuple[str, str]]:
    """Every key with every value that any server could read there: some take `;` for `&`."""
    found: list[tuple[str, str]] = []
    plain = text.removeprefix("?")
    for parts in (plain.split("&"), re.split("[&;]", plain) if ";" in plain else ()):
        for part in parts:
            key, _, value = part.partition("=")
            found.append((unquote_plus(key), unquote_plus(value)))
    return list(dict.fromkeys(found))


def _field(head: RequestHead, name: bytes) -> bytes:
    return next((value for one, value in head.fields if one == name), b"")
