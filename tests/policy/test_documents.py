"""Reading policy files: what is accepted, and every fault with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.documents import MAX_BYTES, read_document
from ringfence.policy.effective import Access, HostRule, Origin, PathRule
from ringfence.policy.hosts import HostTable
from ringfence.policy.layers import Layer


def faults(text: str | bytes, layer: Layer = Layer.USER) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(PolicyInvalid) as caught:
        read_document(data, file="p.toml", layer=layer)
    return [str(fault) for fault in caught.value.diagnostics]


def test_a_document_holds_what_was_written_with_its_lines() -> None:
    text = """\
[filesystem]
read = ["~/x"]
[network]
default = "deny"
[[network.rule]]
hosts = ["API.Example.com:443"]
methods = ["get"]
verdict = "allow"
"""

    document = read_document(text.encode(), file="p.toml", layer=Layer.USER)

    assert document.filesystem == (
        PathRule(pattern="~/x", access=Access.READ, origin=Origin(layer="user", source="p.toml:2")),
    )
    assert document.network.default == (Verdict.DENY, Origin(layer="user", source="p.toml:4"))
    assert document.network.rules == (
        HostRule(
            id="network.allow:api.example.com:443",
            hosts=("api.example.com:443",),
            methods=("GET",),
            verdict=Verdict.ALLOW,
            origin=Origin(layer="user", source="p.toml:5"),
        ),
    )


def test_all_faults_are_told_at_once_each_with_its_place() -> None:
    text = """\
extend = "x"
[filesystem]
raed = ["a"]
write = ["~/x", 3, "/../x", "a/**b", ":nowhere/x", "~other/x", ""]
[network]
default = "alow"
host_ports = [0, "x"]
[[network.rule]]
hosts = ["a*b", "http://x"]
methods = ["G T"]
paths = ["relative"]
verdict = "allow"
[[commands.rule]]
id = "a"
prefix = ["git", ["log"]]
verdict = "ask"
match = ["git push"]
not_match = ["git log"]
[[commands.rule]]
id = "a"
prefix = []
[approvals]
timeout_seconds = true
[sandbox]
min_tier = "D"
[environment]
keep = ["1A"]
set = { "B C" = "x" }
[[test]]
expect = "ask"
"""

    assert faults(text) == [
        "p.toml:1:1: unknown key `extend`; did you mean `extends`?",
        "p.toml:3:1: unknown key `raed`; did you mean `read`?",
        "p.toml:4:17: `write` holds the number 3; each of its elements is a text",
        "p.toml:4:20: path `/../x` has a component `..`; write the path that is meant",
        "p.toml:4:29: glob `a/**b`: `**` stands for whole components; write `**/` before or `/**` after a name",
        "p.toml:4:38: `:nowhere` is not a place; the places are `:workspace`, `:tmp`, `:home`",
        "p.toml:4:52: path `~other/x`: only `~/` for your own home is understood",
        "p.toml:4:64: a path is empty",
        "p.toml:6:1: `default` is `alow`; it is one of `ask`, `deny`",
        "p.toml:7:15: `host_ports` holds port numbers from 1 to 65535",
        "p.toml:7:18: `host_ports` holds port numbers from 1 to 65535",
        "p.toml:9:10: host pattern `a*b` has `*` in another place than `*.domain` or `**.domain`",
        "p.toml:9:17: host pattern `http://x` is a URL; write the host alone, and paths under `paths`",
        "p.toml:10:12: `G T` is not an HTTP method",
        "p.toml:11:10: `relative` is not the path of a URL; it begins with `/` and has no query",
        "p.toml:13:1: rule `a` does not hit its `match` example `git push`",
        "p.toml:13:1: rule `a` hits its `not_match` example `git log`",
        "p.toml:19:1: `verdict` is missing here",
        "p.toml:20:1: id `a` is already used at `p.toml:14`",
        "p.toml:21:1: `prefix` is empty; its first position names the program",
        "p.toml:23:1: `timeout_seconds` is true or false; it has to be a whole number",
        "p.toml:25:1: `min_tier` is `D`; it is one of `A`, `B`, `C`",
        "p.toml:27:9: `1A` is not the name of a variable, nor its beginning followed by `*`",
        "p.toml:28:9: `B C` is not the name of a variable",
        "p.toml:29:1: a test asks one question; write one of `shell`, `argv`, `connect`, `read`, `write`, `mcp`",
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a = ", "p.toml:1:5: not valid TOML: invalid value"),
        (b"a = 1\na = 2", "p.toml:2:6: not valid TOML: cannot overwrite a value"),
        (b"a = 1\nb = [", "p.toml:2:6: not valid TOML: invalid value"),
        (b"a = 1\nb = '\xff'", "p.toml:2:6: byte 0xff is not UTF-8; a policy is written in UTF-8"),
        (b"#" * (MAX_BYTES + 1), f"p.toml:1:1: the file has more than the {MAX_BYTES:,} bytes that a policy may have"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "p.toml:1:1: the file nests its values too deeply"),
        (b"network = 3", "p.toml:1:1: `network` is the number 3; it has to be a table, written `[network]`"),
        (
            b"[commands.rule]\nid='x'",
            "p.toml:1:1: `rule` is a table; it has to be a list of tables, each written `[[commands.rule]]`",
        ),
    ],
)
def test_a_file_that_cannot_be_read_as_a_policy_says_where_and_why(data: bytes, expected: str) -> None:
    assert faults(data) == [expected]


def test_requirements_only_tighten() -> None:
    text = """\
