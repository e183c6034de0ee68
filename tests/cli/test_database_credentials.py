"""A login to a real PostgreSQL in a real session: the server gets the password, the sandbox only its placeholder."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.approvals.postgresql import MEMORY, programs
from tests.cli.conftest import Person, accounts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs() is None or shutil.which("psql") is None, reason="PostgreSQL is not installed"),
]

PASSWORD = "real/pass word:of@app".replace(" ", "-")
ATTACKERS = "the-attackers-own-password"
BRIDGE = """
import socket, sys, threading
# Inside, the machine's own name means the sandbox itself: what comes there goes on by the proxy, which asks outside.
def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
print("bridge", flush=True)
while True:
    client = listener.accept()[0]
    server = socket.create_connection(("127.0.0.1", 3128))
    server.sendall(f"CONNECT {sys.argv[1]}:{sys.argv[2]} HTTP/1.1\\r\\n\\r\\n".encode())
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n") and (byte := server.recv(1)):
        head += byte
    for pair in ((client, server), (server, client)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""
AGENT = """
python3 bridge.py {host} {port} > bridge.log & until grep -q bridge bridge.log; do sleep 0.05; done; bridge=$!
env
ask() {{ psql -X -A -t -w "$@" 2>&1; }}
where="host={host} port={port} dbname=postgres connect_timeout=10"
ask "$where user=app sslmode=verify-full sslrootcert=$SSL_CERT_FILE" -c "select 'ONE', current_user, inet_server_port()"
ask "$where user=app sslmode=disable" -c "select 'TWO', repeat('x', 3000000)" | wc -c
PGPASSWORD={attackers} ask "$where user=mallory sslmode=require" -c "select 'MALLORY'"
PGPASSWORD={attackers} ask "$where user=app sslmode=require" -c "select 'GUESSED'"
ask "$APP_URL" -c "select 'THREE'"
timeout -s INT 1 psql -X -w "$APP_URL" -c "select pg_sleep(20)" 2>&1
kill $bridge
"""
POLICY = """
extends = "workspace"
[[network.rule]]
hosts = ["{host}:{port}", "127.0.0.0/8:{port}", "10.0.0.0/8:{port}", "172.16.0.0/12:{port}", "192.168.0.0/16:{port}"]
verdict = "allow"
"""
BOUND = """
[[credentials]]
id = "app-database"
source = {{ environment = "SECRET_URL" }}
form = "postgres"
hosts = ["{host}:{port}"]
variables = ["APP_URL"]
[[credentials]]
id = "app-password"
source = {{ environment = "SECRET_PASSWORD" }}
form = "postgres"
user = "app"
hosts = ["{host}:{port}"]
variables = ["PGPASSWORD"]
"""


@dataclass
class Database:
    """A server that takes two users by SCRAM, over TLS or not, with a certificate of this machine's name."""

    host: str
    port: int
    trust: Path
    log: Path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    base = Path(MEMORY or "/tmp") / f"rf-login-{os.getpid()}"
    base.mkdir(mode=0o755)
    folder, host, data = base, socket.gethostname(), base / "data"
    user = "nobody" if os.getuid() == 0 else None
    owner = pwd.getpwnam(user).pw_uid if user else os.getuid()
    (folder / "password").write_text(PASSWORD)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", "key.pem", "-out", "cert.pem", "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    for one in (folder, folder / "password", folder / "key.pem"):
        os.chown(one, owner, -1)
    bin_folder = programs()
    assert bin_folder is not None

    def run(program: str, *words: str) -> None:
        done = subprocess.run(
            [f"{bin_folder}/{program}", *words], user=user, cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    run(
        "initdb", "-D", str(data), "-A", "scram-sha-256", "-U", "app", "--pwfile", "password", "--no-sync", "-E", "UTF8"
    )
    (data / "pg_hba.conf").write_text("host all all all scram-sha-256\nlocal all all trust\n")
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "listen_addresses": "0.0.0.0",
        "port": str(port),
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "ssl": "on",
        "ssl_cert_file": f"{folder}/cert.pem",
        "ssl_key_file": f"{folder}/key.pem",
        "log_connections": "on",
        "log_statement": "all",
    }
    log = (folder / "log").open("wb")
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen([f"{bin_folder}/postgres", "-D", str(data), *words], user=user, cwd=folder, stderr=log)
    local = ["psql", "-h", str(folder), "-p", str(port), "-U", "app", "postgres", "-c"]
    deadline = time.monotonic() + 20
    while subprocess.run([*local, f"create user mallory password '{ATTACKERS}'"], capture_output=True).returncode:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    yield Database(host=host, port=port, trust=folder / "cert.pem", log=folder / "log")
    server.terminate()
    server.wait(20)
    log.close()
    shutil.rmtree(folder, ignore_errors=True)


def _run(person: Person, database: Database, policy: str, **more: str) -> str:
    names = {"host": database.host, "port": database.port}
    (person.project / "bridge.py").write_text(BRIDGE)
    (person.project / "agent.sh").write_text(AGENT.format(attackers=ATTACKERS, **names))
    (person.project / "policy.toml").write_text(policy.format(**names))
    password = PASSWORD.replace("/", "%2F").replace(":", "%3A").replace("@", "%40")
    url = f"postgres://app:{password}@{database.host}:{database.port}/postgres?sslmode=require"
    environment = {"SECRET_URL": url, "SECRET_PASSWORD": PASSWORD, "SSL_CERT_FILE": str(database.trust), **more}
    keep = ("--env", "SECRET_*", "--env", "PGPASSWORD", "--env", "APP_URL")
    done = person.types(
        "run", "--ask", "deny", "--policy", "policy.toml", *keep, "--", "sh", "agent.sh", env=environment
    )
    return done.out + done.err


def test_the_password_works_inside_and_is_not_there(person: Person, database: Database) -> None:
    shown = _run(person, database, POLICY + BOUND)

    assert f"ONE|app|{database.port}" in shown, shown
    assert "\n3000005\n" in shown
    assert "THREE" in shown
    assert "MALLORY\n" not in shown and "GUESSED\n" not in shown
    assert shown.count("credentials.foreign") >= 2
    assert "canceling statement due to user request" in shown
    assert PASSWORD not in shown and "real%2Fpass" not in shown
    used = {
        body["credential"] for event in person.log() if event["event"] == "credential.used" if (body := event["body"])
    }  # type: ignore[index]
    assert used == {"app-database", "app-password"}


@pytest.mark.parametrize("person", accounts()[-1:], indirect=True)
def test_without_a_binding_the_attackers_own_account_is_reached(person: Person, database: Database) -> None:
    assert "MALLORY" in _run(person, database, POLICY, PGPASSWORD=PASSWORD)


@pytest.mark.parametrize("person", accounts()[-1:], indirect=True)
def test_a_server_without_the_right_certificate_gets_no_login(person: Person, database: Database) -> None:
    shown = _run(person, database, POLICY + BOUND, SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt")

    assert "ONE" not in shown
    assert "THREE" not in shown


@pytest.mark.parametrize("person", accounts()[-1:], indirect=True)
def test_a_credential_that_is_not_there_leaves_its_database_closed(person: Person, database: Database) -> None:
    shown = _run(person, database, POLICY + BOUND, SECRET_URL="", SECRET_PASSWORD="")

    assert "MALLORY\n" not in shown
    assert "credentials.unavailable" in shown
