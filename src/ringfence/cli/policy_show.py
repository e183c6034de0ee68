"""`ringfence policy show`: the effective policy, for people or as JSON, with who wrote what."""

from __future__ import annotations

import json
import sys

import msgspec

from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.display import visible
from ringfence.policy.compare.models import price_text
from ringfence.policy.compare.values import bound_text, budget_text
from ringfence.policy.effective import (
    Access,
    CommandProfile,
    CommandRule,
    CredentialPolicy,
    HostRule,
    Limits,
    McpRule,
    Origin,
    Policy,
)
from ringfence.policy.judges.model import amount


def show(policy: Policy, *, as_json: bool, origins: bool) -> None:
    """Print the effective policy."""
    if as_json:
        plain = msgspec.to_builtins(policy)
        print(json.dumps({"schema": 1, **plain, "origins": dict(plain["origins"]), "notices": policy.notices}))
        return
    printing = _Printing(Palette(colour=wants_colour(sys.stdout)), origins=origins)
    printing.all(policy)


class _Printing:
    def __init__(self, palette: Palette, *, origins: bool) -> None:
        self.palette = palette
        self.origins = origins

    def all(self, policy: Policy) -> None:
        self.head(f"preset {policy.preset}", policy.origin_of("extends"))
        self.line(f"digest {policy.digest}")
        for layer in policy.layers:
            self.line(f"layer {layer}")
        self.filesystem(policy)
        self.network(policy)
        self.credentials(policy)
        self.content(policy)
        self.models(policy)
        self.commands(policy)
        self.rest(policy)
        self.sections(policy)
        self.inactive(policy)

    def filesystem(self, policy: Policy) -> None:
        self.head("filesystem: the most specific path wins; on the same path deny, then write, then read")
        for access in (Access.WRITE, Access.READ, Access.DENY):
            for rule in policy.filesystem:
                if rule.access is access:
                    self.line(f"{access.value:<6} {rule.pattern}", rule.origin)

    def network(self, policy: Policy) -> None:
        network = policy.network
        self.head("network")
        self.line(f"default {network.default.value} for hosts that no rule names", network.default_origin)
        if network.floor is not None:
            self.line(f"at least {network.floor.value} where no managed rule allows", network.floor_origin)
        for rule in network.rules:
            self.line(f"{rule.verdict.value:<6} {_host_rule(rule)}", rule.origin)
        for port in network.host_ports:
            self.line(f"host port {port}", policy.origin_of(f"network.host_ports.{port}"))
        for one in network.inspect:
            self.line(f"inspect {one.hosts}", one.origin)
        for one in network.http2:
            self.line(f"inspect {one.hosts}, with HTTP/2", one.origin)
        for one in network.limited:
            self.line(f"only reading {one.hosts}", one.origin)
        for pattern in network.pass_through:
            self.line(f"not inspected {pattern}", policy.origin_of(f"network.pass_through.{pattern}"))

    def commands(self, policy: Policy) -> None:
        self.head("commands: deny, then ask, then allow; what no rule names runs inside the sandbox")
        for rule in sorted(policy.commands.rules, key=lambda rule: -rule.verdict.strictness):
            self.line(f"{rule.verdict.value:<6} {_command_rule(rule)}", rule.origin)

    def credentials(self, policy: Policy) -> None:
        """Only where there are some: their names and where they are, never their values."""
        said = policy.credentials
        if said == CredentialPolicy():
            return
        self.head("credentials: hosts with one, or with none at all, take no others")
        for rule in said.rules:
            self.line(f"bind   {rule.id}: {bound_text(rule)}{_why(rule.reason)}", rule.origin)
        for none in said.forbidden:
            self.line(f"forbid {' '.join(none.hosts)}{_why(none.reason)}", none.origin)

    def content(self, policy: Policy) -> None:
        """Only where somebody wrote it."""
        said = policy.content
        if not said.looks and not said.budgets:
            return
        self.head("content: what is looked for in requests, and how much may be sent")
        self.line(f"secrets: {said.on_secret.value}", policy.origin_of("content.on_secret"))
        if said.canaries:
            self.line("canaries lie inside", policy.origin_of("content.canaries"))
        text = f"what cannot be looked into: {said.unreadable.value}"
        self.line(text, policy.origin_of("content.unreadable"))
        for pattern in said.record_only:
            self.line(f"only recorded at {pattern}", policy.origin_of(f"content.record_only.{pattern}"))
        for budget in said.budgets:
            self.line(f"budget {budget_text(budget)}", budget.origin)

    def models(self, policy: Policy) -> None:
        """Only where the traffic with models is read."""
        said = policy.model
        if not said.reads:
            return
        origins = dict(said.origins)
        self.head("models: what is asked of them, and what they answer, is read and put on record")
        for host in said.hosts:
            self.line(f"asked at {host.hosts}", host.origin)
        for listed in said.allowed:
            self.line(f"only {' '.join(listed.models)}", listed.origin)
        if said.budget_tokens is not None:
            self.line(f"at most {said.budget_tokens:,} tokens in a session", origins["budget_tokens"])
        if said.budget_cost is not None:
            self.line(f"at most {amount(said.budget_cost)} in a session", origins["budget_cost"])
        if said.unpriced:
            self.line(said.unpriced, origins["budget_cost"])
        for price in said.prices:
            self.line(f"a million tokens of {price_text(price)}", price.origin)
        for route in said.routes:
            self.line(f"requests to {' '.join(route.hosts) or 'all of them'} go to {route.url}", route.origin)
        content = f"prompts and refusals are recorded as {policy.telemetry.model_content.value}"
        self.line(content, policy.origin_of("telemetry.model_content"))

    def rest(self, policy: Policy) -> None:
        self.head("environment, approvals, sandbox")
        for name in policy.environment.keep:
            self.line(f"keep {name}", policy.origin_of(f"environment.keep.{name}"))
        for name, value in policy.environment.set:
            self.line(f"set {name}={value}", policy.origin_of(f"environment.set.{name}"))
        for name in policy.environment.remove:
            self.line(f"remove {name}", policy.origin_of(f"environment.remove.{name}"))
        seconds = f"an unanswered question is a deny after {policy.approvals.timeout_seconds} seconds"
        self.line(seconds, policy.origin_of("approvals.timeout_seconds"))
        answers = policy.approvals
        self.line(f"an answer reaches as far as {answers.remember.value}", policy.origin_of("approvals.remember"))
        for key, lists in (("approvers", answers.approvers), ("overriders", answers.overriders)):
            for number, names in enumerate(lists, 1):
                self.line(f"{key} {' '.join(names)}", policy.origin_of(f"approvals.{key}.{number}"))
        if answers.wait_seconds:
            text = f"an agent waits {answers.wait_seconds} seconds for an answer, then its question is queued"
            self.line(text, policy.origin_of("approvals.wait_seconds"))
        self.answering(policy)
        for hook in answers.webhooks:
            people = " ".join(name for _, name in hook.users) or "nobody"
            self.line(f"webhook {hook.name} ({hook.kind.value}) is told, and brings answers of {people}", hook.origin)
        self.line(f"sandbox of tier {policy.min_tier} or better", policy.origin_of("sandbox.min_tier"))
        self.line(f"workspace {policy.workspace_mode.value}", policy.origin_of("filesystem.workspace"))
        if policy.boundary:
            self.line(f"boundary of tier C: {visible(policy.boundary)}", policy.origin_of("sandbox.boundary"))

    def answering(self, policy: Policy) -> None:
        """Who has to answer, where somebody wrote it."""
        said = policy.approvals
        if not said.self_approval:
            self.line("whoever runs a session does not approve it", policy.origin_of("approvals.self_approval"))
        for one in said.quorums:
            about = f" for {', '.join(one.rules)}" if one.rules else ""
            how = f"from {one.risk.value} risk, by {one.assurance.value} or better"
            self.line(f"{one.approve} of {', '.join(one.who)} have to approve{about}, {how}", one.origin)
        for step in said.steps:
            self.line(f"asked after {step.after_seconds} seconds: {', '.join(step.who)}", step.origin)
        if said.break_glass is not None:
            people = " and ".join(", ".join(names) for names in said.break_glass)
            origin = policy.origin_of("approvals.break_glass_minutes")
            self.line(f"{people} can break the glass for {said.break_glass_minutes} minutes", origin)
        if said.reviewer is not None:
            most = "nothing" if said.reviewer_ceiling is None else f"{said.reviewer_ceiling.value} risk at most"
            self.line(f"a reviewer ({said.reviewer.kind.value}) may allow {most}", said.reviewer.origin)
        if said.delegate is not None:
            text = f"`--ask delegated` leaves questions to the agent's own prompt up to {said.delegate.value} risk"
            self.line(text, policy.origin_of("approvals.delegate"))

    def sections(self, policy: Policy) -> None:
        """What is only shown where somebody wrote it."""
        self.head("control files, MCP, limits, agents, record")
        named = policy.control_files
        for row, origin in zip(named.rows, named.origins, strict=True):
            self.line(f"{row.direct.value:<7} {row.pattern}", origin)
        for pattern in named.exempt:
            self.line(f"exempt  {pattern}", policy.origin_of(f"control_files.exempt.{pattern}"))
        self.line(f"MCP tools that no rule names: {policy.mcp.default.value}", policy.mcp.default_origin)
        for rule in policy.mcp.rules:
            self.line(f"{rule.verdict.value:<6} {_mcp_rule(rule)}", rule.origin)
        self.line(f"MCP servers with another list of tools: {policy.mcp.changed.value}", policy.mcp.changed_origin)
        self.line(f"sessions with MCP servers that start unseen: {policy.mcp.unseen.value}", policy.mcp.unseen_origin)
        for server in policy.mcp.servers:
            self.line(f"server {server.name} is {server.url or ' '.join(server.command)}", server.origin)
        for key in Limits.__struct_fields__:
            value = getattr(policy.limits, key)
            if value is not None:
                self.line(f"{key} at most {value}", policy.origin_of(f"limits.{key}"))
        self.ways(policy)
        for names, origin in policy.agents.allowed:
            self.line(f"agents {' '.join(names)}", origin)
        arguments = f"arguments of tool calls are recorded as {policy.telemetry.tool_arguments.value}"
        self.line(arguments, policy.origin_of("telemetry.tool_arguments"))
        for glob in policy.telemetry.redact:
            self.line(f"redact {glob}", policy.origin_of(f"telemetry.redact.{glob}"))
        if policy.soft:
            self.line(f"may be overridden: {' '.join(origin.source for origin in policy.soft)}")
        if policy.observed is not None:
            self.observed(policy, policy.observed)

    def ways(self, policy: Policy) -> None:
        """What is opened between the sandbox and the host, and which commands have a plan of their own."""
        ways = policy.ways
        for path in ways.sockets:
            self.line(f"open    socket {path}", policy.origin_of(f"sandbox.sockets.{path}"))
        for path in ways.devices:
            self.line(f"open    device {path}", policy.origin_of(f"sandbox.devices.{path}"))
        for port in ways.publish:
            text = f"publish port {port.inside} of the sandbox as {port.host} of this machine"
            self.line(text, policy.origin_of(f"sandbox.publish.{port.host}"))
        for agent in ways.ssh_agent:
            self.line(f"open    ssh-agent: {' '.join(agent.keys)} for {' '.join(agent.hosts)}", agent.origin)
        for bus in ways.dbus:
            self.line(f"open    {bus.bus} bus: {' '.join(bus.talk)}", bus.origin)
        for key in ("nested_namespaces", "outside"):
            if getattr(ways, key):
                self.line(f"open    {key}", policy.origin_of(f"sandbox.{key}"))
        for profile in policy.commands.profiles:
            self.line(f"profile {_profile(profile)}", profile.origin)

    def observed(self, policy: Policy, watching: Policy) -> None:
        """What only says what it would have done."""
        self.head("observed: decides nothing; every decision says what it would have changed")
        held = {rule.origin for rule in policy.network.rules} | {rule.origin for rule in policy.commands.rules}
        held |= {rule.origin for rule in policy.mcp.rules} | {rule.origin for rule in policy.filesystem}
        for path in watching.filesystem:
            if path.origin not in held:
                self.line(f"{path.access.value:<6} {path.pattern}", path.origin)
        rules: list[HostRule | CommandRule | McpRule] = [*watching.network.rules, *watching.commands.rules]
        for rule in (*rules, *watching.mcp.rules):
            if rule.origin not in held:
                self.line(f"{rule.verdict.value:<6} {rule.id}", rule.origin)
        for key, before, after in (
            ("network.default", policy.network.default, watching.network.default),
            ("network floor", policy.network.floor, watching.network.floor),
            ("mcp.default", policy.mcp.default, watching.mcp.default),
            ("mcp.changed", policy.mcp.changed, watching.mcp.changed),
            ("mcp.unseen", policy.mcp.unseen, watching.mcp.unseen),
        ):
            if before is not after and after is not None:
                self.line(f"{key} {after.value}")

    def inactive(self, policy: Policy) -> None:
        """What does not count. What its own author replaced is shown to who asks for origins."""
        shown = [one for one in policy.inactive if one.told or self.origins]
        self.head("inactive: written, and without effect" if shown else "no line is inactive")
        for one in shown:
            self.line(str(one))

    def head(self, text: str, origin: Origin | None = None) -> None:
        print(f"{self.palette.bold(visible(text))}{self._place(origin)}")

    def line(self, text: str, origin: Origin | None = None) -> None:
        print(f"  {visible(text)}{self._place(origin)}")

    def _place(self, origin: Origin | None) -> str:
        if origin is None or not self.origins:
            return ""
        return "  " + self.palette.dim(visible(f"({origin.layer}, {origin.source})"))


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


