from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox import probe as probing
from ringfence.sandbox.probe import REQUIRED, probe, require

SOURCE = str(Path(__file__).parents[2] / "src")


def test_this_machine_gives_the_strongest_tier() -> None:
    report = probe()

    assert report.tier == "A"
    assert [fact.name for fact in report.facts if not fact.ok and fact.required] == []
    assert {fact.name for fact in report.facts} >= set(REQUIRED)
    assert require("A") == ("A",)
    assert require("B") == ("A", "B")


def test_an_unknown_tier_is_refused() -> None:
    with pytest.raises(SandboxUnavailable, match="no tier `D`"):
        require("D")


def test_switched_off_namespaces_are_refused_with_the_setting_to_change_and_the_tier_to_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "limit").write_text("0\n")
    monkeypatch.setattr(probing, "_LIMIT", str(tmp_path / "limit"))

    with pytest.raises(SandboxUnavailable, match="user namespaces are switched off") as refused:
        require("A")

    assert "sysctl user.max_user_namespaces" in refused.value.remedy
    assert "allow it with `--min-tier B`" in refused.value.remedy
    assert require("B") == ("B",)


@pytest.mark.slow
def test_without_user_namespaces_the_tier_is_lower_and_sandboxes_are_refused() -> None:
    script = (
        "import asyncio, os, sys; sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2])\n"
        "from ringfence.sandbox import syscalls\n"
        "os.geteuid() or os.setgroups([])\n"
        "uid, gid = os.geteuid(), os.getegid()\n"
        "syscalls.unshare(syscalls.NEWUSER, 'user')\n"
        "for name, text in (('setgroups', 'deny'), ('uid_map', f'{uid} {uid} 1'), ('gid_map', f'{gid} {gid} 1')):\n"
        "    open(f'/proc/self/{name}', 'w').write(text)\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "from ringfence.sandbox.probe import probe, require\n"
        "print(probe().tier)\n"
        "from ringfence.model.situations import SandboxUnavailable\n"
        "try: require('A')\n"
        "except SandboxUnavailable as refused: print(refused.message); print(refused.remedy)\n"
        "import pathlib, tempfile\n"
        "from tests.sandbox.boxes import Place\n"
        "from ringfence.sandbox.launch import Sandbox\n"
        "root = pathlib.Path(tempfile.mkdtemp()); (root / 'home/w').mkdir(parents=True)\n"
        "place = Place(root, root / 'home', root / 'home/w', root / 'state')\n"
        "try: asyncio.run(Sandbox.start(place.plan()))\n"
        "except SandboxUnavailable as refused: print(refused.message); print(sorted(place.names()))\n"
        "import shutil; shutil.rmtree(root)\n"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", script, SOURCE, root], capture_output=True, text=True, check=False)

    lines = done.stdout.splitlines()
    assert lines[0] in ("B", "C"), done.stderr
    assert "switched off" in lines[1]
    assert "sudo sysctl user.max_user_namespaces" in lines[2]
    assert "failed at namespaces" in lines[3]
    assert lines[4] == "[]"


@pytest.mark.slow
def test_doctor_finds_that_every_attack_is_stopped() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ringfence.cli.doctor import main; sys.exit(main(['--json']))"
    )
    done = subprocess.run([sys.executable, "-c", script, SOURCE], capture_output=True, text=True, check=False)

    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["schema"], report["tier"], report["ok"], report["error"]) == (1, "A", True, "")
    assert len(report["attacks"]) >= 15
    assert all(each["stopped"] for each in report["attacks"])
