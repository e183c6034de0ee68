"""What an HTTP request does, read off its method, path, query and body: Git, package registries, GraphQL, MCP.

Pure. A request that is none of these does what its method says: `read` or `write`. What cannot be read is `unknown`,
so that no rule about what is harmless ever covers it.
"""

from __future__ import annotations

from ringfence.policy.globs import Glob, components
from ringfence.policy.graphql import (
    UNKNOWN,
    Body,
    Query,
    anywhere,
    in_query,
    objects,
    of_server,
    persists,
    read_json,
)
from ringfence.policy.mcp_messages import CALL, misspelt
from ringfence.policy.request_paths import readings

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
"""The methods that change nothing, where a server keeps to the standard."""

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
_PUBLISHING = tuple((method, Glob(path)) for method, path in _PUBLISHES)


def of_head(method: str, path: str, query: Query) -> tuple[str, ...]:
    """What a request does, as far as its head says it; nothing where it does not."""
    # SECURITY: `/r.git%2Fgit-receive-pack` is no push as it stands, and one to a server that decodes before it looks:
    # what a request does is read off both, so that a rule about pushes cannot be evaded by another spelling. What is
    # harmless in one reading only is no fetch.
    found = [_git(method, reading, query) or _package(method, reading) for reading in readings(path)]
    named = tuple(dict.fromkeys(one for each in found for one in each))
    if method in SAFE:
        return named or ("read",)
    return (*named, "write") if named and not all(found) and _COVERS["read"].issuperset(named) else named


def operations(method: str, path: str, query: Query, body: Body | None, *, websocket: bool = False) -> tuple[str, ...]:
    """What a request does, all of it. Without a `body` it has not been seen."""
    if websocket:
        return ("websocket",)
    named = [one for one in of_head(method, path, query) if one != "read"]
    # SECURITY: what reads the body of a POST may read that of any request.
    says = method not in SAFE or bool(body and body.content)
    if any(_is_graphql(reading, body) for reading in readings(path)):
        named += of_server(query, body) if says else _asked_in_query(query)
    else:
        found = [one for reading in readings(path) for one in _in_body(reading, query, body if says else None)]
        # MCP and GraphQL are asked with POST: a long package that is uploaded with PUT is none of both, nor is one in
        # the parts of a form.
        form = body is not None and body.media.startswith("multipart/")
        uploads = (method != "POST" or form) and "package-publish" in named
        named += [one for one in found if one != UNKNOWN or not uploads]
    return tuple(dict.fromkeys(named)) or ("read" if method in SAFE else "write",)


def _git(method: str, path: str, query: Query) -> tuple[str, ...]:
    # SECURITY: capitals make no difference to some servers. What only reads is spelled as its clients spell it.
    folded = path.lower()
    service = folded.rpartition("/")[2]
    if folded.endswith("/info/refs"):
        asked = query.get("service", ())
        if any(one != "git-upload-pack" for one in asked):
            return ("git-push",)
        return ("git-fetch",) if asked else ()
    if path.endswith("/git-upload-pack") and method == "POST":
        return ("git-fetch",)
    if service == "git-receive-pack":
        return ("git-push",)
    if "/info/lfs/locks" in folded and method == "POST":
        return ("git-lfs-upload",)
    return ()


def _package(method: str, path: str) -> tuple[str, ...]:
    names = components(path.lower())
    if any(method == verb and glob.matches(names) for verb, glob in _PUBLISHING):
        return ("package-publish",)
    if method == "POST" and any(glob.matches(components(path)) for glob in _AUDITS):
        return ("package-audit",)
    return ()


def _is_graphql(path: str, body: Body | None) -> bool:
    names = components(path)
    named = bool(names) and names[-1].lower() in ("graphql", "gql")
    return named or (body is not None and body.media == "application/graphql")


def _asked_in_query(query: Query) -> list[str]:
    return in_query(query) or (["read"] if not query else [UNKNOWN])


def _in_body(path: str, query: Query, body: Body | None) -> list[str]:
    found = [UNKNOWN] if persists(query) else []
    if path.lower().endswith("/info/lfs/objects/batch"):
        named = [one.get("operation") for one in objects(body)]
        return found + [f"git-lfs-{one}" if one in ("download", "upload") else UNKNOWN for one in named] or [UNKNOWN]
    value: object = None
    # SECURITY: a call that is padded, packed or written so that it cannot be read is still one to its server.
    if body is not None and may_be_json(body.content, body.media, complete=body.complete):
        try:
            value = read_json(body.content) if body.complete else UNKNOWN
        except ValueError:
            value = UNKNOWN
        found += [UNKNOWN] if value == UNKNOWN else _calls(value)
    return found + anywhere(query, body, value)


def _calls(value: object) -> list[str]:
    """The calls of MCP in a JSON text."""
    listed = value if isinstance(value, list) else [value]
    return [kind for one in listed if isinstance(one, dict) for kind in _mcp(one)]


def _mcp(message: dict[str, object]) -> tuple[str, ...]:
    if misspelt(message):
        return (UNKNOWN,)
    method = message.get("method")
    if method == CALL:
        return ("mcp-call",)
    return ("mcp-other",) if message.get("jsonrpc") == "2.0" and isinstance(method, str) else ()


_BEFORE_JSON = b" \t\r\n\x0b\x0c\0\xef\xbb\xbf\xfe\xff"
"""White space and the marks of a byte order, in whatever UTF it is."""


def may_be_json(content: bytes, media: str, *, complete: bool) -> bool:
    """Whether a server may read this as a JSON object or list, whatever it is said to be. `media` is in lower case."""
    if not content and complete:
        return False
    start = content.lstrip(_BEFORE_JSON)[:1]
    return "json" in media or start in (b"{", b"[") or (not start and not complete)