def _mcp_rule(rule: McpRule) -> str:
    arguments = " ".join(f"{key}={glob}" for key, glob in rule.arguments)
    parts = (f"{rule.id}:", " ".join(rule.servers), "/", " ".join(rule.tools), arguments)
    why = f": {rule.reason}" if rule.reason else ""
    return f"{' '.join(part for part in parts if part)}{why}"


def _profile(profile: CommandProfile) -> str:
    shown = " ".join(words[0] if len(words) == 1 else f"({'|'.join(words)})" for words in profile.prefix)
    parts = [f"{rule.access.value} {rule.pattern}" for rule in profile.paths]
    parts += [("only " if profile.only_hosts else "") + f"hosts {' '.join(profile.hosts)}"] if profile.hosts else []
    parts += ["no hosts"] if profile.only_hosts and not profile.hosts else []
    parts += [f"keep {name}" for name in profile.keep] + [f"set {name}" for name, _ in profile.set]
    parts += [f"remove {name}" for name in profile.remove] + (["outside the sandbox"] if profile.outside else [])
    why = f": {profile.reason}" if profile.reason else ""
    return f"{profile.id}: {shown} ({', '.join(parts)}){why}"


def _host_rule(rule: HostRule) -> str:
    predicates = " ".join(f"{key}={glob}" for key, glob in (*rule.query, *rule.headers))
    keys = f"host keys {' '.join(rule.host_keys)}" if rule.host_keys else ""
    parts = (
        *(" ".join(rule.hosts), rule.protocol, keys),
        *(",".join(rule.methods), " ".join(rule.paths), ",".join(rule.operations), predicates),
    )
    why = f": {rule.reason}" if rule.reason else ""
    return f"{' '.join(part for part in parts if part)}{why}"


def _command_rule(rule: CommandRule) -> str:
    shown = [words[0] if len(words) == 1 else f"({'|'.join(words)})" for words in rule.prefix]
    effects = f"that {' or '.join(rule.effects)}" if rule.effects else ""
    objects = f"({' '.join(rule.objects)})" if rule.objects else ""
    why = f": {rule.reason}" if rule.reason else ""
    what = " ".join(part for part in (*shown, effects, objects) if part)
    return f"{rule.id}: {what}{why}"
