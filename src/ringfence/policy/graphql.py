"""What a request asks of a GraphQL server, wherever it says so: in JSON, in a form, in the parts of one, in its query.

Pure. Any path can be a GraphQL server's. Where a path is not named as one, a text counts if it is a document that
changes something, and what may be one and cannot be read, or is only named by a hash, is `unknown`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias
from urllib.parse import unquote_plus

import msgspec

UNKNOWN = "unknown"

Query: TypeAlias = Mapping[str, tuple[str, ...]]
"""Every value of each key, decoded."""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request, as far as it was read."""

    content: bytes
    complete: bool
    """Whether that is all of it. Of what cannot be unpacked there is no content, and it is not complete."""
    media: str
    """The type without parameters, in lower case."""
    boundary: str = ""
    """What stands between the parts of a form in parts; empty where it is not said, or not in one way."""


_FORM, _PARTS = "application/x-www-form-urlencoded", "multipart/"
_QUERY = re.compile(r"(?:.*[.\[])?query\]?(?:\[\d*\])?", re.DOTALL)
"""A key under which a document stands, also in the spellings of forms for lists and objects."""
_HASHES = frozenset(
    ("documentid", "docid", "queryid", "queryhash", "operationid", "operationhash", "operationname", "persistedquery",
     "persistedqueryid", "sha256hash")
)  # fmt: skip
_CHANGES = re.compile(r"(?<![A-Za-z0-9_])(?:mutation|subscription)(?![A-Za-z0-9_])")
_STARTS = frozenset(
    ("{", "query", "mutation", "subscription", "fragment", "schema", "scalar", "type", "interface", "union", "enum",
     "input", "directive", "extend")
)  # fmt: skip
"""What the definitions of a document begin with."""
_LIKE_JSON = re.compile(r'[\s\ufeff]*(?:\{\s*"|\[\s*[\[{"])')
_IN_TEXTS = 3
"""How deep a JSON text may stand within the text of another one."""
_PLAIN_PARTS = frozenset((b"7bit", b"8bit", b"binary"))
_CODING = re.compile(rb"(?im)^content-transfer-encoding[ \t]*:[ \t]*([^\r\n;]*)")
_CHARSET = re.compile(rb"(?i)charset[^=\r\n;]*=[\"' \t]*([^\r\n;\"' ]*)")
_UTF8 = frozenset((b"utf-8", b"utf8", b"us-ascii", b"ascii"))


def of_server(query: Query, body: Body | None) -> list[str]:
    """The operations of a request to a path that is named as a GraphQL server's."""
    found = in_query(query)
    if body is None or not body.complete:
        return [*found, UNKNOWN]
    if body.media == "application/graphql":
        return [*found, *graphql_kinds(body.content.decode("utf-8", "replace"))]
    if _is_form(body):
        return found + _of_form(body) or [UNKNOWN]
    for one in objects(body):
        # SECURITY: programs in Go take `Query` for `query`, and of both the last.
        texts = [value for key, value in one.items() if key.casefold() == "query"]
        # A persisted query is a hash: what it does is known to the server alone.
        found += [kind for text in texts for kind in (graphql_kinds(text) if isinstance(text, str) else [UNKNOWN])]
        found += [UNKNOWN] if "query" not in one else []
    return found or [UNKNOWN]


def in_query(query: Query) -> list[str]:
    """The operations that the query of a server's path says."""
    asked = [text for key, texts in query.items() if key.casefold() == "query" for text in texts]
    return [kind for text in asked for kind in graphql_kinds(text)]


def anywhere(query: Query, body: Body | None, value: object = None) -> list[str]:
    """The operations of a request to any other path. `value` is the JSON of its body, where it is one."""
    found = [kind for key, texts in query.items() for text in texts for kind in _of_text(key, text, changes=True)]
    if body is not None and _is_form(body):
        return found + _of_form(body)
    return found + _of_value(value, 0)


def persists(query: Query) -> bool:
    """Whether a query names an operation that the server knows, instead of saying it."""
    given = {key.lower() for key in query} & {"variables", "extensions"}
    return bool(given and any(map(_is_hash, query))) or any("sha256Hash" in one for one in query.get("extensions", ()))


def _is_form(body: Body) -> bool:
    return body.media == _FORM or body.media.startswith(_PARTS)


def _of_form(body: Body) -> list[str]:
    # SECURITY: a form that is padded until it cannot be read is still one to its server.
    if not body.complete:
        return [UNKNOWN]
    try:
        pairs = list(_fields(body.content) if body.media == _FORM else _parts(body.content, body.boundary))
    except ValueError:
        return [UNKNOWN]
    found = [kind for key, text in pairs for kind in _of_text(key, text)]
    return found or ([UNKNOWN] if _names_one({key for key, _ in pairs}) else [])


def _fields(content: bytes) -> Iterator[tuple[str, str]]:
    """The pairs of a form, also as servers read it that take `;` for `&`."""
    text = content.decode("utf-8", "replace")
    for parts in (text.split("&"), re.split("[&;]", text) if ";" in text else ()):
        for part in parts:
            key, _, value = part.partition("=")
            yield unquote_plus(key).strip(), unquote_plus(value)


