"""AWS Signature Version 4: reads a signature that was made with a placeholder, and makes it anew with the real keys.

Pure. What was signed inside (headers, time, scope) stays what is signed; only the keys are other ones. A body that is
signed piece by piece is refused, because each of its pieces would have to be signed again.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote, unquote

import msgspec

from ringfence.egress.credentials.secret import AwsKeys
from ringfence.egress.http_head import RequestHead

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY = hashlib.sha256(b"").hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^/, ]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request *, *"
    r"SignedHeaders=([a-z0-9;_-]+) *, *Signature=[0-9a-f]{64}"
)
_CREDENTIAL = re.compile(r"([^/, ]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request")
_TIME = re.compile(r"(\d{8})T\d{6}Z")
_HASH = re.compile(r"[0-9a-f]{64}")


class SignatureInvalid(ValueError):
    """The signature cannot be made anew; the message says why."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What a signature says about itself."""

    key: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    """The names of the headers that are signed, sorted."""
    time: str
    in_query: bool = False
    """Whether the URL carries it, so that it is presigned."""

    @property
    def scope(self) -> str:
        """What the signature is for."""
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read_signed(head: RequestHead) -> Signed | None:
    """The signature of a request; None where there is none."""
    written = [value.decode("latin-1") for name, value in head.fields if name == b"authorization"]
    if len(written) == 1 and written[0].startswith(ALGORITHM):
        found = _AUTHORIZATION.fullmatch(written[0].strip())
        if found is None:
            raise SignatureInvalid("its `Authorization` is not that of Signature Version 4")
        key, date, region, service, headers = found.groups()
        time = _one(head, "x-amz-date") or _one(head, "date")
        return _checked(key, date, region, service, headers, time, in_query=False)
    pairs = dict(_pairs(head.query))
    if "X-Amz-Credential" not in pairs:
        return None
    scope = _CREDENTIAL.fullmatch(pairs["X-Amz-Credential"])
    if scope is None or pairs.get("X-Amz-Algorithm") != ALGORITHM or len(pairs) != len(_pairs(head.query)):
        raise SignatureInvalid("its query is not that of Signature Version 4")
    key, date, region, service = scope.groups()
    headers = pairs.get("X-Amz-SignedHeaders", "")
    return _checked(key, date, region, service, headers, pairs.get("X-Amz-Date", ""), in_query=True)


def needs_body(head: RequestHead, signed: Signed) -> bool:
    """Whether the hash of the body is a part of what is signed and stands nowhere in the head."""
    return not signed.in_query and not _one(head, "x-amz-content-sha256")


def sign_again(head: RequestHead, host: str, signed: Signed, keys: AwsKeys, *, body: bytes | None) -> RequestHead:
    """The head with the signature that the real keys make."""
    named = _named(signed, keys)
    if signed.in_query:
        return _presign(head, host, named, keys)
    head = _with(head, "x-amz-security-token", keys.session.reveal() if keys.session is not None else None)
    payload = _payload(head, body)
    signature = _signature(head, host, named, keys, payload)
    text = (
        f"{ALGORITHM} Credential={keys.key}/{named.scope}, SignedHeaders={';'.join(named.headers)},"
        f" Signature={signature}"
    )
    return _with(head, "authorization", text)


def canonical_request(head: RequestHead, host: str, signed: Signed, payload: str) -> str:
    """The text whose hash is signed."""
    path = unquote(head.path, encoding="latin-1") or "/"
    encoded = quote(path, safe="/-_.~", encoding="latin-1")
    # S3 encodes a path once; every other service encodes what was already encoded.
    uri = encoded if signed.service == "s3" else quote(encoded, safe="/-_.~")
    pairs = sorted((_encoded(name), _encoded(value)) for name, value in _pairs(head.query))
    query = "&".join(f"{name}={value}" for name, value in pairs if name != "X-Amz-Signature")
    lines = "".join(f"{name}:{_header(head, host, name)}\n" for name in signed.headers)
    return "\n".join((head.method, uri, query, lines, ";".join(signed.headers), payload))


