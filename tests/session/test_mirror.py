"""A company's mirror: registries on an address of a private network, which only the machine's own settings name."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None,
        reason="a network with the registry's address is made by root, with `ip`",
    ),
]

MIRROR = "http://pkgs.corp.test:8080"
WAIT = """
import socket, time
for _ in range(100):
    try:
        socket.create_connection(("10.9.8.7", 8080)).close()
        break
    except OSError:
        time.sleep(0.1)
"""
SCRIPT = textwrap.dedent("""
    set -e
    ip link set lo up
    ip address add 10.9.8.7/32 dev lo
    mount --bind "$WORLD/hosts" /etc/hosts
    cd "$WORLD/mirror"
    "$PYTHON" -m http.server --bind 10.9.8.7 8080 >"$WORLD/mirror.log" 2>&1 &
    trap "kill $!" EXIT
    "$PYTHON" -c "$WAIT"
    cd "$WORLD/work"
    "$PYTHON" -m ringfence trust
    "$PYTHON" -m ringfence run -- "$@"
""")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A package manager that is set up for the mirror, and what it fetches."""

    bundle: str
    settings: str
    """Relative to HOME."""
    written: str
    argv: tuple[str, ...]
    serve: Callable[[Path], None]
    """Puts on the mirror what is fetched."""
    work: dict[str, str] = {}
    leaves: str
    """A pattern of what is there afterwards, relative to the world."""


def _python_index(mirror: Path) -> None:
    index = mirror / "simple" / "company-tool"
    index.mkdir(parents=True)
    name = "company_tool-1.0-py3-none-any.whl"
    about = "company_tool-1.0.dist-info"
    with zipfile.ZipFile(index / name, "w") as wheel:
        wheel.writestr("company_tool.py", "ANSWER = 42\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: company-tool\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    (index / "index.html").write_text(f'<a href="{name}">{name}</a>')


def _packed(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def _npm_registry(mirror: Path) -> None:
    folder = mirror / "npm" / "@corp"
    folder.mkdir(parents=True)
    about = {"name": "@corp/tool", "version": "1.0.0"}
    (folder / "tool-1.0.0.tgz").write_bytes(_packed({"package/package.json": json.dumps(about)}))
    version = {**about, "dist": {"tarball": f"{MIRROR}/npm/@corp/tool-1.0.0.tgz"}}
    (folder / "tool").write_text(
        json.dumps({"name": "@corp/tool", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}})
    )


def _cargo_registry(mirror: Path) -> None:
    folder = mirror / "cargo"
    (folder / "co" / "mp").mkdir(parents=True)
    manifest = '[package]\nname = "company-tool"\nversion = "1.0.0"\nedition = "2021"\n'
    crate = _packed({"company-tool-1.0.0/Cargo.toml": manifest, "company-tool-1.0.0/src/lib.rs": ""})
    (folder / "dl").mkdir()
    (folder / "dl" / "company-tool.crate").write_bytes(crate)
    (folder / "config.json").write_text(json.dumps({"dl": f"{MIRROR}/cargo/dl/{{crate}}.crate"}))
    line = {"name": "company-tool", "vers": "1.0.0", "deps": [], "features": {}, "yanked": False}
    line["cksum"] = hashlib.sha256(crate).hexdigest()
    (folder / "co" / "mp" / "company-tool").write_text(json.dumps(line) + "\n")


def _maven_repository(mirror: Path) -> None:
    folder = mirror / "maven" / "test" / "corp" / "base" / "1.0"
    folder.mkdir(parents=True)
    (folder / "base-1.0.pom").write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>test.corp</groupId><artifactId>base</artifactId>"
        "<version>1.0</version><packaging>pom</packaging></project>"
    )


