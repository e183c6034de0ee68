"""The Seatbelt profile as text, and what it would decide by the rules of its language: the last match wins."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from tests.sandbox.boxes import policy

from ringfence.model.shown import Bind
from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.control_files import ControlFile, Direct
from ringfence.policy.effective import Access, ControlFilePolicy, Origin, PathRule
from ringfence.policy.paths import PathTable
from ringfence.sandbox.plan import HostFacts, Plan, build_plan
from ringfence.sandbox.seatbelt import Places, profile

GOLDEN = Path(__file__).parent / "golden"
HOME, WORKSPACE = "/Users/ana", "/Users/ana/src/shop"
PLACES = Places(
    private=("/var/folders/x/rf/home", "/var/folders/x/rf/tmp"), hook="/var/folders/x/rf/hook.sock", proxy_port=50123
)
FACTS = HostFacts(
    home=HOME,
    uid=501,
    gid=20,
    user="ana",
    hostname="mac",
    path="/opt/homebrew/bin:/usr/bin:/bin:/Users/ana/.cargo/bin",
    own=("/Users/ana/.config/ringfence",),
    program=("/Users/ana/venv/ringfence",),
)
RULES = (
    (":workspace", Access.WRITE),
    ("~/.gitconfig", Access.READ),
    ("**/.env", Access.DENY),
    ("~/.ssh", Access.DENY),
    (":workspace/vendor", Access.READ),
    (":workspace/vendor/cache", Access.WRITE),
    ("/etc/secret", Access.DENY),
    ("/data", Access.READ),
)


def plan(written: tuple[tuple[str, Access], ...] = RULES, **more: object) -> Plan:
    made = build_plan(policy(written, host_ports=(5432,)), facts=FACTS, workspace=WORKSPACE)
    return msgspec.structs.replace(made, **more)


def with_rules(*more: PathRule) -> Plan:
    return plan(rules=(*plan().rules, *more))


class Reader:
    """Reads a profile as Seatbelt does, as far as files go."""

    def __init__(self, text: str) -> None:
        self._forms = _parsed(text)

    def allows(self, operation: str, path: str) -> bool:
        allowed = False
        for form in self._forms:
            if form[0] in ("allow", "deny") and any(_names(str(word), operation) for word in form[1:]):
                filters = [each for each in form[1:] if isinstance(each, list)]
                if any(_fits(each, path) for each in filters):
                    allowed = form[0] == "allow"
        return allowed


Form = list["str | Form"]


def _parsed(text: str) -> list[Form]:
    text = "\n".join(line for line in text.splitlines() if not line.startswith(";"))
    stack: list[Form] = [[]]
    for token in re.findall(r'"(?:\\.|[^"\\])*"|[()]|[^\s()"]+', text):
        if token == "(":
            stack.append([])
        elif token == ")":
            form = stack.pop()
            stack[-1].append(form)
        else:
            stack[-1].append(re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token)
    assert len(stack) == 1, "the brackets of the profile do not match"
    return [each for each in stack[0] if isinstance(each, list)]


def _names(word: str, operation: str) -> bool:
    return word == operation or (word.endswith("*") and operation.startswith(word[:-1]))


def _fits(form: Form, path: str) -> bool:
    kind, value = form[0], str(form[1])
    if kind == "literal":
        return path == value
    if kind == "subpath":
        return path == value or path.startswith(value + "/")
    return kind == "regex" and re.match(value, path) is not None


def test_the_profile_is_as_the_golden_file_says() -> None:
    assert profile(plan(), PLACES) == (GOLDEN / "seatbelt.sb").read_text()


@pytest.mark.parametrize(
    ("path", "read", "write"),
    [
        (f"{WORKSPACE}/a", True, True),
        (f"{WORKSPACE}/.env", False, False),
        (f"{WORKSPACE}/deep/er/.ENV", False, False),
        (f"{WORKSPACE}/.env/inside", False, False),
        (f"{WORKSPACE}/.environment", True, True),
        (f"{WORKSPACE}/vendor/x", True, False),
        (f"{WORKSPACE}/vendor/cache/x", True, True),
        (f"{WORKSPACE}/.git/hooks/post-commit", True, False),
        (f"{WORKSPACE}/.GIT/Hooks/post-commit", True, False),
        (f"{WORKSPACE}/.git/config", True, False),
        (f"{WORKSPACE}/.git/objects/aa", True, True),
        (f"{HOME}/.ssh/id_ed25519", False, False),
        (f"{HOME}/.SSH/id_ed25519", False, False),
        (f"{HOME}/.gitconfig", True, False),
        (f"{HOME}/.config/ringfence/policy.toml", False, False),
        (f"{HOME}/Documents/letter", False, False),
        (f"{HOME}/.cargo/bin/cargo", True, False),
        ("/private/etc/secret", False, False),
        ("/private/etc/hosts", True, False),
        ("/private/etc/master.passwd", False, False),
        ("/data/set", True, False),
        ("/usr/bin/git", True, False),
        ("/private/tmp/x", False, False),
        ("/private/var/folders/x/rf/tmp/x", True, True),
        ("/dev/null", True, True),
        ("/dev/disk0", False, False),
        ("/System/Volumes/Data/Users/ana/.ssh/id_ed25519", False, False),
    ],
)
def test_files_are_opened_and_closed_as_the_policy_says(path: str, read: bool, write: bool) -> None:
    reader = Reader(profile(plan(), PLACES))

    assert (reader.allows("file-read-data", path), reader.allows("file-write-data", path)) == (read, write)


def test_nothing_is_open_that_the_policys_own_table_closes() -> None:
    table = PathTable(plan().rules, home=HOME, workspace=WORKSPACE)
    reader = Reader(profile(plan(), PLACES))
    names = ("", "/a", "/.env", "/vendor", "/vendor/cache", "/vendor/.env/x", "/vendor/cache/.env")
    paths = [WORKSPACE + name for name in names] + [f"{HOME}/.ssh", f"{HOME}/.gitconfig", "/data/x", f"{HOME}/other"]

    for path in paths:
        found = table.match(path)
        access = found.rule.access if found else Access.DENY
        assert reader.allows("file-read-data", path) <= (access is not Access.DENY), path
        assert reader.allows("file-write-create", path) <= (access is Access.WRITE), path


def test_what_holds_control_files_can_be_neither_renamed_nor_removed() -> None:
    reader = Reader(profile(plan(), PLACES))

    assert not reader.allows("file-write-unlink", f"{WORKSPACE}/.git")
    assert not reader.allows("file-write-unlink", WORKSPACE)
    assert reader.allows("file-write-unlink", f"{WORKSPACE}/src")


def test_a_name_cannot_become_a_rule() -> None:
    hostile = '/Users/ana/x") (allow default) ("'
    text = profile(with_rules(_read(hostile)), PLACES)

    assert '(subpath "/Users/ana/x\\") (allow default) (\\"")' in text
    assert ["allow", "default"] not in _parsed(text)
    assert Reader(text).allows("file-read-data", hostile + "/a")
    with pytest.raises(SandboxUnavailable, match="cannot be named"):
        profile(with_rules(_read("/Users/ana/a\n(allow default)")), PLACES)


@pytest.mark.parametrize("name", ["a.b", "a+b", "a(b)", "a$b", "a^b", "a{2}", "a|b", "a\\b"])
def test_characters_of_patterns_stand_for_themselves(name: str) -> None:
    reader = Reader(profile(with_rules(_deny(f"{WORKSPACE}/{name}")), PLACES))

    assert not reader.allows("file-read-data", f"{WORKSPACE}/{name}")
    assert reader.allows("file-read-data", f"{WORKSPACE}/axb")
    assert reader.allows("file-read-data", f"{WORKSPACE}/a")


@pytest.mark.parametrize(
    ("pattern", "closed", "left"),
    [
        ("**/*.pem", ("a.pem", "x/y/B.PEM"), ("a.pems", "pem")),
        ("*.key", ("a.key",), ("x/a.key",)),
        ("secrets/**", ("secrets/a", "secrets/a/b"), ("secret",)),
        ("**/id_[re]sa", ("id_rsa", "x/id_esa"), ("id_xsa",)),
        ("**/v[!0]", ("v1", "x/v2"), ("v0",)),
        ("?.txt", ("a.txt",), ("ab.txt", ".txt")),
    ],
)
def test_patterns_close_what_they_match(pattern: str, closed: tuple[str, ...], left: tuple[str, ...]) -> None:
    reader = Reader(profile(plan(((":workspace", Access.WRITE), (pattern, Access.DENY))), PLACES))

    assert [name for name in closed if reader.allows("file-read-data", f"{WORKSPACE}/{name}")] == []
    assert [name for name in left if not reader.allows("file-read-data", f"{WORKSPACE}/{name}")] == []


def test_what_the_administrator_denies_no_path_of_a_person_opens() -> None:
    managed = Origin(layer="requirements", source="/etc/ringfence/requirements.toml:1")
    denied = PathRule(pattern="/data", access=Access.DENY, origin=managed)

    text = profile(with_rules(denied, _read("/data/public")), PLACES)

    assert not Reader(text).allows("file-read-data", "/data/public/x")


def test_control_files_of_the_policy_are_read_only_too() -> None:
    row = ControlFile(pattern="deploy.sh", why="runs on release", direct=Direct.PROTECT)
    text = profile(plan(control_files=ControlFilePolicy(rows=(row,), origins=())), PLACES)

    assert not Reader(text).allows("file-write-data", f"{WORKSPACE}/deploy.sh")


def test_only_the_gateway_and_named_ports_can_be_reached() -> None:
    text = profile(plan(), PLACES)

    assert re.findall(r'remote ip "([^"]*)"', text) == ["localhost:5432", "localhost:50123"]
    assert "local ip" not in text
    assert "mDNSResponder" not in text and "trustd" not in text


def test_what_would_lie_elsewhere_is_refused() -> None:
    bind = Bind(source="/Users/ana/.codex", target="/elsewhere")

    with pytest.raises(SandboxUnavailable, match="macOS has no mounts"):
        profile(plan(binds=(bind,)), PLACES)


def _read(path: str) -> PathRule:
    return PathRule(pattern=path, access=Access.READ, origin=Origin(layer="user", source="x:1"))


def _deny(path: str) -> PathRule:
    return PathRule(pattern=path, access=Access.DENY, origin=Origin(layer="user", source="x:1"))
