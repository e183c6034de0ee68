"""Policy files on a disk: which are found, whose they have to be, and what stops everything."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from tests.policy.making import connect, file

from ringfence.model.decision import Verdict
from ringfence.model.situations import PolicyInvalid, RingfenceError, UsageInvalid
from ringfence.policy.layers import Layer
from ringfence.session.policy_files import SessionGrants, check_file, load_policy
from ringfence.session.sources import Places
from ringfence.session.trust_list import Trust, set_trust, trust_of

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file that belongs to root")


class Machine:
    """A home, a project and the administrator's folder."""

    def __init__(self, folder: Path) -> None:
        self.home, self.project, self.managed = folder / "home", folder / "project", folder / "etc"
        for one in (self.home, self.project, self.managed):
            one.mkdir(mode=0o755)
        self.places = Places(
            home=str(self.home),
            state=str(self.home / "state"),
            user_policy=str(self.home / "policy.toml"),
            managed_folder=str(self.managed),
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def faults(machine: Machine) -> list[str]:
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(machine.places, str(machine.project))
    return [str(fault).replace(str(machine.home.parent), "") for fault in caught.value.diagnostics]


def test_without_any_file_the_preset_applies(machine: Machine) -> None:
    policy = load_policy(machine.places, str(machine.project))

    assert (policy.preset, policy.layers, policy.notices) == ("workspace", ("preset:workspace workspace.toml",), ())


def test_the_faults_of_all_files_are_told_at_once(machine: Machine) -> None:
    (machine.home / "policy.toml").write_text("a = 1\n")
    (machine.project / "ringfence.toml").write_text("b = [\n")

    assert [fault.partition(": ")[0] for fault in faults(machine)] == [
        "/home/policy.toml:1:1",
        "/project/ringfence.toml:2:1",
    ]


@as_root
def test_managed_files_of_root_apply(machine: Machine) -> None:
    (machine.managed / "requirements.toml").write_text("[network]\ndefault = 'deny'\n")
    (machine.home / "policy.toml").write_text("[network]\ndefault = 'ask'\n")

    policy = load_policy(machine.places, str(machine.project))

    assert policy.network.default is Verdict.DENY
    assert policy.layers[-1].startswith("requirements ")
    assert len(policy.notices) == 1


@as_root
@pytest.mark.parametrize("name", ["requirements.toml", "policy.toml"])
def test_a_managed_file_that_others_can_write_stops_everything(machine: Machine, name: str) -> None:
    path = machine.managed / name
    path.write_text("")
    path.chmod(0o664)

    assert faults(machine) == [
        f"/etc/{name}:1:1: `/etc/{name}` has to belong to root and be writable by nobody else; nothing runs until then"
    ]


@as_root
def test_a_managed_file_in_a_folder_that_others_can_write_stops_everything(machine: Machine) -> None:
    (machine.managed / "policy.toml").write_text("")
    machine.managed.chmod(0o777)

    assert len(faults(machine)) == 1


@as_root
def test_a_managed_file_of_somebody_else_stops_everything(machine: Machine) -> None:
    path = machine.managed / "policy.toml"
    path.write_text("")
    os.chown(path, 12345, 0)

    assert len(faults(machine)) == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root owns what it makes")
def test_a_managed_file_that_is_not_of_root_stops_everything(machine: Machine) -> None:
    (machine.managed / "policy.toml").write_text("")

    assert len(faults(machine)) == 1


@as_root
def test_an_invalid_managed_file_stops_everything(machine: Machine) -> None:
    (machine.managed / "requirements.toml").write_text("[network]\ndefault = 'allow'\n")

    assert faults(machine) == ["/etc/requirements.toml:2:1: `default` is `allow`; it is one of `ask`, `deny`"]


@pytest.mark.parametrize("kind", ["folder", "fifo", "loop"])
def test_a_policy_that_is_no_file_stops_everything_without_waiting(machine: Machine, kind: str) -> None:
    path = machine.project / "ringfence.toml"
    match kind:
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path)

    assert len(faults(machine)) == 1