CASES = {
    "pip": Case(
        bundle="python",
        settings=".config/pip/pip.conf",
        written=f"[global]\nindex-url = {MIRROR}/simple\ntrusted-host = pkgs.corp.test\n",
        argv=(sys.executable, "-m", "pip", "download", "--no-deps", "-d", "got", "company-tool"),
        serve=_python_index,
        leaves="work/got/company_tool-1.0-py3-none-any.whl",
    ),
    "npm": Case(
        bundle="node",
        settings=".npmrc",
        written=f"@corp:registry={MIRROR}/npm/\n//pkgs.corp.test:8080/npm/:_authToken=secret\n",
        argv=("npm", "pack", "@corp/tool"),
        serve=_npm_registry,
        leaves="work/corp-tool-1.0.0.tgz",
    ),
    "cargo": Case(
        bundle="rust",
        settings=".cargo/config.toml",
        written=(
            f"[source.crates-io]\nreplace-with = 'corp'\n[source.corp]\nregistry = 'sparse+{MIRROR}/cargo/'\n"
            "[registries.other]\nindex = 'sparse+https://u:secret@other.test/'\ntoken = 'secret'\n"
            "[env]\nFORGE_KEY = 'secret'\n[http]\nproxy = 'http://u:secret@p.test'\n"
        ),
        argv=("sh", "-c", "cargo fetch && cat ~/.cargo/config.toml >config-inside && cp Cargo.lock got.lock"),
        serve=_cargo_registry,
        work={
            "Cargo.toml": (
                '[package]\nname = "x"\nversion = "0.1.0"\nedition = "2021"\n[dependencies]\ncompany-tool = "1"\n'
            ),
            "src/lib.rs": "",
        },
        leaves="work/got.lock",
    ),
    "mvn": Case(
        bundle="jvm",
        settings=".m2/settings.xml",
        written=(
            "<settings><servers><server><id>corp</id><password>secret</password></server></servers><mirrors><mirror>"
            f"<id>corp</id><mirrorOf>*</mirrorOf><url>{MIRROR}/maven</url></mirror></mirrors></settings>"
        ),
        argv=("mvn", "--batch-mode", "-Dmaven.repo.local=.repository", "validate"),
        serve=_maven_repository,
        work={
            "pom.xml": (
                "<project><modelVersion>4.0.0</modelVersion><parent><groupId>test.corp</groupId>"
                "<artifactId>base</artifactId><version>1.0</version><relativePath/></parent>"
                "<artifactId>x</artifactId><packaging>pom</packaging></project>"
            )
        },
        leaves="work/.repository/test/corp/base/1.0/base-1.0.pom",
    ),
}


def _world(folder: Path, case: Case) -> Path:
    """A mirror, a home whose package manager is set up for it, and a workspace with the bundle."""
    for name in ("mirror", "home", "work"):
        (folder / name).mkdir()
    case.serve(folder / "mirror")
    (folder / "hosts").write_text("127.0.0.1 localhost\n10.9.8.7 pkgs.corp.test\n")
    settings = folder / "home" / case.settings
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(case.written)
    for name, text in {**case.work, "ringfence.toml": f"extends = ['workspace', '{case.bundle}']\n"}.items():
        path = folder / "work" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _programs() -> str:
    """PATH with the real cargo first: the one of rustup asks which one is meant."""
    rustup = shutil.which("rustup")
    if rustup is None:
        return os.environ["PATH"]
    found = subprocess.run((rustup, "which", "cargo"), capture_output=True, text=True).stdout.strip()
    return f"{os.path.dirname(found)}:{os.environ['PATH']}" if found else os.environ["PATH"]


def _fetch(world: Path, case: Case) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": _programs(),
        "HOME": str(world / "home"),
        "WORLD": str(world),
        "PYTHON": sys.executable,
        "WAIT": WAIT,
        "PIP_RETRIES": "0",
    }
    return subprocess.run(
        ("unshare", "--net", "--mount", "sh", "-c", SCRIPT, "sh", *case.argv),
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", CASES)
def test_packages_come_from_the_company_s_mirror_without_a_rule_and_without_a_question(
    name: str, tmp_path: Path
) -> None:
    if name != "pip" and shutil.which(name) is None:
        pytest.skip(f"{name} is not on this machine")
    case = CASES[name]
    world = _world(tmp_path, case)

    done = _fetch(world, case)

    assert done.returncode == 0, done.stdout + done.stderr
    assert list(world.glob(case.leaves)) != [], done.stdout + done.stderr
    assert "0 asked, 0 denied" in done.stderr
    assert "hosts    pkgs.corp.test:8080" in done.stderr
    assert "secret" not in "".join(
        path.read_text(errors="replace") for path in (world / "work").rglob("*") if path.is_file()
    )


def test_a_mirror_that_the_workspace_names_is_not_fetched_from(tmp_path: Path) -> None:
    world = _world(tmp_path, CASES["pip"])
    (world / "home" / ".config" / "pip" / "pip.conf").rename(world / "work" / "pip.conf")

    done = _fetch(world, CASES["pip"])

    assert done.returncode != 0
    assert not list((world / "work").glob("got/*"))
    assert "company" not in (world / "mirror.log").read_text()