def _parts(content: bytes, boundary: str) -> Iterator[tuple[str, str]]:
    """The parts of a form by name; `ValueError` where two servers could see other parts in it."""
    between = b"--" + boundary.encode("latin-1")
    first, *rest = (b"\r\n" + content).split(b"\r\n" + between)
    if not boundary or not content.strip() or between in first or not rest:
        raise ValueError("its parts cannot be told")
    for part in rest:
        if between in part or (part[:2] not in (b"\r\n", b"--")):
            raise ValueError("its parts cannot be told")
        head, end, value = part[2:].partition(b"\r\n\r\n")
        if part[:2] == b"--" and not part[2:].strip():
            continue
        if not end or b"\n" in head.replace(b"\r\n", b"") or b"\n\n" in head:
            raise ValueError("a part has no head")
        plain = all(one.strip().lower() in _PLAIN_PARTS for one in _CODING.findall(head))
        if not plain or any(one.lower() not in _UTF8 for one in _CHARSET.findall(head)):
            raise ValueError("a part is encoded")
        name = re.search(rb'(?i)[;\s]name="?([^";\r\n]*)', head)
        yield name[1].decode("latin-1") if name else "", value.decode("utf-8", "replace")


def _of_value(value: object, depth: int) -> list[str]:
    """The operations in a JSON value, wherever in it they stand."""
    found: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict) and not isinstance(one.get("query"), str) and _names_one(set(one)):
            found.append(UNKNOWN)
    left: list[tuple[str, object]] = [("", value)]
    while left:
        key, one = left.pop()
        if isinstance(one, dict):
            left += reversed([(str(name), inner) for name, inner in one.items()])
        elif isinstance(one, list):
            left += reversed([(key, inner) for inner in one])
        elif isinstance(one, str):
            found += _of_text(key, one, depth)
    return found


def _of_text(key: str, text: str, depth: int = 0, *, changes: bool = False) -> list[str]:
    """The operations of one text; `changes`: only those that change something."""
    if _LIKE_JSON.match(text):
        if depth >= _IN_TEXTS:
            return [UNKNOWN]
        try:
            return _of_value(read_json(text.encode("utf-8", "surrogatepass")), depth + 1)
        except ValueError:
            return [UNKNOWN] if _may_change(text) else []
    named = not changes and _QUERY.fullmatch(key.lower()) is not None
    if not named and not _may_change(text):
        return []
    start = next((match[0] for match in _WORD.finditer(_IGNORED.sub(" ", text))), "")
    if start not in _STARTS:
        return []
    kinds = graphql_kinds(text)
    if named:
        return kinds if kinds != [UNKNOWN] or _may_change(text) else []
    return [kind for kind in kinds if kind != "graphql-query"]


def _may_change(text: str) -> bool:
    return "\\u" in text or _CHANGES.search(text) is not None


def _names_one(keys: set[str]) -> bool:
    """Whether an object or a form names an operation instead of saying it."""
    low = {key.lower() for key in keys}
    return any(map(_is_hash, keys)) or {"id", "variables"} <= low


def _is_hash(key: str) -> bool:
    return key.lower().replace("_", "").replace("-", "") in _HASHES


def objects(body: Body | None) -> list[dict[str, object]]:
    """The JSON objects of a body that is complete: itself, or those in its list."""
    if body is None or not body.complete:
        return []
    try:
        value = read_json(body.content)
    except ValueError:
        return []
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, dict)] if all(isinstance(one, dict) for one in listed) else []


def read_json(content: bytes) -> object:
    """The value of a JSON text; `ValueError` where it is none, or means different things to different readers."""
    try:
        # SECURITY: of a key that stands twice, one reader takes the first value and another the last.
        value: object = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in it")
    return found


_IGNORED = re.compile(r'"""(?:\\"""|(?!""").)*"""|"(?:\\.|[^"\\\n])*"|#[^\n\r]*', re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[{}]|[^\s,\ufeff]")


def graphql_kinds(document: str) -> list[str]:
    """The kinds of all operations in a GraphQL document, whichever of them is meant; `unknown` where it is none."""
    found: list[str] = []
    depth, arguments, at_start = 0, 0, True
    for match in _WORD.finditer(_IGNORED.sub(" ", document)):
        word = match[0]
        if word in "()":
            arguments += 1 if word == "(" else -1
        elif arguments > 0:
            continue  # braces in arguments are values
        elif word == "{":
            if depth == 0 and at_start:
                found.append("graphql-query")
            depth, at_start = depth + 1, False
        elif word == "}":
            depth -= 1
            at_start = depth == 0
        elif depth == 0 and at_start:
            if word in ("query", "mutation", "subscription"):
                found.append(f"graphql-{word}")
            elif word != "fragment":
                return [UNKNOWN]
            at_start = False
        if depth < 0 or arguments < 0 or (at_start and arguments):
            return [UNKNOWN]
    return found if found and depth == 0 == arguments else [UNKNOWN]
