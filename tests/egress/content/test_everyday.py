"""What developers send every day passes without a finding, and is looked at as a whole."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import random
import tarfile
import uuid
import zipfile

import pytest
from tests.egress.content.looking import scanner

from ringfence.egress.content.scanning import BodyScan, Scan

PUBLIC_KEY = (
    "-----BEGIN PUBLIC KEY-----\n" + "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n" * 4 + "-----END PUBLIC KEY-----\n"
)
README = f"""# shop
Set `API_TOKEN=your-token-here` and run `npm start`. In CI: `NODE_AUTH_TOKEN: ${{{{ secrets.NPM_TOKEN }}}}`.
    password = getpass.getpass("Password: ")
    client = Client(api_key=os.environ["SHOP_API_KEY"], secret=settings.SECRET_KEY_2)
    AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE
    AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
    DATABASE_URL=postgres://postgres:postgres@localhost:5432/shop
    stripe.api_key = "sk_test_{"4eC39HqLyjWDarjtT1zdp7dc"}"
    if "-----BEGIN RSA PRIVATE KEY-----" in text: raise ValueError("a private key")
integrity: sha512-{base64.b64encode(hashlib.sha512(b"x").digest()).decode()}
commit {hashlib.sha1(b"x", usedforsecurity=False).hexdigest()}
request-id: {uuid.UUID(int=7)} etag: "{hashlib.md5(b"x", usedforsecurity=False).hexdigest()}"
token_count: 12345, max_tokens: 4096, secretName: app-tls-certificate-2024
{PUBLIC_KEY}"""


def _tarball() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in ("package/README.md", "package/.env.example"):
            info = tarfile.TarInfo(name)
            info.size = len(README.encode())
            archive.addfile(info, io.BytesIO(README.encode()))
    return stream.getvalue()


def _npm_publish() -> bytes:
    data = base64.b64encode(_tarball()).decode()
    attached = {"shop-1.0.0.tgz": {"content_type": "application/octet-stream", "data": data, "length": 999}}
    dist = {"integrity": "sha512-" + base64.b64encode(bytes(range(64))).decode(), "shasum": "0beec7b5ea3f0fdbc95d0dd4"}
    return json.dumps({"_id": "shop", "versions": {"1.0.0": {"dist": dist}}, "_attachments": attached}).encode()


def _wheel() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("shop/__init__.py", README)
        archive.writestr(
            "shop-1.0.dist-info/RECORD", "shop/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"
        )
    field = (
        b'--b\r\nContent-Disposition: form-data; name="sha256_digest"\r\n\r\n'
        + hashlib.sha256(b"x").hexdigest().encode()
    )
    return (
        field
        + b'\r\n--b\r\nContent-Disposition: form-data; name="content"\r\n\r\n'
        + stream.getvalue()
        + b"\r\n--b--\r\n"
    )


def _prompt() -> bytes:
    lot = random.Random(3)
    turns = [
        {"role": "tool", "content": README, "tool_call_id": "call_" + base64.b64encode(lot.randbytes(18)).decode()},
        {"type": "reasoning", "encrypted_content": base64.urlsafe_b64encode(lot.randbytes(3000)).decode()},
        {"type": "image", "source": {"data": base64.b64encode(b"\x89PNG\r\n\x1a\n" + lot.randbytes(40_000)).decode()}},
    ]
    return json.dumps({"model": "m", "prompt_cache_key": str(uuid.UUID(int=9)), "input": turns}).encode()


def _layer() -> bytes:
    lot = random.Random(4)
    return gzip.compress(lot.randbytes(300_000) + README.encode() * 20 + lot.randbytes(300_000))


EVERYDAY = {
    "readme": README.encode(),
    "npm publish": _npm_publish(),
    "a wheel": _wheel(),
    "a prompt": _prompt(),
    "a layer of an image": _layer(),
    "telemetry": json.dumps([{"trace": f"{n:032x}", "span": f"{n:016x}", "at": 17e8 + n} for n in range(500)]).encode(),
    "a form": b"grant_type=refresh_token&client_id=shop-web&scope=read%3Auser&to=http%3A%2F%2Flocalhost%3A3000",
}


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_work_is_no_finding(name: str) -> None:
    scan = Scan(scanner())

    found = scan.text("the body", EVERYDAY[name])

    assert [(str(one)) for one in found] == []
    assert scan.unread == {}


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_work_that_passes_piece_by_piece_is_no_finding(name: str) -> None:
    body = BodyScan(Scan(scanner()), ())
    data = EVERYDAY[name]

    found = [one for at in range(0, len(data), 16_000) for one in body.feed(data[at : at + 16_000], last=False)]
    found += body.feed(b"", last=True)

    assert [(str(one)) for one in found] == []
