"""Sessions inside containers, as on Kubernetes: under an engine's default profile, without any privilege."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.sandbox.tier_b.containers import Engine, NoContainer, interpreter_folders

SOURCE = Path(__file__).parents[3] / "src"
SECRET = "THE-SECRET-OF-THE-CONTAINER"
WORK = """
import json, os, subprocess, sys, urllib.request
def tried(what):
    try: what()
    except OSError as error: return error.errno
    return 0
with open("made.txt", "w") as file: told = {"wrote": file.write("inside\\n")}
told["hook"] = tried(lambda: open(".git/hooks/pre-commit", "w"))
told["secret"] = tried(lambda: open(sys.argv[2]).read())
told["fetched"] = urllib.request.urlopen(sys.argv[1]).read().decode()
git = ("git", "-c", "user.name=n", "-c", "user.email=e@x")
subprocess.run((*git, "add", "made.txt"), check=True)
subprocess.run((*git, "commit", "-qm", "from inside"), check=True)
print(json.dumps(told))
"""
OUTSIDE = """
import os, subprocess, sys
os.chdir(sys.argv[1]); os.environ.update(HOME=sys.argv[2], PYTHONPATH=sys.argv[3], PYTHONDONTWRITEBYTECODE="1")
ours = (sys.executable, "-m", "ringfence")
code = subprocess.run((*ours, "exec", "--min-tier", "B", *sys.argv[4:])).returncode
print(subprocess.run((*ours, "log"), capture_output=True, text=True).stdout, file=sys.stderr)
sys.exit(code)
"""

pytestmark = pytest.mark.slow


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """Where a server of this machine is found, which is no loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but its loopback")
        address = probe.getsockname()[0]
    server = http.server.ThreadingHTTPServer((address, 0), Page)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"{address}:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder whose path is short enough for Podman."""
    with tempfile.TemporaryDirectory(prefix="rf") as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("name", "uid"), [("crun", 0), ("crun", 12_345), ("runc", 0), ("podman", 0), ("podman", 12_345)]
)
def test_a_session_of_tier_b_runs_in_a_container_under_its_default_profile(
    tmp_path: Path, work: Path, site: str, name: str, uid: int
) -> None:
    engine = Engine(name, work, uid)
    try:
        engine.check()
    except NoContainer as reason:
        pytest.skip(str(reason))
    home = tmp_path / "home"
    workspace = home / "project"
    workspace.mkdir(parents=True)
    (workspace / "work.py").write_text(WORK)
    (tmp_path / "outside.py").write_text(OUTSIDE)
    (home / "secret").write_text(SECRET)
    subprocess.run(("git", "init", "-q", str(workspace)), check=True)
    for path in (tmp_path, home, *home.rglob("*")):
        os.chown(path, uid, uid)

    done = engine.run(
        [
            *(sys.executable, str(tmp_path / "outside.py"), str(workspace), str(home), str(SOURCE)),
            *("--allow-host", site, "--", "/usr/bin/python3", "work.py", f"http://{site}/", str(home / "secret")),
        ],
        shown=[*interpreter_folders(), SOURCE, tmp_path / "outside.py"],
        writable=[home],
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"wrote": 7, "hook": 30, "secret": 13, "fetched": "hello"}
    assert "tier A is not possible here" in done.stderr
    assert "(tier B, in" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    log = ("git", "-c", f"safe.directory={workspace}", "-C", str(workspace), "log", "--format=%s")
    assert subprocess.run(log, capture_output=True, text=True, check=True).stdout == "from inside\n"
