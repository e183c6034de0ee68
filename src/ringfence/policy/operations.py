"""What an HTTP request does, read off its method, path, query and body: Git, package registries, GraphQL, MCP.

Pure. A request that is none of these does what its method says: `read` or `write`. What cannot be read is `unknown`,
so that no rule about what is harmless ever covers it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import unquote

import msgspec

from ringfence.policy.globs import Glob, components

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
"""The methods that change nothing, where a server keeps to the standard."""

UNKNOWN = "unknown"
_READS = ("git-fetch", "git-lfs-download", "graphql-query", "package-audit")
_WRITES = (
    "git-push", "git-lfs-upload", "graphql-mutation", "graphql-subscription", "package-publish", "mcp-call",
    "mcp-other", "websocket", UNKNOWN,
)  # fmt: skip
_COVERS = {
    "read": frozenset(("read", *_READS)),
    "write": frozenset(("write", *_WRITES)),
    "package-install": frozenset(("read", "package-audit")),
}
KINDS = ("read", "write", "package-install", *_READS, *(one for one in _WRITES if one != UNKNOWN))
"""What a rule may name in `operations`."""


def covered(named: tuple[str, ...]) -> frozenset[str]:
    """Every operation that a rule means which names these."""
    return frozenset[str]().union(*(_COVERS.get(one, frozenset((one,))) for one in named))


def needs_body(named: tuple[str, ...]) -> bool:
    """Whether a rule that names these can only be judged with the body of a request."""
    return any(one.startswith(("graphql-", "mcp-", "git-lfs-")) for one in covered(named))


Query: TypeAlias = Mapping[str, tuple[str, ...]]
"""Every value of each key, decoded."""

_PUBLISHES = (
    # npm, and registries like it
    ("PUT", "/*"), ("PUT", "/@*/*"), ("PUT", "/@*"), ("DELETE", "/**/-rev/*"), ("PUT", "/-/package/**"),
    ("DELETE", "/-/package/**"),
    # PyPI
    ("POST", "/legacy"),
    # Cargo
    ("PUT", "/api/v1/crates/**"), ("DELETE", "/api/v1/crates/**"),
    # RubyGems
    ("POST", "/api/v1/gems"), ("DELETE", "/api/v1/gems/yank"),
    # container registries
    ("POST", "/v2/**/blobs/uploads/**"), ("PATCH", "/v2/**/blobs/uploads/**"), ("PUT", "/v2/**/blobs/uploads/**"),
    ("PUT", "/v2/**/manifests/*"), ("DELETE", "/v2/**"),
    # NuGet, Maven, Hex, pub
    ("PUT", "/api/v2/package/**"), ("PUT", "/**/*.pom"), ("PUT", "/**/*.jar"), ("PUT", "/**/*.module"),
    ("PUT", "/**/maven-metadata.xml*"), ("POST", "/api/packages/*/releases"), ("POST", "/api/packages/versions/**"),
)  # fmt: skip
_AUDITS = tuple(Glob(one) for one in ("/-/npm/v1/security/**",))
"""Questions of package managers that are put with POST and change nothing."""
# SECURITY: `/r.git%2Fgit-receive-pack` is no push as it stands, and one to a server that decodes before it looks: what
# a request does is read off both, so that a rule about pushes cannot be evaded by another spelling.
_DETOUR = re.compile(r"[%;\\]|//|/\.|/$")
_SLASH = re.compile(r"[/\\]")
_MOST_DECODED = 4
_PUBLISHING = tuple((method, Glob(path)) for method, path in _PUBLISHES)


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a request, as far as it was read."""

    content: bytes
    complete: bool
    """Whether that is all of it. Of what cannot be unpacked there is no content, and it is not complete."""
    media: str
    """The type without parameters, in lower case."""


def of_head(method: str, path: str, query: Query) -> tuple[str, ...]:
    """What a request does, as far as its head says it; nothing where it does not."""
    named = [one for reading in readings(path) for one in _git(method, reading, query) or _package(method, reading)]
    return tuple(dict.fromkeys(named)) or (() if method not in SAFE else ("read",))


def readings(path: str) -> tuple[str, ...]:
    """The path as it came and, where some servers read it as another one, that one."""
    if not _DETOUR.search(path):
        return (path,)
    plain = path
    for _ in range(_MOST_DECODED):
        plain, before = unquote(plain, "latin-1"), plain
        if plain == before:
            break
    names: list[str] = []
    for part in _SLASH.split(plain):
        name = part.partition(";")[0]
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return (path, "/" + "/".join(names))


