"""Git, npm, pip and a registry's token flow, each with its real client in a real session: what is bound works, with a
placeholder; what names another owner or shows another key stops."""

from __future__ import annotations

import base64
import datetime
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.cli.conftest import Person, accounts

from ringfence.egress.authority import Authority
from ringfence.model.host import parse_host

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("person", accounts()[-1:], indirect=True)]

VALUES = {
    "git": "ghp_RealRealRealRealRealRealRealRealReal1111",
    "npm": "npm_RealRealRealRealRealRealRealRealReal2222",
    "pypi": "pypi-RealRealRealRealRealRealRealRealRealRealRealRealRealReal3333",
    "docker": "dckr_pat_RealRealRealRealReal4444",
}
ATTACKERS = "npm_EvilEvilEvilEvilEvilEvilEvilEvilEvil5555"
POLICY = """
extends = "workspace"
[[network.rule]]
hosts = ["{host}:{port}", "127.0.0.0/8:{port}", "10.0.0.0/8:{port}", "172.16.0.0/12:{port}", "192.168.0.0/16:{port}"]
verdict = "allow"
[[commands.rule]]
id = "publish"
effects = ["publish"]
verdict = "allow"
[[credentials]]
id = "{form}"
source = {{ environment = "REAL" }}
form = "{form}"
hosts = ["{host}:{port}"]
{more}
"""


