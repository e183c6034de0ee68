"""What documents open between a sandbox and the host, over all layers."""

from __future__ import annotations

import msgspec
import pytest

from ringfence.model.action import CommandAction, ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Placement, Verdict
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.documents import Document, read_document
from ringfence.policy.effective import Policy, PublishedPort, WayPolicy
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset
from ringfence.policy.profiles import Chosen, choose, matching, plain_words, told, with_profiles
from ringfence.policy.profiles import Facts as CommandFacts

KEY = "SHA256:" + "A" * 43
OPEN = f"""
[sandbox]
sockets = ["/run/a.sock", "~/b.sock"]
devices = ["/dev/dri/renderD128"]
publish = ["3000", "8080:3000"]
nested_namespaces = true
outside = true
[[sandbox.ssh_agent]]
keys = ["{KEY}"]
hosts = ["github.com"]
[[sandbox.dbus]]
talk = ["org.freedesktop.Notifications"]
"""
PROFILE = """
[[commands.profile]]
id = "push"
prefix = ["git", ["push", "fetch"]]
read = ["~/keys", "~/.ssh/config"]
hosts = ["github.com"]
"""


def document(text: str, layer: Layer = Layer.USER, *, trusted: bool = True) -> Document:
    found = read_document(text.encode(), file=f"{layer.value}.toml", layer=layer)
    return msgspec.structs.replace(found, trusted=trusted)


def policy(*documents: Document) -> Policy:
    return merge((preset("workspace"), *documents), facts=Facts(home="/home/u", workspace="/w"))


def test_what_a_person_opens_is_open() -> None:
    ways = policy(document(OPEN)).ways

    assert (ways.sockets, ways.devices) == (("/run/a.sock", "/home/u/b.sock"), ("/dev/dri/renderD128",))
    assert ways.publish == (PublishedPort(host=3000, inside=3000), PublishedPort(host=8080, inside=3000))
    assert (ways.nested_namespaces, ways.outside) == (True, True)
    assert [(way.keys, way.hosts) for way in ways.ssh_agent] == [((KEY,), ("github.com",))]
    assert [(way.bus, way.talk) for way in ways.dbus] == [("session", ("org.freedesktop.Notifications",))]


def test_a_project_that_is_not_trusted_opens_nothing() -> None:
    found = policy(document(OPEN + PROFILE, Layer.PROJECT, trusted=False))

    assert (found.ways, found.commands.profiles) == (WayPolicy(), ())
    assert len([one for one in found.notices if "sandbox." in one or "profile `push`" in one]) == 10


def test_nobody_opens_what_requirements_forbid() -> None:
    kinds = ("sockets", "devices", "publish", "ssh_agent", "dbus", "nested_namespaces", "outside", "profiles")
    forbid = document(f"[sandbox]\nforbid = {list(kinds)!r}", Layer.REQUIREMENTS)

    found = policy(document(OPEN + PROFILE), forbid)

    assert (found.ways, found.commands.profiles) == (WayPolicy(), ())
    assert all("requirements.toml:2 forbids it" in one for one in found.notices)


def test_a_managed_no_is_not_opened_by_a_person() -> None:
    managed = document("[sandbox]\nnested_namespaces = false", Layer.MANAGED)

    assert policy(managed, document(OPEN)).ways.nested_namespaces is False