def _checked(key: str, date: str, region: str, service: str, headers: str, time: str, *, in_query: bool) -> Signed:
    names = tuple(sorted(set(filter(None, headers.split(";")))))
    found = _TIME.fullmatch(time)
    if found is None or found[1] != date:
        raise SignatureInvalid("its time is not in `X-Amz-Date`, or is not that of its scope")
    if "host" not in names:
        raise SignatureInvalid("the header `host` is not signed")
    return Signed(key=key, date=date, region=region, service=service, headers=names, time=time, in_query=in_query)


def _named(signed: Signed, keys: AwsKeys) -> Signed:
    """What is to be signed: the token of a temporary key is a part of it, and only where there is one."""
    names = {name for name in signed.headers if name != "x-amz-security-token"}
    if keys.session is not None and not signed.in_query:
        names.add("x-amz-security-token")
    return msgspec.structs.replace(signed, headers=tuple(sorted(names)), key=keys.key)


def _presign(head: RequestHead, host: str, signed: Signed, keys: AwsKeys) -> RequestHead:
    pairs = [
        (name, value)
        for name, value in _pairs(head.query)
        if name not in ("X-Amz-Credential", "X-Amz-Security-Token", "X-Amz-Signature")
    ]
    pairs.append(("X-Amz-Credential", f"{keys.key}/{signed.scope}"))
    if keys.session is not None:
        pairs.append(("X-Amz-Security-Token", keys.session.reveal()))
    bare = msgspec.structs.replace(head, query=f"?{_query(pairs)}")
    payload = UNSIGNED if signed.service == "s3" else EMPTY
    signature = _signature(bare, host, signed, keys, payload)
    return msgspec.structs.replace(bare, query=f"{bare.query}&X-Amz-Signature={signature}")


def _payload(head: RequestHead, body: bytes | None) -> str:
    said = _one(head, "x-amz-content-sha256")
    if not said:
        if body is None:
            raise SignatureInvalid("its body is too long to be hashed here, and its head does not say the hash")
        return hashlib.sha256(body).hexdigest()
    if said in (UNSIGNED, "STREAMING-UNSIGNED-PAYLOAD-TRAILER") or _HASH.fullmatch(said):
        return said
    raise SignatureInvalid("its body is signed piece by piece; send it unsigned, which TLS makes no less safe")


def _signature(head: RequestHead, host: str, signed: Signed, keys: AwsKeys, payload: str) -> str:
    request = hashlib.sha256(canonical_request(head, host, signed, payload).encode()).hexdigest()
    text = f"{ALGORITHM}\n{signed.time}\n{signed.scope}\n{request}"
    key = f"AWS4{keys.secret.reveal()}".encode()
    for part in (signed.date, signed.region, signed.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _header(head: RequestHead, host: str, name: str) -> str:
    if name == "host":
        return host
    if name == "content-length":
        return str(head.length)
    values = [value.decode("latin-1") for written, value in head.fields if written == name.encode()]
    if not values:
        raise SignatureInvalid(f"the header `{name}` is signed and not there")
    return ",".join(" ".join(value.split()) for value in values)


def _one(head: RequestHead, name: str) -> str:
    values = [value.decode("latin-1").strip() for written, value in head.fields if written == name.encode()]
    return values[0] if len(values) == 1 else ""


def _with(head: RequestHead, name: str, value: str | None) -> RequestHead:
    fields = [(written, raw) for written, raw in head.fields if written != name.encode()]
    if value is not None:
        fields.append((name.encode(), value.encode("ascii")))
    return msgspec.structs.replace(head, fields=tuple(fields))


def _pairs(query: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in query.removeprefix("?").split("&") if part]
    return [(unquote(name, encoding="latin-1"), unquote(value, encoding="latin-1")) for name, _, value in parts]


def _query(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in pairs)


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~", encoding="latin-1")