def test_a_project_is_trusted_by_its_content_and_only_by_that(machine: Machine) -> None:
    path = machine.project / "ringfence.toml"
    path.write_text("[[network.rule]]\nhosts = ['x.test']\nverdict = 'allow'\n")
    before = load_policy(machine.places, str(machine.project))

    set_trust(machine.places.trust, str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    trusted = load_policy(machine.places, str(machine.project))
    path.write_text(path.read_text() + "\n")
    changed = load_policy(machine.places, str(machine.project))

    verdicts = [connect(policy, "x.test").verdict.value for policy in (before, trusted, changed)]
    assert verdicts == ["ask", "allow", "ask"]
    assert stat.S_IMODE(os.stat(machine.places.trust).st_mode) == 0o600


def test_trust_can_be_taken_back(machine: Machine) -> None:
    set_trust(machine.places.trust, "/a/ringfence.toml", "00")
    set_trust(machine.places.trust, "/b/ringfence.toml", hashlib.sha256(b"b").hexdigest())

    set_trust(machine.places.trust, "/a/ringfence.toml", None)

    assert trust_of(machine.places.trust, "/a/ringfence.toml", b"") is Trust.UNKNOWN
    assert trust_of(machine.places.trust, "/b/ringfence.toml", b"b") is Trust.TRUSTED
    assert trust_of(machine.places.trust, "/b/ringfence.toml", b"c") is Trust.CHANGED


def test_a_broken_trust_list_stops_everything(machine: Machine) -> None:
    (machine.project / "ringfence.toml").write_text("")
    os.makedirs(machine.places.state)
    Path(machine.places.trust).write_text("{")

    with pytest.raises(RingfenceError, match="the list of trusted projects cannot be read"):
        load_policy(machine.places, str(machine.project))


def test_what_the_person_grants_for_a_session_opens_it(machine: Machine) -> None:
    grants = SessionGrants(
        allow_hosts=("*.x.test:443",), read=("/srv/data",), write=("~/out",), environment=("TOKEN",), host_ports=(5432,)
    )

    policy = load_policy(machine.places, str(machine.project), grants=(grants,))

    assert connect(policy, "a.x.test").verdict is Verdict.ALLOW
    assert file(policy, "read", "/srv/data/x").verdict is Verdict.ALLOW
    assert file(policy, "write", "/srv/data/x").verdict is Verdict.DENY
    assert policy.environment.keep[-1] == "TOKEN"
    assert policy.network.host_ports == (5432,)


@as_root
def test_a_grant_does_not_open_what_requirements_deny(machine: Machine) -> None:
    (machine.managed / "requirements.toml").write_text(
        "[filesystem]\ndeny = ['/srv']\n[[network.rule]]\nhosts = ['**.x.test']\nverdict = 'deny'\n"
    )

    policy = load_policy(
        machine.places, str(machine.project), grants=(SessionGrants(allow_hosts=("x.test",), read=("/srv/data",)),)
    )

    assert connect(policy, "x.test").verdict is Verdict.DENY
    assert file(policy, "read", "/srv/data").verdict is Verdict.DENY
    assert any("`read` of `/srv/data` does not apply" in notice for notice in policy.notices)


@pytest.mark.parametrize(
    "grants",
    [
        SessionGrants(allow_hosts=("a b",)),
        SessionGrants(read=("/a\udcff",)),
        SessionGrants(read=("a/../b",)),
        SessionGrants(write=("",)),
    ],
)
def test_a_grant_that_makes_no_sense_is_wrong_usage(machine: Machine, grants: SessionGrants) -> None:
    with pytest.raises(UsageInvalid):
        load_policy(machine.places, str(machine.project), grants=(grants,))


def test_a_preset_or_a_file_can_be_chosen(machine: Machine) -> None:
    (machine.home / "policy.toml").write_text("[sandbox]\nmin_tier = 'C'\n")
    other = machine.home / "other.toml"
    other.write_text("extends = 'read-only'\n")

    by_name = load_policy(machine.places, str(machine.project), choice="full-access")
    by_file = load_policy(machine.places, str(machine.project), choice=str(other))

    assert (by_name.preset, by_name.min_tier) == ("full-access", "C")
    assert (by_file.preset, by_file.min_tier) == ("read-only", "A")
    with pytest.raises(UsageInvalid, match="neither a preset, a profile nor a file"):
        load_policy(machine.places, str(machine.project), choice="nothing")


def test_a_project_whose_name_is_not_utf_8_has_a_policy_like_any_other(machine: Machine) -> None:
    project = os.fsdecode(bytes(machine.project) + b"/\xff")
    os.mkdir(project)
    with open(os.path.join(project, "ringfence.toml"), "w") as stream:
        stream.write("[network]\ndefault = 'deny'\n")

    policy = load_policy(machine.places, project)

    assert policy.network.default is Verdict.DENY
    assert policy.network.default_origin.source.endswith("/\ufffdff/ringfence.toml:2")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@as_root
def test_drop_ins_apply_in_the_order_of_their_names_and_other_names_are_told(machine: Machine) -> None:
    write(machine.managed / "policy.d" / "20-b.toml", "[approvals]\ntimeout_seconds = 20\n")
    write(machine.managed / "policy.d" / "10-a.toml", "[approvals]\ntimeout_seconds = 10\n")
    write(machine.managed / "requirements.d" / "x.toml", "[network]\ndefault = 'deny'\n")
    write(machine.managed / "requirements.d" / "x.toml.bak", "[network]\n")
    write(machine.home / "policy.d" / "mine.toml", "[environment]\nkeep = ['MINE']\n")

    policy = load_policy(machine.places, str(machine.project))

    assert policy.approvals.timeout_seconds == 20
    assert policy.network.floor is Verdict.DENY
    assert "MINE" in policy.environment.keep
    assert [notice.partition(": ")[2] for notice in policy.notices][1:] == [
        "the file does not apply: only names that end in `.toml` are read"
    ]


@as_root
@pytest.mark.parametrize("name", ["policy.d", "requirements.d"])
def test_a_folder_of_managed_files_that_others_can_write_stops_everything(machine: Machine, name: str) -> None:
    folder = write(machine.managed / name / "a.toml", "").parent
    folder.chmod(0o777)

    assert len(faults(machine)) == 1


@as_root
def test_a_managed_folder_below_one_that_others_can_write_stops_everything(machine: Machine) -> None:
    write(machine.managed / "policy.toml", "")
    machine.managed.parent.chmod(0o777)

    assert "has to belong to root" in faults(machine)[0]


@pytest.mark.parametrize("name", ["requirements.toml", "policy.toml", "policy.d", "requirements.d", "policy.d/a.toml"])
def test_a_managed_link_that_leads_nowhere_stops_everything(machine: Machine, name: str) -> None:
    path = machine.managed / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to("/nowhere")

    assert faults(machine) == [f"/etc/{name}:1:1: `/etc/{name}` is a link to `/nowhere`, which is not there"]


def test_a_managed_folder_that_is_a_link_to_nowhere_stops_everything(machine: Machine) -> None:
    machine.managed.rmdir()
    machine.managed.symlink_to("/nowhere")

    assert len(faults(machine)) >= 2


def test_a_document_starts_from_profiles_and_bundles(machine: Machine) -> None:
    write(machine.home / "profiles" / "base.toml", "extends = 'read-only'\n[environment]\nkeep = ['BASE']\n")
    write(machine.home / "profiles" / "team.toml", "extends = 'base'\n[approvals]\ntimeout_seconds = 77\n")
    write(machine.home / "policy.toml", "extends = ['team', 'github']\n")

    policy = load_policy(machine.places, str(machine.project))

    assert (policy.preset, policy.approvals.timeout_seconds) == ("read-only", 77)
    assert "BASE" in policy.environment.keep
    assert connect(policy, "codeload.github.com").verdict is Verdict.ALLOW
    assert [layer.replace(str(machine.home), "") for layer in policy.layers] == [
        "preset:read-only read-only.toml",
        "preset:github github.toml",
        "user /profiles/base.toml",
        "user /profiles/team.toml",
        "user /policy.toml",
    ]


def test_a_circle_of_profiles_and_an_unknown_one_are_located(machine: Machine) -> None:
    write(machine.home / "profiles" / "a.toml", "extends = 'b'\n")
    write(
        machine.home / "profiles" / "b.toml",
        "[network]\ndefault = 'ask'\n",
    )
    write(machine.home / "profiles" / "b.toml", "extends = ['a']\n")
    write(machine.home / "policy.toml", "extends = ['a', 'pyton']\n")

    found = faults(machine)

    assert found[0] == "/home/profiles/b.toml:1:12: `extends` leads back to where it began: `a` extends `b` extends `a`"
    assert found[1].startswith("/home/policy.toml:1:17: `pyton` is no preset, no bundle, and no profile in ")
    assert found[1].endswith("did you mean `python`?")


@as_root
def test_what_binds_people_never_comes_from_a_profile_of_theirs(machine: Machine) -> None:
    write(machine.home / "profiles" / "team.toml", "")
    write(machine.managed / "policy.toml", "extends = 'team'\n")

    assert "`team` is no preset" in faults(machine)[0]


def test_a_bundle_of_an_untrusted_project_opens_nothing(machine: Machine) -> None:
    write(machine.project / "ringfence.toml", "extends = ['models']\n")

    policy = load_policy(machine.places, str(machine.project))

    assert connect(policy, "api.openai.com").verdict is Verdict.ASK
    assert policy.notices == (
        "models.toml:4: rule `models` does not apply: an untrusted project only tightens; "
        "read the file and trust it with `ringfence trust`",
        "models.toml:35: only recording at `api.anthropic.com:443` and 9 more does not apply: an untrusted project "
        "only tightens; read the file and trust it with `ringfence trust`",
    )


def test_a_trusted_file_that_changed_is_told_apart_from_an_unknown_one(machine: Machine) -> None:
    path = write(machine.project / "ringfence.toml", "[environment]\nkeep = ['A']\n")
    set_trust(machine.places.trust, str(path), hashlib.sha256(b"before").hexdigest())

    notices = load_policy(machine.places, str(machine.project)).notices

    assert len(notices) == 1
    assert "the file changed since it was trusted" in notices[0]


def test_a_profile_can_be_chosen_by_name(machine: Machine) -> None:
    write(machine.home / "profiles" / "quick.toml", "[approvals]\ntimeout_seconds = 9\n")

    assert load_policy(machine.places, str(machine.project), choice="quick").approvals.timeout_seconds == 9


def test_a_repository_s_file_may_not_cost_its_reader_minutes(machine: Machine) -> None:
    write(machine.project / "ringfence.toml", "#" * (1024 * 1024 + 1))

    assert faults(machine) == [
        "/project/ringfence.toml:1:1: the file has more than the 1,048,576 bytes that a project may have"
    ]


def test_faults_of_a_file_and_of_what_it_starts_from_are_told_together(machine: Machine) -> None:
    write(machine.home / "profiles" / "team.toml", "[network]\ndefault = 'alow'\n")
    path = write(machine.home / "policy.toml", "extends = ['team', 'nope']\nkey = 1\n")

    found = [fault.partition(": ")[0] for fault in faults(machine)]
    with pytest.raises(PolicyInvalid) as caught:
        check_file(str(path), layer=Layer.USER, places=machine.places)

    assert found == ["/home/policy.toml:2:1", "/home/profiles/team.toml:2:1", "/home/policy.toml:1:20"]
    assert len(caught.value.diagnostics) == 3
