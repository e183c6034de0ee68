"""Where an index keeps its files, learnt from a real server on the loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ringfence.session.registries.linked_files import learn
from ringfence.session.registries.looked import Looked, place
from ringfence.session.registries.machine import Machine
from ringfence.session.registries.remembered import Remembered
from ringfence.session.registries.resolve import look

PAGES = {
    "/simple/pip/": '<a href="https://files.test/p/pip-1.whl#sha256=0">pip</a> <a href="../local/x.whl">x</a>',
    "/npm/npm/latest": '{"dist": {"tarball": "https://tarballs.test/npm.tgz"}}',
}


@pytest.fixture
def server() -> Iterator[str]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = PAGES.get(self.path)
            self.send_response(404 if page is None else 200)
            self.end_headers()
            self.wfile.write((page or "").encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    serving = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()


@pytest.mark.parametrize(
    ("name", "path", "expected"), [("pip", "/simple", "files.test:443"), ("npm", "/npm", "tarballs.test:443")]
)
def test_an_index_tells_once_where_its_files_lie(
    server: str, tmp_path: Path, name: str, path: str, expected: str
) -> None:
    (tmp_path / ".npmrc").write_text(f"registry={server}{path}\n")
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text(f"[global]\nindex-url={server}{path}\n")
    machine = Machine(home=str(tmp_path), workspace=str(tmp_path / "w"), variables={}, root=str(tmp_path))
    memory = str(tmp_path / "registries.json")

    problems = learn(look(name, machine, Remembered(memory)), Remembered(memory))
    after = look(name, machine, Remembered(memory))

    assert problems == ()
    assert [(one.role, one.host) for one in after.places][1:] == [("files", expected)]


def test_an_index_that_does_not_answer_is_told(server: str, tmp_path: Path) -> None:
    index = place(f"{server}/nothing", "here")
    assert index is not None

    problems = learn(Looked(name="pip", places=(index,)), Remembered(str(tmp_path / "r.json")))

    assert len(problems) == 1
    assert "could not be asked where its files lie" in problems[0]


def test_the_workspace_s_index_is_never_asked(server: str, tmp_path: Path) -> None:
    index = place(f"{server}/simple", "here", trusted=False)
    assert index is not None
    remembered = Remembered(str(tmp_path / "r.json"))

    assert (learn(Looked(name="pip", places=(index,)), remembered), remembered.files) == ((), {})


@pytest.mark.parametrize(
    ("url", "private", "opened"),
    [
        ("http://169.254.169.254/latest/", True, False),
        ("http://127.0.0.1:5432/x", True, False),
        ("http://[::1]/x", True, False),
        ("http://host.ringfence.internal:5432/x", True, False),
        ("https://10.0.0.5/x", False, False),
        ("https://10.0.0.5/x", True, True),
        ("https://93.184.215.14/x", False, True),
        ("https://files.test/x", False, True),
    ],
)
def test_an_index_names_no_address_that_it_could_not_have_itself(
    tmp_path: Path, url: str, private: bool, opened: bool
) -> None:
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text("[global]\nindex-url=https://index.test/simple\n")
    machine = Machine(home=str(tmp_path), workspace=str(tmp_path / "w"), variables={}, root=str(tmp_path))
    memory = Remembered(str(tmp_path / "registries.json"))
    memory.add_files("https://index.test/simple", (url,), private=private)

    assert ("files" in [one.role for one in look("pip", machine, memory).places]) is opened
