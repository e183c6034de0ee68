"""Registries: what package managers are set up for, and what a workspace may not say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.policy.making import connect

from ringfence.model.decision import Verdict
from ringfence.session.policy_files import load_policy
from ringfence.session.registries.looked import Place
from ringfence.session.registries.machine import Machine
from ringfence.session.registries.remembered import Remembered
from ringfence.session.registries.resolve import look
from ringfence.session.sources import Places

SETTINGS = {
    "home/.config/pip/pip.conf": (
        "[global]\nindex-url = https://u:secret@a.test:8443/simple\n"
        "extra-index-url =\n  https://b.test/x\n  http://c.test/y\n"
    ),
    "home/.config/uv/uv.toml": "[[index]]\nurl = 'https://a.test/simple'\ndefault = true\n[[index]]\nurl='https://b.test/'\n",
    "home/.npmrc": "registry=https://a.test/npm/\n@acme:registry=https://b.test/npm/\n//a.test/:_authToken=secret\n",
    "home/.yarnrc.yml": 'npmRegistryServer: "https://d.test/yarn"\n',
    "home/.cargo/config.toml": "[source.crates-io]\nreplace-with = 'm'\n[source.m]\nregistry = 'sparse+https://a.test/index/'\n",
    "home/.config/go/env": "GOPROXY=https://a.test,direct\nGOSUMDB=sum.b.test\n",
    "home/.m2/settings.xml": "<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>https://a.test/maven</url></mirror></mirrors></settings>",
    "etc/apt/sources.list": "deb [signed-by=/k] http://a.test/debian stable main\n# deb http://no.test x\n",
    "etc/apt/sources.list.d/x.sources": "Types: deb\nURIs: https://b.test/debian\n",
}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name, text in SETTINGS.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "w").mkdir()
    return Machine(home=str(tmp_path / "home"), workspace=str(tmp_path / "w"), variables={}, root=str(tmp_path))


def hosts(machine: Machine, name: str) -> list[str]:
    looked = look(name, machine, Remembered(machine.home + "/none.json"))
    return [f"{one.role} {one.host}{'' if one.trusted else ' not trusted'}" for one in looked.places]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pip", ["index a.test:8443", "extra b.test:443", "extra c.test:80"]),
        ("uv", ["index a.test:443", "extra b.test:443"]),
        ("npm", ["index a.test:443", "extra b.test:443"]),
        ("yarn", ["index a.test:443", "extra b.test:443", "index d.test:443"]),
        ("cargo", ["index a.test:443"]),
        ("go", ["index a.test:443", "extra sum.b.test:443"]),
        ("maven", ["index a.test:443"]),
        ("apt", ["index a.test:80", "index b.test:443"]),
        ("gradle", []),
    ],
)
def test_each_package_manager_is_read_by_its_own_settings(machine: Machine, name: str, expected: list[str]) -> None:
    assert hosts(machine, name) == expected


def test_a_password_in_an_address_goes_no_further(machine: Machine) -> None:
    assert look("pip", machine, Remembered(machine.home + "/none.json")).places[0] == Place(
        url="https://a.test:8443/simple", host="a.test:8443", where=f"{machine.home}/.config/pip/pip.conf:2"
    )


@pytest.mark.parametrize(
    ("file", "text", "name"),
    [
        ("pip.conf", "[global]\nindex-url = https://evil.test/simple\n", "pip"),
        ("pyproject.toml", "[tool.uv]\nindex-url = 'https://evil.test/simple'\n", "uv"),
        (".npmrc", "registry=https://evil.test\n", "npm"),
        (".cargo/config.toml", "[registries.x]\nindex = 'https://evil.test'\n", "cargo"),
    ],
)
def test_what_the_workspace_says_is_seen_and_never_trusted(machine: Machine, file: str, text: str, name: str) -> None:
    path = Path(machine.workspace, file)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    found = hosts(machine, name)

    assert [one for one in found if "evil" in one] in (
        ["index evil.test:443 not trusted"],
        ["extra evil.test:443 not trusted"],
    )
    assert any("a.test" in one for one in found)


def test_a_link_of_the_user_s_settings_into_the_workspace_is_not_trusted(machine: Machine) -> None:
    Path(machine.workspace, "npmrc").write_text("registry=https://evil.test\n")
    own = Path(machine.home, ".npmrc")
    own.unlink()
    own.symlink_to(f"{machine.workspace}/npmrc")

    assert hosts(machine, "npm") == ["index evil.test:443 not trusted"]


def program(folder: Path, name: str, output: str) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho x >> {folder}/count\ncat <<'END'\n{output}\nEND\n")
    path.chmod(0o755)


def test_a_default_is_asked_of_the_program_once_and_never_of_one_in_the_workspace(tmp_path: Path) -> None:
    workspace, tools = tmp_path / "w", tmp_path / "bin"
    workspace.mkdir()
    program(workspace, "npm", "https://evil.test/")
    program(tools, "npm", "https://default.test/")
    variables = {"PATH": f"{workspace}:{tools}:relative"}
    bare = Machine(home=str(tmp_path), workspace=str(workspace), variables=variables, root=str(tmp_path))
    memory = str(tmp_path / "state" / "registries.json")

    first = look("npm", bare, Remembered(memory))
    again = look("npm", bare, Remembered(memory))

    assert [one.host for one in first.places] == ["default.test:443"]
    assert again == first
    assert (tools / "count").read_text() == "x\n"


def test_the_sentence_of_a_help_is_understood(tmp_path: Path) -> None:
    program(tmp_path / "bin", "pip3", "  -i <url>   Base URL (default\n      https://default.test/simple). This ...")
    bare = Machine(
        home=str(tmp_path), workspace=str(tmp_path / "w"), variables={"PATH": f"{tmp_path}/bin"}, root=str(tmp_path)
    )

    assert [one.url for one in look("pip", bare, Remembered("/none/x")).places] == ["https://default.test/simple"]


def test_a_session_opens_the_company_s_mirror_and_says_inside_where_it_is(machine: Machine, tmp_path: Path) -> None:
    Path(machine.workspace, "pip.conf").write_text("[global]\nextra-index-url = https://evil.test/simple\n")
    user = tmp_path / "policy.toml"
    user.write_text("extends = ['python']\n")
    places = Places(
        home=machine.home, state=str(tmp_path / "state"), user_policy=str(user), managed_folder=str(tmp_path / "none")
    )

    policy = load_policy(places, machine.workspace)

    assert connect(policy, "a.test", 8443).verdict is Verdict.ALLOW
    assert connect(policy, "a.test", 443).verdict is Verdict.ALLOW  # uv's
    assert connect(policy, "evil.test").verdict is Verdict.ASK
    assert dict(policy.environment.set) == {
        "PIP_EXTRA_INDEX_URL": "https://b.test/x http://c.test/y",
        "PIP_INDEX_URL": "https://a.test:8443/simple",
        "UV_DEFAULT_INDEX": "https://a.test/simple",
        "UV_INDEX": "https://b.test/",
    }
    assert [notice for notice in policy.notices if "evil.test" in notice] != []
    assert "u:secret" not in repr(policy)


def test_a_required_default_holds_over_every_registry(machine: Machine, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a file that belongs to root")
    managed = tmp_path / "managed"
    managed.mkdir()
    (managed / "requirements.toml").write_text("[network]\ndefault = 'deny'\n")
    (tmp_path / "policy.toml").write_text("extends = ['python']\n")
    places = Places(
        home=machine.home,
        state=str(tmp_path / "state"),
        user_policy=str(tmp_path / "policy.toml"),
        managed_folder=str(managed),
    )

    assert connect(load_policy(places, machine.workspace), "a.test", 8443).verdict is Verdict.DENY