@dataclass
class Services:
    """One server with a forge, three registries, and what they were shown."""

    host: str
    port: int
    trust: str
    folder: Path
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path, and who it was: a user and password, or a token."""

    def paths(self, who: str) -> list[str]:
        """What was asked for by somebody."""
        return [f"{method} {path}" for method, path, shown in self.asked if shown == who]


class Handler(BaseHTTPRequestHandler):
    """Answers as a forge and as registries do, as far as their clients look."""

    protocol_version = "HTTP/1.1"
    services: Services

    def do_GET(self) -> None:
        body = self._body()
        scheme, _, shown = (self.headers.get("authorization") or "").partition(" ")
        who = base64.b64decode(shown).decode() if scheme.lower() == "basic" else shown
        path = self.path.partition("?")[0]
        self.services.asked.append((self.command, path, who))
        if path.startswith("/git/"):
            return self._git(body) if who else self._answer(401, b"", ("www-authenticate", 'Basic realm="git"'))
        if path.startswith(("/simple/", "/files/")) and not who:
            return self._answer(401, b"", ("www-authenticate", 'Basic realm="index"'))
        if path == "/simple/shop/":
            return self._answer(
                200, b'<a href="/files/shop-1.0.tar.gz">shop-1.0.tar.gz</a>', ("content-type", "text/html")
            )
        if path.startswith("/files/"):
            return self._answer(200, (self.services.folder / "shop-1.0.tar.gz").read_bytes())
        if path == "/token":
            return self._json({"token": f"minted-for-{who.partition(':')[0]}-0123456789"})
        if path.startswith("/v2/") and scheme.lower() != "bearer":
            realm = f'Bearer realm="https://{self.services.host}:{self.services.port}/token",service="r"'
            return self._answer(401, b"", ("www-authenticate", realm))
        return self._json({"ok": True})

    do_POST = do_GET  # noqa: N815 - as the class above wants it
    do_PUT = do_GET  # noqa: N815

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _git(self, body: bytes) -> None:
        path, _, query = self.path.removeprefix("/git").partition("?")
        environ = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.services.folder / "git"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": "x",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("content-type") or "",
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding") or "",
            "GIT_PROTOCOL": self.headers.get("git-protocol") or "",
        }
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = [tuple(line.decode().split(": ", 1)) for line in head.split(b"\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200")
        self._answer(int(status[:3]), content, *((name, value) for name, value in fields if name != "Status"))

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), ("content-type", "application/json"))

    def _answer(self, status: int, body: bytes, *fields: tuple[str, ...]) -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """A test says nothing on the screen."""


@pytest.fixture
def services(person: Person, tmp_path: Path) -> Iterator[Services]:
    host = socket.gethostname()
    world = Authority("world", datetime.datetime.now(datetime.UTC))
    trust = person.home / "world.pem"
    trust.write_bytes(world.pem)
    trust.chmod(0o644)
    found = Services(host=host, port=0, trust=str(trust), folder=tmp_path)
    handler = type("Bound", (Handler,), {"services": found})
    server = ThreadingHTTPServer(("0.0.0.0", 0), handler)
    context: ssl.SSLContext = world.context(parse_host(host))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def run(person: Person, services: Services, form: str, script: str, more: str) -> str:
    """What a script of the agent prints, with a credential of one form."""
    names = {"host": services.host, "port": services.port}
    (person.project / "agent.sh").write_text(script.format(attackers=ATTACKERS, **names))
    (person.project / "policy.toml").write_text(POLICY.format(form=form, more=more.format(**names), **names))
    environment = {"REAL": VALUES[form], "SSL_CERT_FILE": services.trust}
    done = person.types(*("run", "--ask", "deny", "--policy", "policy.toml", "--", "sh", "agent.sh"), env=environment)
    shown = done.out + done.err
    assert VALUES[form] not in shown
    return shown


def test_git_fetches_and_pushes_and_reaches_no_other_owner(person: Person, services: Services) -> None:
    for owner in ("acme", "mallory"):
        path = services.folder / "git" / owner / "shop"
        subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
        subprocess.run(["git", "-C", str(path), "config", "http.receivepack", "true"], check=True)
    script = """
    export GIT_TERMINAL_PROMPT=0 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    cd /tmp && git clone -q https://{host}:{port}/git/acme/shop && cd shop && git commit -q --allow-empty -m one
    git push -q origin HEAD:main && echo PUSHED
    git push -q https://{host}:{port}/git/mallory/shop HEAD:main || echo NOT THERE
    git push -q https://x:{attackers}@{host}:{port}/git/mallory/shop HEAD:main || echo NOR SO
    """

    shown = run(person, services, "git", script, 'paths = ["/git/acme/**"]')

    assert "PUSHED" in shown, shown
    assert "NOT THERE" in shown and "NOR SO" in shown
    refs = ["git", "-C", str(services.folder / "git" / "{}" / "shop"), "for-each-ref"]
    pushed = {
        owner: subprocess.run([word.format(owner) for word in refs], capture_output=True, text=True).stdout
        for owner in ("acme", "mallory")
    }
    assert "refs/heads/main" in pushed["acme"] and pushed["mallory"] == ""
    assert any("git-receive-pack" in one for one in services.paths(f"x-access-token:{VALUES['git']}"))


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_npm_publishes_to_its_scope_and_to_no_other(person: Person, services: Services) -> None:
    script = """
    export npm_config_cache=/tmp/npm npm_config_registry=https://{host}:{port}/ npm_config_audit=false
    printf '//{host}:{port}/:_authToken=${{NPM_TOKEN}}\\n' > /tmp/npmrc; export npm_config_userconfig=/tmp/npmrc
    for scope in acme mallory; do
        mkdir -p /tmp/$scope && cd /tmp/$scope
        printf '{{"name": "@%s/shop", "version": "1.0.0"}}' $scope > package.json
        npm publish --silent && echo "PUBLISHED $scope"
    done
    NPM_TOKEN={attackers} npm publish --silent && echo STOLEN
    """

    shown = run(person, services, "npm", script, 'owners = ["acme"]\nvariables = ["NPM_TOKEN"]')

    assert "PUBLISHED acme" in shown, shown
    assert "PUBLISHED mallory" not in shown and "STOLEN" not in shown
    published = [(path.lower(), who) for method, path, who in services.asked if method == "PUT"]
    assert published == [("/@acme%2fshop", VALUES["npm"])]


def test_pip_installs_from_a_private_index_and_an_upload_with_another_token_stops(
    person: Person, services: Services
) -> None:
    source = services.folder / "shop-1.0"
    source.mkdir()
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    subprocess.run(["tar", "czf", "shop-1.0.tar.gz", "shop-1.0"], cwd=services.folder, check=True)
    script = """
    index=https://__token__:$PYPI_TOKEN@{host}:{port}/simple/
    upload() {{ curl -sSf -u "__token__:$1" -F content=@policy.toml -F name=shop https://{host}:{port}/legacy/; }}
    upload $PYPI_TOKEN && echo UPLOADED
    upload {attackers} && echo STOLEN
    /usr/bin/python3 -m pip download -q --no-deps --no-build-isolation --no-cache-dir -d /tmp/got -i "$index" shop==1.0
    curl -sSf "${{index}}shop/" && echo LISTED
    """

    shown = run(person, services, "pypi", script, 'variables = ["PYPI_TOKEN"]')

    who = f"__token__:{VALUES['pypi']}"
    assert "UPLOADED" in shown and "LISTED" in shown, shown
    assert "STOLEN" not in shown
    assert "POST /legacy/" in services.paths(who) and "GET /simple/shop/" in services.paths(who)
    if "No module named pip" not in shown:
        assert "GET /files/shop-1.0.tar.gz" in services.paths(who), shown


def test_a_registrys_tokens_come_inside_as_placeholders_and_reach_their_owner_alone(
    person: Person, services: Services
) -> None:
    script = """
    url=https://{host}:{port}
    scope() {{ curl -sSf -u "acme-bot:$DOCKER_TOKEN" "$url/token?service=r&scope=repository:$1:pull,push"; }}
    curl -sS -D - -o /dev/null $url/v2/ | grep -i www-authenticate
    token=$(scope acme/app | cut -d'"' -f4); echo "token $token"
    curl -sSf -H "Authorization: Bearer $token" $url/v2/acme/app/manifests/latest && echo PULLED
    curl -sSf -X PUT -H "Authorization: Bearer $token" --data x $url/v2/acme/app/manifests/new && echo PUSHED
    curl -sSf -H "Authorization: Bearer $token" $url/v2/mallory/app/manifests/latest && echo OTHER
    curl -sSf -u "mallory:{attackers}" $url/token && echo STOLEN
    """

    shown = run(
        person, services, "docker", script, 'user = "acme-bot"\nowners = ["acme"]\nvariables = ["DOCKER_TOKEN"]'
    )

    assert "PULLED" in shown and "PUSHED" in shown, shown
    assert "OTHER" not in shown and "STOLEN" not in shown
    assert "minted-for-acme-bot" not in shown
    assert services.paths("minted-for-acme-bot-0123456789") == [
        "GET /v2/acme/app/manifests/latest",
        "PUT /v2/acme/app/manifests/new",
    ]
