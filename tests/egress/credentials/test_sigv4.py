"""Signatures are made anew exactly as the owner of the keys would have made them."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest

from ringfence.egress.credentials.secret import AwsKeys, Secret
from ringfence.egress.credentials.sigv4 import SignatureInvalid, needs_body, read_signed, sign_again
from ringfence.egress.http_head import RequestHead, parse_head

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
INSIDE, FAKE = "AKIAPLACEHOLDER00001", "0" * 64
SCOPE = "20150830/us-east-1/service/aws4_request"


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """A request as botocore signs it on 30 August 2015; its keys are those of AWS's documentation."""

    name: str
    method: str
    url: str
    headers: dict[str, str]
    body: str
    service: str
    token: str | None


VECTORS = msgspec.json.decode((Path(__file__).parent / "sigv4.json").read_bytes(), type=list[Vector])


def _head(method: str, path: str, query: str, fields: dict[str, str], body: str = "") -> RequestHead:
    lines = [f"{method} {path}{'?' if query else ''}{query} HTTP/1.1", "Host: ignored.test"]
    lines += [f"{name}: {value}" for name, value in fields.items() if name.lower() not in ("host", "content-length")]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return parse_head("\r\n".join((*lines, "", "")).encode())


def _keys(token: str | None) -> AwsKeys:
    return AwsKeys(key="AKIDEXAMPLE", secret=Secret(SECRET), session=None if token is None else Secret(token))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda one: f"{one.service}-{one.name}-{one.token is not None}")
def test_what_was_signed_with_a_placeholder_is_signed_as_botocore_signs_it(vector: Vector) -> None:
    url = urlsplit(vector.url)
    signed_by_owner = _head(vector.method, url.path or "/", url.query, vector.headers, vector.body)
    written = {name: value for name, value in vector.headers.items() if name.lower() != "x-amz-security-token"}
    query = "&".join(part for part in url.query.split("&") if not part.startswith("X-Amz-Security-Token"))
    if "Authorization" in written:
        start, _, signature = written["Authorization"].rpartition("=")
        written["Authorization"] = f"{start.replace('AKIDEXAMPLE', INSIDE)}={FAKE[: len(signature)]}".replace(
            ";x-amz-security-token", ""
        )
    start, _, signature = query.rpartition("X-Amz-Signature=")
    query = f"{start.replace('AKIDEXAMPLE', INSIDE)}X-Amz-Signature={FAKE}" if start else query
    inside = _head(vector.method, url.path or "/", query, written, vector.body)

    signed = read_signed(inside)
    assert signed is not None
    body = vector.body.encode() if needs_body(inside, signed) else None
    made = sign_again(inside, url.netloc, signed, _keys(vector.token), body=body)

    assert sorted(made.query.removeprefix("?").split("&")) == sorted(signed_by_owner.query.removeprefix("?").split("&"))
    assert sorted(made.fields) == sorted(signed_by_owner.fields)


@pytest.mark.parametrize(
    ("method", "query", "signature"),
    [
        ("GET", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        ("GET", "Param2=value2&Param1=value1", "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ],
)
def test_the_published_examples_come_out(method: str, query: str, signature: str) -> None:
    inside = _head(method, "/", query, _signed_fields("host;x-amz-date"))
    signed = read_signed(inside)
    assert signed is not None

    made = sign_again(inside, "example.amazonaws.com", signed, _keys(None), body=b"")

    assert dict(made.fields)[b"authorization"] == (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{SCOPE}, SignedHeaders=host;x-amz-date,"
        f" Signature={signature}".encode()
    )


def _signed_fields(headers: str, **more: str) -> dict[str, str]:
    return {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={INSIDE}/{SCOPE}, SignedHeaders={headers}, Signature={FAKE}",
        **more,
    }


@pytest.mark.parametrize(
    ("fields", "body", "why"),
    [
        (_signed_fields("x-amz-date"), b"", "the header `host` is not signed"),
        (_signed_fields("host;x-other"), b"", "the header `x-other` is signed and not there"),
        (_signed_fields("host") | {"X-Amz-Date": "20150831T123600Z"}, b"", "or is not that of its scope"),
        (_signed_fields("host", **{"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}), b"", "by piece"),
        (_signed_fields("host"), None, "its body is too long to be hashed here"),
        ({"Authorization": "AWS4-HMAC-SHA256 nonsense"}, b"", "is not that of Signature Version 4"),
    ],
)
def test_what_cannot_be_signed_anew_is_refused(fields: dict[str, str], body: bytes | None, why: str) -> None:
    inside = _head("GET", "/", "", fields)

    with pytest.raises(SignatureInvalid) as caught:
        signed = read_signed(inside)
        assert signed is not None
        sign_again(inside, "example.amazonaws.com", signed, _keys(None), body=body)

    assert why in str(caught.value)


def test_nothing_prints_a_key() -> None:
    assert SECRET not in json.dumps([repr(_keys("TOKEN")), str(_keys("TOKEN"))])
    assert "TOKEN" not in repr(_keys("TOKEN"))