def operations(method: str, path: str, query: Query, body: Body | None, *, websocket: bool = False) -> tuple[str, ...]:
    """What a request does, all of it. Without a `body` it has not been seen."""
    if websocket:
        return ("websocket",)
    named = [one for one in of_head(method, path, query) if one != "read"]
    if any(_is_graphql(reading, body) for reading in readings(path)):
        named += _graphql(method, query, body)
    elif method not in SAFE:
        found = [one for reading in readings(path) for one in _in_body(reading, body)]
        # MCP and GraphQL are asked with POST: a long package that is uploaded with PUT is none of both.
        uploads = method != "POST" and "package-publish" in named
        named += [one for one in found if one != UNKNOWN or not uploads]
    return tuple(dict.fromkeys(named)) or ("read" if method in SAFE else "write",)


def _git(method: str, path: str, query: Query) -> tuple[str, ...]:
    service = path.rpartition("/")[2]
    if path.endswith("/info/refs"):
        asked = query.get("service", ())
        if any(one != "git-upload-pack" for one in asked):
            return ("git-push",)
        return ("git-fetch",) if asked else ()
    if service == "git-upload-pack" and method == "POST":
        return ("git-fetch",)
    if service == "git-receive-pack":
        return ("git-push",)
    if "/info/lfs/locks" in path and method == "POST":
        return ("git-lfs-upload",)
    return ()


def _package(method: str, path: str) -> tuple[str, ...]:
    names = components(path)
    if any(method == verb and glob.matches(names) for verb, glob in _PUBLISHING):
        return ("package-publish",)
    if method == "POST" and any(glob.matches(names) for glob in _AUDITS):
        return ("package-audit",)
    return ()


def _is_graphql(path: str, body: Body | None) -> bool:
    names = components(path)
    return bool(names and names[-1] in ("graphql", "gql")) or (body is not None and body.media == "application/graphql")


def _graphql(method: str, query: Query, body: Body | None) -> list[str]:
    found = [kind for text in query.get("query", ()) for kind in graphql_kinds(text)]
    if method != "POST":
        return found or (["read"] if method in SAFE and not query else [UNKNOWN])
    if body is None or not body.complete:
        return [UNKNOWN]
    if body.media == "application/graphql":
        return [*found, *graphql_kinds(body.content.decode("utf-8", "replace"))]
    for one in _objects(body):
        text = one.get("query")
        # A persisted query is a hash: what it does is known to the server alone.
        found += graphql_kinds(text) if isinstance(text, str) else [UNKNOWN]
    return found or [UNKNOWN]


def _in_body(path: str, body: Body | None) -> list[str]:
    if path.endswith("/info/lfs/objects/batch"):
        named = [one.get("operation") for one in _objects(body)]
        return [f"git-lfs-{one}" if one in ("download", "upload") else UNKNOWN for one in named] or [UNKNOWN]
    if body is None:
        return []
    # SECURITY: a call that is padded, packed or written so that it cannot be read is still one to its server.
    likely = may_be_json(body.content, body.media, complete=body.complete)
    if not body.complete:
        return [UNKNOWN] if likely else []
    try:
        value = read_json(body.content)
    except ValueError:
        return [UNKNOWN] if likely else []
    found: list[str] = []
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, dict):
            continue
        method, query = one.get("method"), one.get("query")
        if one.get("jsonrpc") == "2.0" and isinstance(method, str):
            found.append("mcp-call" if method == "tools/call" else "mcp-other")
        elif isinstance(query, str):
            found += [kind for kind in graphql_kinds(query) if kind != UNKNOWN]
    return found


def _objects(body: Body | None) -> list[dict[str, object]]:
    """The JSON objects of a body: itself, or those in its list."""
    if body is None or not body.complete:
        return []
    try:
        value = read_json(body.content)
    except ValueError:
        return []
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, dict)] if all(isinstance(one, dict) for one in listed) else []


_BEFORE_JSON = b" \t\r\n\x0b\x0c\0\xef\xbb\xbf\xfe\xff"
"""White space and the marks of a byte order, in whatever UTF it is."""


def may_be_json(content: bytes, media: str, *, complete: bool) -> bool:
    """Whether a server may read this as a JSON object or list, whatever it is said to be. `media` is in lower case."""
    if not content and complete:
        return False
    start = content.lstrip(_BEFORE_JSON)[:1]
    return "json" in media or start in (b"{", b"[") or (not start and not complete)


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
