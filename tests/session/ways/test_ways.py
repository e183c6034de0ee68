"""The ways of an open session, each with the real program at its other end, and what they must not carry."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from tests.debian import program

import ringfence
from ringfence.model.event import WayUsed
from ringfence.model.situations import SandboxUnavailable
from ringfence.session.sources import places
from ringfence.telemetry.reader import LedgerReader, Wanted

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    (home / ".config" / "ringfence").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return home / "project"


def write_policy(project: Path, text: str) -> None:
    (project.parent / ".config" / "ringfence" / "policy.toml").write_text(text)


def used(project: Path, session: str) -> list[WayUsed]:
    with closing(LedgerReader(places({"HOME": str(project.parent)}).ledger)) as reader:
        return [one.body for one in reader.events(Wanted(session=session)) if isinstance(one.body, WayUsed)]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        port: int = made.getsockname()[1]
        return port


@contextmanager
def service(path: str) -> Iterator[list[tuple[bytes, int]]]:
    """A service of the host's, which notes what it is told and how many descriptors came along."""
    heard: list[tuple[bytes, int]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                data, descriptors, _, _ = socket.recv_fds(client, 100, 10)
                heard.append((data, len(descriptors)))
                client.sendall(b"from outside " + data)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield heard
        thread.join(5)


_CALL = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
socket.send_fds(s, [b'hello'], [0]); print(s.recv(100).decode())
"""


async def test_a_socket_of_the_host_is_reached_by_its_path_and_takes_no_descriptors(project: Path) -> None:
    (project / "call.py").write_text(_CALL)
    folder = Path(f"/run/ringfence-test-{os.getpid()}")
    folder.mkdir()
    try:
        with service(f"{folder}/one.sock") as heard, socket.socket(socket.AF_UNIX) as other:
            other.bind(f"{folder}/other.sock")
            other.listen()
            write_policy(project, f'[sandbox]\nsockets = ["{folder}/one.sock"]\n')
            async with ringfence.Session(workspace=project) as session:
                called = await session.exec(["python3", "call.py", f"{folder}/one.sock"])
                number, beside = session.id, await session.exec(["python3", "call.py", f"{folder}/other.sock"])
    finally:
        shutil.rmtree(folder)

    assert (called.stdout, called.stderr) == ("from outside hello\n", "")
    assert heard == [(b"hello", 0)]
    assert "No such file" in beside.stderr
    assert used(project, number) == [WayUsed(way="sockets", what=f"{folder}/one.sock", allowed=True)]


_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"a page from inside")
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", 3000), Handler).serve_forever()
"""


async def ask(port: int, host: str) -> str:
    words = ["curl", "-s", "--max-time", "5", "-H", f"Host: {host}", "-w", " %{http_code}", f"http://127.0.0.1:{port}/"]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


async def test_a_published_port_shows_a_server_inside_and_only_to_this_machine(project: Path) -> None:
    port = free_port()
    (project / "serve.py").write_text(_SERVER)
    write_policy(project, f'[sandbox]\npublish = ["{port}:3000"]\n')
    async with ringfence.Session(workspace=project) as session, asyncio.TaskGroup() as tasks:
        before = await ask(port, "localhost")
        serving = tasks.create_task(session.exec(["python3", "serve.py"], timeout=8))
        async with asyncio.timeout(8):
            while "a page" not in (page := await ask(port, f"localhost:{port}")):
                await asyncio.sleep(0.05)
        rebound = await ask(port, "evil.test")
        listening = subprocess.run(["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=False)
        notices, number = session.notices, session.id
        serving.cancel()

    assert before.endswith(" 502")
    assert "nothing listens on port 3000" in before
    assert page == "a page from inside 200"
    assert rebound.endswith(" 421")
    assert {line.split()[3].rpartition(":")[0] for line in listening.stdout.splitlines()} <= {"127.0.0.1", "[::1]"}
    assert f"port 3000 of the sandbox is at http://127.0.0.1:{port}/ of this machine" in notices
    assert [one.allowed for one in used(project, number)] == [False]


async def test_a_port_that_somebody_has_is_not_published(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write_policy(project, f'[sandbox]\npublish = ["{port}"]\n')
        with pytest.raises(SandboxUnavailable, match="somebody listens there"):
            async with ringfence.Session(workspace=project):
                pass


@pytest.fixture
def agent(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The person's ssh-agent, with two keys, and the fingerprint of the first."""
    if shutil.which("ssh-agent") is None or not os.path.exists("/usr/sbin/sshd"):
        pytest.skip("this takes ssh-agent and sshd")
    path = str(tmp_path / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", path)
    while not os.path.exists(path):
        pass
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("deploy", "personal"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(keys / name))
        run("ssh-add", "-q", str(keys / name))
    try:
        yield run("ssh-keygen", "-l", "-f", str(keys / "deploy")).split()[1]
    finally:
        process.terminate()
        process.wait()


def run(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


@contextmanager
def sshd(tmp_path: Path, name: str) -> Iterator[tuple[int, str]]:
    """An ssh server that both keys may log in to: its port and its host key."""
    folder = tmp_path / name
    folder.mkdir(mode=0o755)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "host"))
    keys = "".join((tmp_path / "keys" / f"{one}.pub").read_text() for one in ("deploy", "personal"))
    (folder / "authorized").write_text(keys)
    port = free_port()
    settings = f"""
    Port {port}
    ListenAddress 127.0.0.1
    HostKey {folder}/host
    AuthorizedKeysFile {folder}/authorized
    StrictModes no
    UsePAM no
    PermitRootLogin yes
    PidFile none
    AllowAgentForwarding yes
    """
    (folder / "settings").write_text(settings)
    os.makedirs("/run/sshd", exist_ok=True)
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", str(folder / "settings")], stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with socket.socket() as made:
                if made.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield port, " ".join((folder / "host.pub").read_text().split()[:2])
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="sshd takes root to log somebody in")
async def test_a_key_signs_for_the_host_that_a_rule_names_and_for_nothing_else(
    project: Path, tmp_path: Path, agent: str
) -> None:
    with sshd(tmp_path, "good") as (good, good_key), sshd(tmp_path, "bad") as (bad, bad_key):
        (project.parent / ".ssh").mkdir()
        known = f"[127.0.0.1]:{good} {good_key}\n[127.0.0.1]:{bad} {bad_key}\n"
        (project.parent / ".ssh" / "known_hosts").write_text(known)
        policy = f"""
        [network]
        host_ports = [{good}, {bad}]
        [[sandbox.ssh_agent]]
        keys = ["{agent}"]
        hosts = ["[127.0.0.1]:{good}"]
        """
        write_policy(project, policy)
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/tmp/k -o PasswordAuthentication=no"

        async def shell(script: str) -> ringfence.Result:
            # Behind a script, because what is tried here would be asked about.
            (project / "try.sh").write_text(script)
            return await session.exec(["sh", "try.sh"])

        async with ringfence.Session(workspace=project) as session:
            number = session.id
            listed = await shell("ssh-add -l")
            strict = await shell(f"ssh -o PasswordAuthentication=no -p {good} root@127.0.0.1 echo in")
            other = await shell(f"ssh {options} -p {bad} root@127.0.0.1 echo in")
            again = f"ssh -o BatchMode=yes {options} -p {good} root@127.0.0.1 echo again"
            forwarded = await shell(f"ssh -A {options} -p {good} root@127.0.0.1 'echo in; {again}'")
            deleted = await shell("ssh-add -D; ssh-add -x </dev/null; ssh-add -t 1 /etc/hostname; ssh-add -l | wc -l")
            signed = await shell("ssh-add -L > k.pub; echo x | ssh-keygen -Y sign -n git -f k.pub")
        after = run("ssh-add", "-l")

    assert [line.split()[2] for line in listed.stdout.splitlines()] == ["deploy"]
    assert (strict.exit_code, strict.stdout) == (0, "in\n"), strict.stderr
    assert (other.exit_code, other.stdout) == (255, "")
    assert "Permission denied" in other.stderr
    assert (forwarded.exit_code, forwarded.stdout) == (255, "in\n")
    assert deleted.stdout.splitlines()[-1] == "1"
    assert signed.exit_code != 0
    assert len(after.splitlines()) == 2
    whys = [one.reason for one in used(project, number) if not one.allowed]
    assert any("belongs to no host that a rule names" in why for why in whys)
    assert any("was not bound to a host" in why or "is no login" in why for why in whys)
    allowed = [one.what for one in used(project, number) if one.allowed]
    assert f"{agent} for [127.0.0.1]:{good}" in allowed


async def test_the_agent_itself_is_not_opened_as_a_socket(project: Path, agent: str) -> None:
    link = project.parent / "agent-link"
    link.symlink_to(os.environ["SSH_AUTH_SOCK"])
    write_policy(project, f'[sandbox]\nsockets = ["{link}"]\n')

    with pytest.raises(SandboxUnavailable, match="is your ssh-agent"):
        async with ringfence.Session(workspace=project):
            pass


async def test_a_socket_behind_a_link_of_the_workspace_is_refused(project: Path) -> None:
    (project / "there").mkdir()
    (project.parent / "link").symlink_to(project / "there")
    write_policy(project, f'[sandbox]\nsockets = ["{project.parent}/link/x.sock"]\n')

    with pytest.raises(SandboxUnavailable, match="is shown as it is"):
        async with ringfence.Session(workspace=project):
            pass


async def test_without_an_agent_the_session_says_so(project: Path) -> None:
    fingerprint = "SHA256:" + "A" * 43
    write_policy(project, f'[[sandbox.ssh_agent]]\nkeys = ["{fingerprint}"]\nhosts = ["h.test"]\n')
    with pytest.raises(SandboxUnavailable, match="SSH_AUTH_SOCK"):
        async with ringfence.Session(workspace=project):
            pass


@pytest.fixture
def bus(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The person's message bus."""
    program("dbus-daemon", "dbus-daemon")
    program("dbus-send", "dbus-bin")
    program("xdg-dbus-proxy", "xdg-dbus-proxy")
    address = f"unix:path={tmp_path}/bus"
    process = subprocess.Popen(["dbus-daemon", "--session", "--nofork", f"--address={address}"])
    while not (tmp_path / "bus").exists():
        pass
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


class Service:
    """Has a name on a bus, and notes what it is sent."""

    def __init__(self, path: str, name: str) -> None:
        self.heard = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._socket.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(os.getuid()).encode().hex().encode())
        self._socket.recv(1000)
        self._socket.sendall(b"BEGIN\r\n" + _message(1, "Hello") + _message(2, "RequestName", name))
        while b"NameAcquired" not in self.heard or name.encode() not in self.heard:
            self.heard += self._socket.recv(10_000)
        self.heard = b""

    def heard_until(self, word: bytes, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        with closing(self._socket), suppress(TimeoutError):
            while word not in self.heard:
                self.heard += self._socket.recv(10_000)
        return word in self.heard


def _message(serial: int, member: str, name: str = "") -> bytes:
    """A call of the bus itself."""

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode() + b"\0"

    def padded(data: bytes, to: int) -> bytes:
        return data + bytes(-len(data) % to)

    body = text(name) if name else b""
    body = padded(body, 4) + struct.pack("<I", 0) if name else b""
    bus = "org.freedesktop.DBus"
    fields = b""
    for code, kind, value in ((1, "o", "/org/freedesktop/DBus"), (2, "s", bus), (3, "s", member), (6, "s", bus)):
        fields = padded(fields, 8) + bytes((code, 1)) + kind.encode() + b"\0" + text(value)
    if name:
        fields = padded(fields, 8) + bytes((8, 1)) + b"g\0\x02su\0"
    head = b"l\1\0\1" + struct.pack("<III", len(body), serial, len(fields))
    return padded(head + fields, 8) + body


async def test_a_name_on_a_bus_is_called_and_no_other_is_seen(project: Path, bus: str) -> None:
    opened, shut = (Service(bus.removeprefix("unix:path="), f"org.example.{name}") for name in ("Open", "Shut"))
    write_policy(project, '[[sandbox.dbus]]\ntalk = ["org.example.Open"]\n')
    send = "dbus-send --session --print-reply --reply-timeout=700 --dest=org.example.{0} /x org.example.X.Y{0}\n"
    script = "dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames\n"
    (project / "call.sh").write_text(script + send.format("Open") + send.format("Shut"))

    async with ringfence.Session(workspace=project) as session:
        called = await session.exec(["sh", "call.sh"])

    assert ("org.example.Open" in called.stdout, "org.example.Shut" in called.stdout) == (True, False), called.stderr
    assert opened.heard_until(b"YOpen", 10)
    assert not shut.heard_until(b"YShut", 0.3)


async def test_without_the_bus_filter_the_session_says_what_to_install(
    project: Path, bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_policy(project, '[[sandbox.dbus]]\ntalk = ["org.example.Open"]\n')
    monkeypatch.setattr("ringfence.session.ways.dbus.PROGRAM", "no-such-filter")

    with pytest.raises(SandboxUnavailable) as refused:
        async with ringfence.Session(workspace=project):
            pass

    assert "apt-get install no-such-filter" in refused.value.remedy