extends = "full-access"
[filesystem]
read = ["/x"]
deny = ["/y"]
[network]
host_ports = [1]
[[network.rule]]
hosts = ["x.test"]
verdict = "allow"
[[commands.rule]]
prefix = ["ls"]
verdict = "allow"
[environment]
keep = ["A"]
"""

    found = faults(text, Layer.REQUIREMENTS)

    assert [fault.partition(": ")[0] for fault in found] == [
        "p.toml:1:1",
        "p.toml:3:1",
        "p.toml:6:1",
        "p.toml:9:1",
        "p.toml:12:1",
        "p.toml:14:1",
    ]


def test_only_requirements_say_which_presets_are_allowed() -> None:
    assert faults('allowed_presets = ["workspace"]') == [
        "p.toml:1:1: `allowed_presets` belongs in the requirements of the administrator"
    ]
    assert faults('allowed_presets = ["x"]', Layer.REQUIREMENTS) == [
        "p.toml:1:20: `x` is not a preset; the presets are `read-only`, `workspace`, `full-access`"
    ]


@pytest.mark.slow
def test_a_file_with_too_many_rules_is_refused() -> None:
    text = "[[mcp.rule]]\nservers=['a']\nverdict='ask'\n" * 10_001

    assert faults(text) == ["p.toml:1:1: `mcp.rule` has 10001 entries; the limit is 10000 in one file"]


def test_control_and_bidirectional_characters_are_escaped_in_messages() -> None:
    assert faults('"a\\u202eb\\u001b" = 1')[0].startswith("p.toml:1:1: unknown key `a\\u202eb\\x1b`")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_located_faults(data: bytes) -> None:
    try:
        read_document(data, file="p.toml", layer=Layer.USER)
    except PolicyInvalid as invalid:
        assert all(fault.line >= 1 and fault.column >= 1 and fault.message for fault in invalid.diagnostics)


_VALUES = st.recursive(
    st.booleans() | st.integers(-5, 70000) | st.sampled_from(["ask", "deny", "/x", "~", "*.x.test", "", "git", "\x01"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["rule", "hosts", "verdict", "prefix", "read", "deny", "default", "id", "match", "set", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(
    st.dictionaries(
        st.sampled_from(
            ["filesystem", "network", "commands", "environment", "approvals", "sandbox", "test", "extends"]
        ),
        _VALUES,
    ),
    st.sampled_from(Layer),
)
def test_values_of_any_type_anywhere_never_break_the_reader(values: dict[str, object], layer: Layer) -> None:
    import tomlkit

    try:
        read_document(tomlkit.dumps(values).encode(), file="p.toml", layer=layer)
    except PolicyInvalid as invalid:
        assert invalid.diagnostics


@pytest.mark.slow
def test_a_hundred_thousand_hosts_load_and_are_found() -> None:
    hosts = "".join(f"'h{at}.test',\n" for at in range(100_000))
    text = f"[[network.rule]]\nverdict = 'deny'\nhosts = [\n{hosts}]\n"

    (rule,) = read_document(text.encode(), file="p.toml", layer=Layer.USER).network.rules
    found = HostTable((rule,)).rules(parse_host("h99999.test"), 443)

    assert (len(rule.hosts), found) == (100_000, (rule,))


@pytest.mark.slow
def test_a_megabyte_of_faults_is_located_and_nothing_is_applied() -> None:
    text = "[[network.rule]]\nhosts = ['a*b']\nverdict = 'perhaps'\n" * 20_000 + "[network]\n"

    with pytest.raises(PolicyInvalid) as caught:
        read_document(text.encode(), file="p.toml", layer=Layer.USER)

    assert str(caught.value.diagnostics[0]).startswith("p.toml:")


def test_a_key_that_is_written_twice_is_located() -> None:
    assert faults("[network]\ndefault = 'ask'\ndefault = 'deny'\n") == [
        "p.toml:3:17: not valid TOML: cannot overwrite a value"
    ]


def test_the_examples_of_a_rule_in_a_section_are_checked_too() -> None:
    rule = "[[when.commands.rule]]\nid = 'x'\nprefix = ['git', 'push']\nverdict = 'ask'\nmatch = ['git log']\n"

    assert faults(f"[[when]]\nhosts = ['*']\n{rule}") == [
        "p.toml:3:1: rule `x` does not hit its `match` example `git log`"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[when]]\n", "a section says where it applies"),
        ("[[when]]\nhosts = []\n", "`hosts` is empty"),
        ("[[when]]\nfor_agents = ['cluade']\n", "`cluade` matches no agent"),
        ("[[when]]\nhosts = ['a']\nwhen = []\n", "unknown key `when`"),
        ("[limits]\nprocesses = 1\n", "it lies between 16 and 1000000"),
        ("[telemetry]\nrequire_record = false\n", "`require_record` cannot be false"),
        ("[telemetry]\nredact = ['*a*']\n", "`*a*` would hide too much"),
        ("[control_files]\nprotect = ['/etc/x']\n", "is not a path of the workspace"),
        ("[control_files]\nprotect = ['a/../b']\n", "has a component that is empty, `.` or `..`"),
        ("[control_files]\nexempt = ['.git/hooks']\n", "cannot be exempted"),
        ("[control_files]\nexempt = ['Makefile']\n", "is no row of the table"),
        ("[approvals]\napprovers = []\n", "nobody could answer"),
        ("[approvals]\napprovers = ['a b']\n", "neither the name of a user"),
        ("[agents]\nallowed = ['clod']\n", "`clod` is not an agent"),
        ("[network]\nregistries = ['pipi']\n", "`pipi` is not a package manager"),
        ("extends = ['workspace', 'read-only']\n", "only one preset can be the start"),
        ("extends = ['../x']\n", "is not the name of a preset, bundle or profile"),
        ("[[mcp.rule]]\nservers = [\"a\\u0007\"]\nverdict = 'ask'\n", "a character that cannot be seen"),
    ],
)
def test_each_new_section_says_what_is_wrong(text: str, expected: str) -> None:
    (fault,) = faults(text)

    assert expected in fault


@pytest.mark.parametrize(
    "key", ["control_files.exempt = ['.vscode']", "network.registries = ['pip']", "extends = 'python'"]
)
def test_requirements_open_nothing_of_the_new_sections_either(key: str) -> None:
    with pytest.raises(PolicyInvalid):
        read_document(key.encode(), file="requirements.toml", layer=Layer.REQUIREMENTS)
