"""A real session whose gateway ends the TLS of a host: the programs inside trust it, and the requests are judged."""

from __future__ import annotations

import datetime
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.egress.authority import Authority
from ringfence.model.host import HOST_LOOPBACK, parse_host

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers every request with its line."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = f"{self.command} {self.path} was here\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *words: object) -> None:
        """Nothing."""


class World:
    """A server outside, whose authority the machine trusts, and a person's folders."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.home, self.workspace = folder / "home", folder / "w"
        for one in (self.home, self.workspace):
            one.mkdir()

    def policy(self, more: str = "") -> None:
        (self.folder / "policy.toml").write_text(
            f'extends = "workspace"\n[network]\n{more}\n[[network.rule]]\nhosts = ["{HOST_LOOPBACK}:{self.port}"]\n'
            'methods = ["GET"]\npaths = ["/ok/**"]\nverdict = "allow"\n'
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", "ringfence", "exec", "--ask", "deny", "--policy", f"{self.folder}/policy.toml")
        return subprocess.run(
            (*words, "--", *command),
            cwd=self.workspace,
            env={**os.environ, "HOME": str(self.home), "SSL_CERT_FILE": f"{self.folder}/world.pem"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = Authority("world", datetime.datetime.now(datetime.UTC))
    (tmp_path / "world.pem").write_bytes(authority.pem + Path(BUNDLE).read_bytes())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    context = authority.context(parse_host(HOST_LOOPBACK))
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    made = World(tmp_path, server.server_address[1])
    made.policy()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


PYTHON = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
NODE = "require('https').get(process.argv[1], answer => answer.pipe(process.stdout))"
UNNAMED = ("env", "-u", "SSL_CERT_FILE", "-u", "CURL_CA_BUNDLE", "-u", "REQUESTS_CA_BUNDLE")
JAVA = """
public class J {
    public static void main(String[] words) throws Exception {
        System.setProperty("https.proxyHost", "127.0.0.1");
        System.setProperty("https.proxyPort", "3128");
        System.out.print(new String(new java.net.URL(words[0]).openStream().readAllBytes()));
    }
}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ("curl", "-sS"),
        (*UNNAMED, "curl", "-sS"),
        ("python3", "-c", PYTHON),
        (*UNNAMED, "python3", "-c", PYTHON),
        ("node", "-e", NODE),
        ("java", "J.java"),
    ],
    ids=["curl", "curl without variables", "python", "python without variables", "node", "java"],
)
def test_programs_inside_trust_the_gateway(world: World, command: tuple[str, ...]) -> None:
    program = command[len(UNNAMED)] if command[0] == "env" else command[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    (world.workspace / "J.java").write_text(JAVA)

    ran = world.run(*command, f"https://{HOST_LOOPBACK}:{world.port}/ok/inside")

    assert (ran.returncode, ran.stdout.strip()) == (0, "GET /ok/inside was here"), ran.stderr


@pytest.mark.slow
def test_a_request_that_no_rule_allows_is_answered_with_the_reason(world: World) -> None:
    ran = world.run("curl", "-sS", "-d", "data", f"https://{HOST_LOOPBACK}:{world.port}/ok/inside")

    assert "POST /ok/inside" in ran.stderr
    assert "rule: network.default" in ran.stdout


@pytest.mark.slow
def test_what_is_passed_through_keeps_its_own_certificate_and_none_of_its_rules_about_requests(world: World) -> None:
    world.policy(f'pass_through = ["{HOST_LOOPBACK}"]')

    ran = world.run("curl", "-sS", f"https://{HOST_LOOPBACK}:{world.port}/ok/inside")

    assert ran.returncode != 0
    assert "which cannot be seen in this connection" in ran.stderr or "no rule opens" in ran.stderr


@pytest.mark.slow
def test_the_denial_that_the_pages_show_is_the_one_that_a_client_reads(world: World) -> None:
    (world.folder / "policy.toml").write_text('extends = "workspace"\n')
    (world.workspace / "get.py").write_text(
        "import urllib.error, urllib.request\n"
        "try: urllib.request.urlopen('http://10.0.0.1/')\n"
        "except urllib.error.HTTPError as denied: print(denied.read().decode(), end='')\n"
    )
    page = (Path(__file__).parents[2] / "docs" / "network.md").read_text()

    ran = world.run("python3", "get.py")

    assert ran.stdout, ran.stderr
    assert f"```text\n{ran.stdout}```" in page
