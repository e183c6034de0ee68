"""Real programs in a session of tier B, where namespaces are forbidden: through the gateway, to a server of this
machine's that is no loopback."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pip
import pytest

from ringfence.verify import no_namespaces

NO_NAMESPACES = str(no_namespaces.__file__)
# Without the environment that the tests themselves run in: it lies where nothing inside may read.
PATH = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if not each.startswith(sys.prefix))
MAIN = "import sys; from ringfence.cli.entry import main; sys.exit(main())"
SOURCE = str(Path(__file__).parents[3] / "src")

pytestmark = pytest.mark.slow


class Machine:
    """A made-up person, and a server that is reached by an address of this machine."""

    def __init__(self, root: Path, address: str, port: int) -> None:
        self.root, self.address, self.port = root, address, port
        self.workspace = root / "home" / "project"
        self.site = root / "site"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"

    def run(self, *argv: str, options: tuple[str, ...] = ("--min-tier", "B")) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": PATH, "HOME": str(self.root / "home"), "PYTHONPATH": SOURCE}
        allowed = ("--allow-host", f"{self.address}:{self.port}")
        return subprocess.run(
            (sys.executable, NO_NAMESPACES, sys.executable, "-c", MAIN, "exec", *options, *allowed, "--", *argv),
            cwd=self.workspace,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but its loopback")
        address = probe.getsockname()[0]
    site = tmp_path / "site"
    site.mkdir()
    (site / "x").write_text("hello\n")
    server = http.server.ThreadingHTTPServer(
        (address, 0),
        lambda *words: Quiet(*words, directory=str(site)),
    )
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made = Machine(tmp_path, address, server.server_address[1])
    made.workspace.mkdir(parents=True)
    yield made
    server.shutdown()
    server.server_close()


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not on this machine")


@pytest.mark.parametrize("proxied", [True, False], ids=["by proxy", "captured"])
def test_curl(machine: Machine, proxied: bool) -> None:
    need("curl")

    done = machine.run("curl", "-sS", *(() if proxied else ("--noproxy", "*")), f"{machine.url}/x")

    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr


def test_git_clones(machine: Machine) -> None:
    need("git")
    origin, bare = machine.root / "origin", machine.site / "r.git"
    who = ("-c", "user.name=n", "-c", "user.email=e@x")
    for words in (
        ("git", "init", "-q", str(origin)),
        ("git", "-C", str(origin), *who, "commit", "-q", "--allow-empty", "-m", "first"),
        ("git", "clone", "-q", "--bare", str(origin), str(bare)),
        ("git", "-C", str(bare), "update-server-info"),
    ):
        subprocess.run(words, check=True)

    done = machine.run("sh", "-c", f"git clone -q {machine.url}/r.git c && git -C c log --format=%s")

    assert (done.returncode, done.stdout) == (0, "first\n"), done.stderr


def test_pip_installs(machine: Machine) -> None:
    folder = machine.site / "simple" / "demo"
    folder.mkdir(parents=True)
    wheel = "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder / wheel, "w") as archive:
        archive.writestr("demo.py", "print('demo ran')\n")
        archive.writestr("demo-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n")
        archive.writestr("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("demo-1.0.dist-info/RECORD", "")
    (folder / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>')
    # The test's own pip, run by an interpreter that every sandbox shows.
    own = os.path.dirname(os.path.dirname(pip.__file__))
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    (machine.workspace / "install.py").write_text(
        "import os, subprocess, sys\n"
        f"words = ['--isolated', 'install', '-q', '--target', 't', '--trusted-host', {machine.address!r}]\n"
        f"words += ['--index-url', '{machine.url}/simple', 'demo']\n"
        f"own = {{**os.environ, 'PYTHONPATH': {own!r}}}\n"
        "subprocess.run([sys.executable, '-m', 'pip', *words], env=own, check=True)\n"
        "subprocess.run([sys.executable, 't/demo.py'], check=True)\n"
    )

    done = machine.run(python, "install.py", options=("--min-tier", "B", "--read", own))

    assert (done.returncode, done.stdout) == (0, "demo ran\n"), done.stderr


def test_npm_installs_and_runs(machine: Machine) -> None:
    need("npm")
    source = machine.root / "demo"
    source.mkdir()
    (source / "package.json").write_text('{"name":"demo","version":"1.0.0","bin":{"demo":"d.js"}}')
    (source / "d.js").write_text("#!/usr/bin/env node\nconsole.log('demo ran')\n")
    (source / "d.js").chmod(0o755)
    subprocess.run(("npm", "pack", "-s", "--pack-destination", str(machine.site)), cwd=source, check=True)
    (machine.site / "demo").write_text(
        '{"name":"demo","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"demo","version":"1.0.0",'
        f'"bin":{{"demo":"d.js"}},"dist":{{"tarball":"{machine.url}/demo-1.0.0.tgz"}}}}}}}}'
    )

    done = machine.run("sh", "-c", f"npm install -s --no-audit --no-fund --registry {machine.url}/ demo && npx demo")

    assert (done.returncode, done.stdout) == (0, "demo ran\n"), done.stderr


def test_asyncio_connects_many_at_once_resolves_and_serves(machine: Machine) -> None:
    (machine.workspace / "a.py").write_text(
        "import asyncio, sys\n"
        "async def fetch(host, port):\n"
        "    reader, writer = await asyncio.open_connection(host, int(port))\n"
        "    writer.write(f'GET /x HTTP/1.0\\r\\nHost: {host}:{port}\\r\\n\\r\\n'.encode())\n"
        "    answer = await reader.read(); writer.close(); return answer.rpartition(b'\\n\\r')[2].strip()[-5:]\n"
        "async def echo(reader, writer): writer.write(await reader.readline()); writer.close()\n"
        "async def main():\n"
        "    print(set(await asyncio.gather(*(fetch(*sys.argv[1:]) for _ in range(40)))))\n"
        "    server = await asyncio.start_server(echo, '127.0.0.1', 0); port = server.sockets[0].getsockname()[1]\n"
        "    reader, writer = await asyncio.open_connection('localhost', port); writer.write(b'own\\n')\n"
        "    print(await reader.read()); writer.close()\n"
        "    print(len(await asyncio.get_running_loop().getaddrinfo('example.org', 443)) > 0)\n"
        "asyncio.run(main())\n"
    )

    done = machine.run("/usr/bin/python3", "a.py", machine.address, str(machine.port))

    assert (done.returncode, done.stdout) == (0, "{b'hello'}\nb'own\\n'\nTrue\n"), done.stderr


def test_node_connects_resolves_and_serves(machine: Machine) -> None:
    need("node")
    (machine.workspace / "n.js").write_text(
        "const [host, port] = process.argv.slice(2), http = require('http'), net = require('net');\n"
        "const dns = require('dns').promises;\n"
        "http.get({host, port, path: '/x', agent: false}, answer => answer.on('data', async data => {\n"
        "  process.stdout.write(data);\n"
        "  console.log((await dns.resolve4('example.org')).length, !!(await dns.lookup('example.org')).address);\n"
        "  const own = net.createServer(client => client.end('own')).listen(0, () =>\n"
        "    net.connect(own.address().port, 'localhost').on('data', data => {\n"
        "      console.log(`${data}`); own.close(); }));\n"
        "}));\n"
    )

    done = machine.run("env", "-u", "NODE_USE_ENV_PROXY", "node", "n.js", machine.address, str(machine.port))

    assert (done.returncode, done.stdout) == (0, "hello\n1 true\nown\n"), done.stderr


def test_go_connects_resolves_and_serves(machine: Machine) -> None:
    need("go")
    (machine.workspace / "g.go").write_text(
        # Without `net/http`, which is the same to the kernel and takes ten times as long to be built.
        'package main\nimport ("fmt"; "io"; "net"; "os")\n'
        "func main() {\n"
        ' server, failed := net.Dial("tcp", os.Args[1]); if failed != nil { panic(failed) }\n'
        ' fmt.Fprintf(server, "GET /x HTTP/1.0\\r\\nHost: %s\\r\\n\\r\\n", os.Args[1])\n'
        " answer, _ := io.ReadAll(server); fmt.Print(string(answer[len(answer)-6:]))\n"
        ' found, failed := net.LookupHost("example.org"); fmt.Println(len(found) > 0, failed)\n'
        ' own, _ := net.Listen("tcp", ":0")\n'
        ' go func() { c, _ := own.Accept(); c.Write([]byte("own")); c.Close() }()\n'
        ' _, port, _ := net.SplitHostPort(own.Addr().String()); c, failed := net.Dial("tcp", "localhost:" + port)\n'
        " if failed != nil { panic(failed) }; text, _ := io.ReadAll(c); fmt.Println(string(text))\n}\n"
    )
    build = {**os.environ, "GOCACHE": str(machine.root / "cache"), "CGO_ENABLED": "0"}
    subprocess.run(("go", "build", "-o", "g", "g.go"), cwd=machine.workspace, env=build, check=True)

    done = machine.run("./g", f"{machine.address}:{machine.port}")

    assert (done.returncode, done.stdout) == (0, "hello\ntrue <nil>\nown\n"), done.stderr


def test_java_connects_also_where_the_selector_knew_the_socket_before(machine: Machine) -> None:
    need("java")
    (machine.workspace / "J.java").write_text(
        "import java.net.*; import java.nio.channels.*;\n"
        "class J { public static void main(String[] a) throws Exception {\n"
        ' var page = new URL("http://" + a[0] + ":" + a[1] + "/x");\n'
        " try (var in = page.openConnection(Proxy.NO_PROXY).getInputStream()) { in.transferTo(System.out); }\n"
        " var selector = Selector.open(); var channel = SocketChannel.open(); channel.configureBlocking(false);\n"
        " channel.register(selector, SelectionKey.OP_CONNECT); selector.selectNow();\n"
        " channel.connect(new InetSocketAddress(a[0], Integer.parseInt(a[1]))); selector.select(5000);\n"
        ' System.out.println(channel.finishConnect() + " " + (InetAddress.getByName("example.org") != null)); } }\n'
    )

    done = machine.run("java", "-XX:-UsePerfData", "J.java", machine.address, str(machine.port))

    assert (done.returncode, done.stdout) == (0, "hello\ntrue true\n"), done.stderr


def test_the_tier_is_refused_unless_it_is_allowed_and_recorded_where_it_is(machine: Machine) -> None:
    refused = machine.run("true", options=())
    done = machine.run("true")
    log = subprocess.run(
        (sys.executable, "-c", MAIN, "log"),
        env={"PATH": os.environ["PATH"], "HOME": str(machine.root / "home"), "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=True,
    )

    assert refused.returncode == 125
    assert "new namespaces: Operation not permitted" in refused.stderr
    assert "allow it with `--min-tier B`" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert "tier A is not possible here" in done.stderr
    assert "(tier B, in" in log.stdout