@pytest.mark.parametrize(
    "text",
    [
        'sockets = ["relative.sock"]',
        'sockets = ["/run/*.sock"]',
        'sockets = ["/run/user/1000/bus"]',
        'sockets = ["/run/dbus/system_bus_socket"]',
        'sockets = ["/tmp/.X11-unix/X0"]',
        'sockets = ["/run/user/1000/wayland-0"]',
        'sockets = ["/run/systemd/private"]',
        'sockets = ["/run/../x.sock"]',
        'devices = ["/dev/sda"]',
        'devices = ["/dev/mem"]',
        'devices = ["/dev/dri/../sda"]',
        'devices = ["/dev/fuse"]',
        'publish = ["80"]',
        'publish = ["70000"]',
        'publish = ["0.0.0.0:3000"]',
        'forbid = ["everything"]',
        'dbus = [{ talk = ["org.freedesktop.systemd1"] }]',
        'dbus = [{ talk = ["org.freedesktop.*"] }]',
        'dbus = [{ talk = ["org.freedesktop.Flatpak"] }]',
        'dbus = [{ talk = ["*"] }]',
        'ssh_agent = [{ keys = ["github"], hosts = ["github.com"] }]',
        f'ssh_agent = [{{ keys = ["{KEY}"], hosts = ["*"] }}]',
        f'ssh_agent = [{{ keys = ["{KEY}"] }}]',
    ],
)
def test_what_would_open_more_than_was_meant_is_a_fault(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        document(f"[sandbox]\n{text}")


@pytest.mark.parametrize("text", [OPEN, PROFILE, "[sandbox]\npublish = ['3000']"])
def test_requirements_open_nothing(text: str) -> None:
    with pytest.raises(PolicyInvalid, match="requirements only tighten"):
        document(text, Layer.REQUIREMENTS)


@pytest.mark.parametrize(
    ("words", "hit"),
    [
        (("git", "push"), True),
        (("/usr/bin/git", "fetch", "origin"), True),
        (("git", "-c", "a=b", "push"), False),
        (("git", "commit"), False),
        (("env", "git", "push"), False),
        (("git",), False),
        ((), False),
    ],
)
def test_a_profile_matches_what_is_written_and_nothing_else(words: tuple[str, ...], hit: bool) -> None:
    assert bool(matching(policy(document(PROFILE)).commands.profiles, words)) is hit


def test_the_plan_of_a_profile_is_the_policy_and_what_it_adds() -> None:
    base = policy(document(PROFILE))

    own = Evaluator(with_profiles(base, base.commands.profiles), Context(home="/home/u", workspace="/w"))
    plain = Evaluator(base, Context(home="/home/u", workspace="/w"))

    assert [_reads(each, "/home/u/keys/x") for each in (plain, own)] == [Verdict.DENY, Verdict.ALLOW]
    assert [_connects(each, "github.com") for each in (plain, own)] == [Verdict.ASK, Verdict.ALLOW]
    assert own.policy.digest != base.digest


def test_a_profile_opens_nothing_that_an_administrator_denies() -> None:
    denied = '[filesystem]\ndeny = ["~/keys"]\n[[network.rule]]\nhosts = ["github.com"]\nverdict = "deny"'
    managed = document(denied, Layer.MANAGED)
    base = policy(managed, document(PROFILE))

    own = Evaluator(with_profiles(base, base.commands.profiles), Context(home="/home/u", workspace="/w"))

    assert (_reads(own, "/home/u/keys/x"), _connects(own, "github.com")) == (Verdict.DENY, Verdict.DENY)


def test_a_profile_with_only_its_hosts_reaches_no_other() -> None:
    more = "only_hosts = true\n[network]\nhost_ports = [5432]\n[[network.rule]]\nhosts = ['a.test']\nverdict = 'allow'"
    base = policy(document(PROFILE + more))

    own = Evaluator(with_profiles(base, base.commands.profiles), Context(home="/home/u", workspace="/w"))

    assert [_connects(own, host) for host in ("github.com", "a.test", "b.test")] == [
        Verdict.ALLOW,
        Verdict.DENY,
        Verdict.DENY,
    ]
    assert own.policy.network.host_ports == ()


def test_hosts_of_a_person_do_not_add_to_what_an_administrator_leaves() -> None:
    managed = PROFILE.replace("github.com", "git.corp.test") + "only_hosts = true"
    base = policy(document(managed, Layer.MANAGED), document(PROFILE))

    own = Evaluator(with_profiles(base, base.commands.profiles), Context(home="/home/u", workspace="/w"))

    assert [_connects(own, host) for host in ("git.corp.test", "github.com")] == [Verdict.ALLOW, Verdict.DENY]


def test_a_decision_says_where_its_command_runs() -> None:
    text = '[sandbox]\noutside = true\n[[commands.profile]]\nid = "host"\nprefix = ["hostname"]\nplacement = "outside"'
    base = policy(document(text))
    words = ("hostname",)
    decision = Evaluator(base, Context(home="/home/u", workspace="/w")).evaluate(CommandAction(argv=words, cwd="/w"))
    chosen = choose(base, decision, words, CommandFacts(executable="/usr/bin/hostname", is_installed=True))

    assert told(decision, chosen).placement is Placement.OUTSIDE
    assert told(decision, chosen).verdict is decision.verdict


def _reads(evaluator: Evaluator, path: str) -> Verdict:
    return evaluator.evaluate(FileAction(operation=FileOperation.READ, path=path)).verdict


def _connects(evaluator: Evaluator, host: str) -> Verdict:
    return evaluator.evaluate(ConnectAction(host=host, port=443)).verdict


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("git push", ("git", "push")),
        ("git push 'origin' \"main\"", ("git", "push", "origin", "main")),
        ("git push; id", None),
        ("git push && id", None),
        ("git push | cat", None),
        ("git push > out", None),
        ("git push $X", None),
        ("git push $(id)", None),
        ("git push *", None),
        ("A=b git push", None),
        ("(git push)", None),
        ("git() { id; }; git push", None),
        ("alias git=id; git push", None),
        ("/usr/bin/git push", None),
        ("./git push", None),
        ("cd x && git push", None),
        ("git push <<< x", None),
        ("git push &", None),
        ("", None),
        ("git push\nid", None),
    ],
)
def test_a_script_has_the_plan_of_a_command_only_where_it_is_that_command(
    script: str, words: tuple[str, ...] | None
) -> None:
    assert plain_words(script, "/home/u") == words


def test_no_snapshot_stands_in_for_a_question_about_a_command_with_a_plan_of_its_own() -> None:
    base = policy(document(PROFILE))
    asked = Evaluator(base, Context(home="/home/u", workspace="/w")).evaluate(
        CommandAction(argv=("git", "reset", "--hard"), cwd="/w")
    )

    own = told(asked, Chosen(profiles=base.commands.profiles))

    assert (asked.verdict, asked.undoable) == (Verdict.ASK, True)
    assert (own.verdict, own.undoable) == (Verdict.ASK, False)
