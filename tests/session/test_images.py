from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.plan import Image
from ringfence.session.images import image, read_inspection

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")}


def inspection(**found: object) -> bytes:
    return json.dumps([found]).encode()


def test_an_image_says_its_variables_and_none_of_ours() -> None:
    environment = ["PATH=/app/bin", "LANG=C", "HOME=/root", "http_proxy=http://evil", "RINGFENCE_HOOKS=/x", "A=b=c"]

    found = read_inspection(inspection(Id="sha256:ab12", Config={"Env": environment}))

    assert found == ("ab12", (("PATH", PATH), ("PATH", "/app/bin"), ("LANG", "C"), ("A", "b=c")))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"[1]", b'[{"Id": "../../etc"}]', b'[{"Config": {}}]', b'[{"Id": "a", "Config": 1}]']
)
def test_what_is_no_description_is_refused(text: bytes) -> None:
    with pytest.raises(SandboxUnavailable, match="image's"):
        read_inspection(text)


def test_a_folder_is_an_image_if_it_looks_like_one(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="not an unpacked image"):
        image(str(tmp_path), state="/none", environ=ENVIRON)
    (tmp_path / "bin").mkdir()

    found = image(str(tmp_path), state="/none", environ=ENVIRON)

    assert found == Image(name=str(tmp_path), digest="folder", root=str(tmp_path), variables=(("PATH", PATH),))


@pytest.mark.parametrize("folder", ["/", "home", "."])
def test_this_machine_is_no_image(tmp_path: Path, folder: str) -> None:
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)

    with pytest.raises(SandboxUnavailable, match="holds your home folder"):
        image(str(tmp_path / folder), state="/none", environ={**ENVIRON, "HOME": str(home)})


def test_without_a_tool_it_says_which_to_install(tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="neither `podman` nor `docker`"):
        image("debian", state=str(tmp_path), environ={"PATH": str(tmp_path)})


@pytest.mark.slow
def test_an_image_of_podman_is_unpacked_once(tmp_path: Path) -> None:
    if shutil.which("podman", path=ENVIRON["PATH"]) is None:
        pytest.skip("there is no podman here")
    name = f"localhost/ringfence-test-{os.getpid()}"
    _import(name, tmp_path)
    try:
        first = image(name, state=str(tmp_path / "state"), environ=ENVIRON)
        (Path(first.root) / "marker").touch()
        again = image(name, state=str(tmp_path / "state"), environ=ENVIRON)
        listed = subprocess.run(["podman", "ps", "-a"], env=ENVIRON, capture_output=True, text=True, check=True).stdout
    finally:
        subprocess.run(["podman", "image", "rm", "-f", name], env=ENVIRON, capture_output=True, check=True)

    assert (Path(first.root) / "etc" / "os-release").read_text() == "NAME=packed\n"
    assert again == first and (Path(again.root) / "marker").exists()
    assert os.path.basename(first.root) == first.digest
    assert "ringfence-unpack" not in listed
    with pytest.raises(SandboxUnavailable, match=f"there is no image `{name}`"):
        image(name, state=str(tmp_path / "state"), environ=ENVIRON)


def _import(name: str, folder: Path) -> None:
    (folder / "os-release").write_text("NAME=packed\n")
    with tarfile.open(folder / "image.tar", "w") as tar:
        tar.add(folder / "os-release", "etc/os-release")
        tar.add("/bin/true", "usr/bin/true")
    done = subprocess.run(["podman", "import", str(folder / "image.tar"), name], env=ENVIRON, capture_output=True)
    if done.returncode:
        pytest.skip(f"podman cannot import an image here: {done.stderr.decode()[-200:]}")
