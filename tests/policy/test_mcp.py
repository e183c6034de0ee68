"""What a server of tools has to be, and what holds where its tools are not those that they were."""

from __future__ import annotations

import msgspec
import pytest
from tests.policy.making import document, judge, policy
from tests.policy.test_documents import faults

from ringfence.model.action import McpAction, ServerFacts
from ringfence.model.decision import Verdict
from ringfence.policy.effective import Unseen
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.layers import Layer
from ringfence.policy.mcp_identity import address, command_identity


def evaluator(text: str) -> Evaluator:
    return judge(policy(document(text)))


KNOWN = "sha256:" + "a" * 64
SERVERS = f"""
[[mcp.server]]
name = "files"
command = ["npx", "-y", "@acme/files@1.2.3"]

[[mcp.server]]
name = "docs"
url = "https://mcp.example.com/docs"
tools = ["{KNOWN}"]
"""


def call(server: str, identity: str | None = None, tools: str = "", changed: str = "") -> McpAction:
    facts = msgspec.UNSET if identity is None else ServerFacts(identity=identity, tools=tools, changed=changed)
    return McpAction(server=server, tool="t", facts=facts)


FILES = command_identity(["npx", "-y", "@acme/files@1.2.3"])


@pytest.mark.parametrize(
    ("action", "rule"),
    [
        (call("files", FILES), ""),
        (call("Files", command_identity(["npx", "-y", "@acme/files@1.2.4"])), "mcp.server:files"),
        (call("files", command_identity(["npx", "-y @acme/files@1.2.3"])), "mcp.server:files"),
        (call("files"), "mcp.server:files"),
        (call("others", FILES), ""),
        (call("mcp.example.com", "https://mcp.example.com/docs", KNOWN), ""),
        (call("mcp.example.com", "https://mcp.example.com/docs", "sha256:" + "b" * 64), "mcp.server:docs"),
        (call("mcp.example.com", "https://mcp.example.com/elsewhere", KNOWN), "mcp.server:docs"),
        (call("mcp.example.com"), ""),
        (call("docs", FILES), "mcp.server:docs"),
        (call("docs"), ""),
    ],
)
def test_a_server_of_a_name_or_host_is_what_the_policy_says_or_denied(action: McpAction, rule: str) -> None:
    decision = evaluator(SERVERS).evaluate(action)

    assert decision.verdict is (Verdict.DENY if rule else Verdict.ALLOW)
    assert decision.because is None or not rule or decision.because.rule == rule


@pytest.mark.parametrize("changed", ["allow", "ask", "deny"])
@pytest.mark.parametrize("default", ["allow", "ask", "deny"])
def test_tools_that_changed_are_judged_beside_everything_else(changed: str, default: str) -> None:
    evaluating = evaluator(f'[mcp]\nchanged = "{changed}"\ndefault = "{default}"\n')

    decision = evaluating.evaluate(call("s", "command:1", "sha256:1", "new: `t`"))

    assert decision.verdict is max(Verdict(changed), Verdict(default), key=lambda one: one.strictness)
    assert evaluating.evaluate(call("s", "command:1", "sha256:1")).verdict is Verdict(default)


def test_without_a_word_about_it_a_change_asks() -> None:
    assert evaluator("").evaluate(call("s", "command:1", "sha256:1", "new: `t`")).verdict is Verdict.ASK


def test_a_list_that_the_policy_names_is_no_change() -> None:
    action = call("mcp.example.com", "https://mcp.example.com/docs", KNOWN, "new: `t`")

    assert evaluator(SERVERS).evaluate(action).verdict is Verdict.ALLOW


def test_a_list_is_judged_by_what_changed_and_not_by_rules_about_tools() -> None:
    evaluating = evaluator('[mcp]\ndefault = "deny"\n')
    facts = ServerFacts(identity="command:1", tools="sha256:1", listing=True)

    assert evaluating.evaluate(McpAction(server="s", tool="tools/list", facts=facts)).verdict is Verdict.ALLOW
    changed = msgspec.structs.replace(facts, changed="new: `t`")
    assert evaluating.evaluate(McpAction(server="s", tool="tools/list", facts=changed)).verdict is Verdict.ASK


def test_what_is_said_to_a_server_of_the_policy_is_looked_into() -> None:
    evaluating = evaluator(SERVERS)

    assert evaluating.needs_request("mcp.example.com", 443)
    assert not evaluating.needs_request("mcp.example.com", 444)
    assert evaluating.inspects


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('name = "a"', "a `command` or a `url`"),
        ('name = "a"\ncommand = ["x"]\nurl = "https://h/"', "a `command` or a `url`"),
        ('command = ["x"]', "`name` is missing"),
        ('name = "a"\nurl = "https://h/?key=1"', "is no `https://HOST/PATH`"),
        ('name = "a"\nurl = "https://u:p@h/"', "is no `https://HOST/PATH`"),
        ('name = "a"\nurl = "ftp://h/"', "is no `https://HOST/PATH`"),
        ('name = "a"\ncommand = ["x"]\ntools = ["sha256:1"]', "is no digest"),
        ('name = "a"\ncommand = ["x"]\ntools = []', "`tools` is empty"),
        ('name = "a"\ncommand = ["x"]\n[[mcp.server]]\nname = "A"\ncommand = ["y"]', "already described"),
    ],
)
def test_a_server_that_is_described_badly_is_a_fault(text: str, fault: str) -> None:
    assert any(fault in one for one in faults(f"[[mcp.server]]\n{text}\n"))


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("https://MCP.Example.com", "https://mcp.example.com/"),
        ("https://mcp.example.com:443/a", "https://mcp.example.com/a"),
        ("http://mcp.example.com:8080/a", "http://mcp.example.com:8080/a"),
        ("https://mcp.example.com/a#b", None),
        ("https://mcp.example.com:99999/", None),
        ("mcp.example.com", None),
    ],
)
def test_an_address_has_one_spelling(url: str, identity: str | None) -> None:
    assert address(url) == identity


def test_a_project_that_is_not_trusted_describes_servers_and_does_not_take_changed_tools() -> None:
    project = document(f'{SERVERS}\n[mcp]\nchanged = "allow"\n', Layer.PROJECT)

    merged = policy(msgspec.structs.replace(project, trusted=False, distrust="it is not trusted"))

    assert merged.mcp.changed is Verdict.ASK
    assert [server.name for server in merged.mcp.servers] == ["files", "docs"]


@pytest.mark.parametrize("order", [(Layer.REQUIREMENTS, Layer.USER), (Layer.USER, Layer.REQUIREMENTS)])
def test_the_stricter_one_wins_about_servers_that_start_unseen(order: tuple[Layer, Layer]) -> None:
    values = {order[0]: "deny", order[1]: "allow"}

    merged = policy(*(document(f'[mcp]\nunseen = "{value}"\n', layer) for layer, value in values.items()))

    required = order[0] is Layer.REQUIREMENTS
    assert merged.mcp.unseen is Unseen.DENY
    assert merged.mcp.unseen_origin.layer == ("requirements" if required else "user")


def test_a_project_that_is_not_trusted_does_not_let_servers_start_unseen() -> None:
    project = msgspec.structs.replace(
        document('[mcp]\nunseen = "allow"\n', Layer.PROJECT), trusted=False, distrust="it is not trusted"
    )
    own = document('[mcp]\nunseen = "deny"\n', Layer.USER)

    assert policy(own, project).mcp.unseen is Unseen.DENY
