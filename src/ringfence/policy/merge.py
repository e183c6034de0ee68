"""All layers into one policy: what each says, what it may say, and why each line that does not count does not.

Pure. A layer of the administrator (managed defaults, requirements) is never loosened by a person's; a project that is
not trusted only tightens; a preset's rule is replaced by one of the same id, because presets are ours and not binding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypedDict, TypeVar

import msgspec

from ringfence.model.canonical import digest
from ringfence.model.decision import Risk, Verdict
from ringfence.model.host import HOST_LOOPBACK, parse_host
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.model.shown import PlacedFile
from ringfence.policy.choosing import ORDER, Chosen, displaced, distrust, ordered
from ringfence.policy.conditions import Situation, applies
from ringfence.policy.credentials import overlap
from ringfence.policy.documents import Document, label
from ringfence.policy.effective import (
    BUILT_IN,
    Access,
    AgentPolicy,
    ApprovalPolicy,
    CommandPolicy,
    CommandRule,
    ContentPolicy,
    ControlFilePolicy,
    CredentialPolicy,
    CredentialRule,
    Delegate,
    EnvironmentPolicy,
    HostRule,
    Inactive,
    Inspect,
    Limits,
    McpPolicy,
    McpRule,
    ModelContent,
    NetworkPolicy,
    OnSecret,
    Origin,
    PathRule,
    Policy,
    QuorumRule,
    Remember,
    ReviewerRule,
    StepRule,
    TelemetryPolicy,
    ToolArguments,
    Unseen,
    WebhookRule,
    WorkspaceMode,
)
from ringfence.policy.enforcement import holding, observes, soft_origins
from ringfence.policy.layers import Layer
from ringfence.policy.merge_models import limited_hosts, merged_models
from ringfence.policy.merge_ways import merged_profiles, merged_ways
from ringfence.policy.paths import BINDING, covers
from ringfence.policy.sections.answering import AnsweringSection
from ringfence.policy.sections.reviewer import Ceiling, ReviewerSection

_Rule = TypeVar("_Rule", HostRule, CommandRule, McpRule)
_Value = TypeVar("_Value")

_TIERS = ("C", "B", "A")
_MODES = (WorkspaceMode.DIRECT, WorkspaceMode.STAGED)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the meaning of paths and of sections depends on."""

    home: str
    workspace: str
    situation: Situation = Situation()


def applicable(document: Document, facts: Facts) -> tuple[tuple[Document, ...], tuple[Inactive, ...]]:
    """A document without its sections, then those that apply here as documents of their own; and those that do not."""
    if not document.sections:
        return (document,), ()
    found = [msgspec.structs.replace(document, sections=())]
    inactive: list[Inactive] = []
    for section in document.sections:
        assert section.condition is not None
        outcome = applies(section.condition, facts.situation, home=facts.home, workspace=facts.workspace)
        if outcome.why_not:
            origin = Origin(layer=label(document.layer, document.file), source=section.place)
            inactive.append(Inactive(origin=origin, what="a section", why=outcome.why_not, told=False))
            continue
        distrust = document.distrust or (_CLAIMED if outcome.claimed else "")
        trusted = document.trusted and not outcome.claimed
        found.append(msgspec.structs.replace(section, trusted=trusted, distrust=distrust))
    return tuple(found), tuple(inactive)


def merge(documents: Iterable[Document], *, facts: Facts, chosen: Chosen | None = None) -> Policy:
    """The effective policy of some documents, the first of which is the preset; `chosen` says how it became the one.

    What only observes is left out of it, and is in force in the policy that it carries as `observed`.
    """
    parts = [applicable(document, facts) for document in documents]
    every = tuple(ordered(document for found, _ in parts for document in found))
    merging = _Merging(tuple(map(holding, every)), facts)
    policy = merging.policy()
    if chosen is not None:
        merging.inactive[:0] = chosen.inactive
        merging.origins["extends"] = chosen.origin
    merging.inactive += [one for _, skipped in parts for one in skipped]
    policy = msgspec.structs.replace(
        policy,
        inactive=tuple(sorted(merging.inactive, key=_place)),
        origins=tuple(sorted(merging.origins.items())),
        soft=soft_origins(every),
        observed=_Merging(every, facts).policy() if any(map(observes, every)) else None,
    )
    return msgspec.structs.replace(policy, digest=digest(policy))


_CLAIMED = (
    "the section applies because of a remote that the repository names itself, so it only tightens; name the folder"
    " in `repositories` instead"
)
_UNLIMITED = 1 << 40


class _Answering(TypedDict):
    self_approval: bool
    quorums: tuple[QuorumRule, ...]
    steps: tuple[StepRule, ...]
    break_glass: tuple[tuple[str, ...], ...] | None
    break_glass_minutes: int
    denials_in_a_row: int
    denials_of_50: int
    wait_seconds: int
    webhooks: tuple[WebhookRule, ...]
    delegate: Risk | None


class _Reviewing(TypedDict):
    reviewer: ReviewerRule | None
    reviewer_ceiling: Risk | None
    reviewer_audit_percent: int


class _Merging:
    def __init__(self, documents: tuple[Document, ...], facts: Facts) -> None:
        self.documents = documents
        self.facts = facts
        self.inactive: list[Inactive] = []
        self.origins: dict[str, Origin] = {}

    def skip(self, origin: Origin, what: str, why: str, by: Origin | None = None, *, told: bool = True) -> None:
        """Note that something that was written does not count."""
        self.inactive.append(Inactive(origin=origin, what=what, why=why, by=by, told=told))

    def policy(self) -> Policy:
        preset = next(document for document in self.documents if document.layer is Layer.PRESET)
        tiers = [(document, document.sandbox.min_tier) for document in self.documents]
        tier, _ = self._scalar("sandbox.min_tier", tiers, _TIERS.index, "A")
        modes = [(document, document.workspace_mode) for document in self.documents]
        mode, _ = self._scalar("filesystem.workspace", modes, _MODES.index, WorkspaceMode.DIRECT)
        return Policy(
            preset=preset.file.removesuffix(".toml"),
            filesystem=self._filesystem(),
            network=self._network(),
            commands=CommandPolicy(
                rules=self._rules([(one, one.command_rules) for one in self.documents]),
                profiles=merged_profiles(self.documents, self.facts.home, self.facts.workspace, self.skip),
            ),
            control_files=self._control_files(),
            mcp=self._mcp(),
            credentials=self._credentials(),
            content=self._content(),
            environment=self._environment(),
            approvals=self._approvals(),
            limits=self._limits(),
            ways=merged_ways(self.documents, self.facts.home, self.skip, self.origins),
            agents=AgentPolicy(allowed=tuple(one.agents for one in self.documents if one.agents is not None)),
            telemetry=self._telemetry(),
            model=merged_models(self.documents, self._scalar, self.skip),
            min_tier=tier,
            workspace_mode=mode,
            boundary=self._boundary(),
            # Those of presets and bundles are about what was shipped, not about what people made of it.
            tests=tuple(test for one in self.documents if one.layer is not Layer.PRESET for test in one.tests),
            layers=tuple(
                f"{label(one.layer, one.file)} {one.place or one.file}{_trust(one)}" for one in self.documents
            ),
        )

    def _scalar(
        self,
        key: str,
        values: Iterable[tuple[Document, tuple[_Value, Origin] | None]],
        strictness: Callable[[_Value], int],
        default: _Value,
    ) -> tuple[_Value, Origin]:
        """The value that applies, where higher layers win and none loosens one that binds it."""
        current, origin = default, BUILT_IN
        floor: tuple[_Value, Origin] | None = None
        for document, written in values:
            if written is None:
                continue
            value, at = written
            what = f"`{key} = {current}`"
            if document.layer is Layer.REQUIREMENTS:
                if strictness(value) > strictness(current):
                    self.skip(origin, what, f"{at.source} requires `{value}`", at)
                    current, origin = value, at
                continue
            limit = floor if document.trusted else (current, origin)
            if limit is not None and not document.layer.binds and strictness(value) < strictness(limit[0]):
                why = f"{limit[1].source} says `{limit[0]}`" if document.trusted else distrust(document)
                self.skip(at, f"`{key} = {value}`", why, limit[1])
                continue
            if value != current:
                self.inactive += displaced(what, origin, f"{at.source} says `{value}`", at)
            current, origin = value, at
            if document.layer.binds:
                floor = (value, at)
        self.origins[key] = origin
        return current, origin

    def _filesystem(self) -> tuple[PathRule, ...]:
        binding = [
            rule
            for document in self.documents
            if document.layer.binds
            for rule in document.filesystem
            if rule.access is Access.DENY
        ]
        kept: list[PathRule] = []
        for document in self.documents:
            for rule in document.filesystem:
                if self._path_counts(document, rule, binding):
                    kept.append(rule)
        return tuple(kept)

    def _path_counts(self, document: Document, rule: PathRule, binding: list[PathRule]) -> bool:
        if rule.access is Access.DENY or document.layer.binds:
            return True
        what = f"`{rule.access.value}` of `{rule.pattern}`"
        if not document.trusted:
            self.skip(rule.origin, what, distrust(document))
            return False
        for deny in binding:
            if covers(deny.pattern, rule.pattern, home=self.facts.home, workspace=self.facts.workspace):
                self.skip(rule.origin, what, f"{deny.origin.source} denies `{deny.pattern}`", deny.origin)
                return False
        return True

    def _network(self) -> NetworkPolicy:
        defaults = [(document, document.network.default) for document in self.documents]
        default, origin = self._scalar("network.default", defaults, lambda verdict: verdict.strictness, Verdict.DENY)
        floors = [one.network.default for one in self.documents if one.layer is Layer.REQUIREMENTS]
        written = [floor for floor in floors if floor is not None]
        floor = max(written, key=lambda one: one[0].strictness, default=None)
        ports = self._host_ports()
        return NetworkPolicy(
            default=default,
            default_origin=origin,
            rules=(
                *self._rules([(document, _opening(document)) for document in self.documents]),
                *(_port_rule(port, at) for port, at in ports.items()),
            ),
            host_ports=tuple(ports),
            pass_through=self._passed_through(),
            floor=None if floor is None else floor[0],
            floor_origin=None if floor is None else floor[1],
            inspect=tuple(
                Inspect(hosts=hosts, origin=at) for document in self.documents for hosts, at in document.network.inspect
            ),
            http2=tuple(
                Inspect(hosts=hosts, origin=at) for document in self.documents for hosts, at in document.network.http2
            ),
            limited=tuple(
                Inspect(hosts=hosts, origin=at) for document in self.documents for hosts, at in document.network.limited
            ),
        )

    def _rules(self, layers: list[tuple[Document, tuple[_Rule, ...]]]) -> tuple[_Rule, ...]:
        replaced = {
            rule.id: rule.origin
            for document, rules in layers
            if document.layer in {Layer.MANAGED, Layer.USER, Layer.PROJECT} and document.trusted
            for rule in rules
        }
        kept: list[_Rule] = []
        for document, rules in layers:
            for rule in rules:
                what = f"rule `{rule.id}`"
                if document.layer is Layer.PRESET and rule.id in replaced:
                    by = replaced[rule.id]
                    self.skip(rule.origin, what, f"that of {by.source} takes its place", by, told=False)
                    continue
                if rule.verdict is Verdict.ALLOW and not document.trusted:
                    self.skip(rule.origin, what, distrust(document))
                    continue
                kept.append(rule)
        return tuple(kept)

    def _passed_through(self) -> tuple[str, ...]:
        """Hosts that are not looked into; those that an administrator wants to be seen always are."""
        binding = [document.credentials for document in self.documents if document.layer.binds]
        bound = [(host, rule.origin) for one in binding for rule in one.rules for host in rule.hosts]
        bound += [(host, rule.origin) for one in binding for rule in one.forbidden for host in rule.hosts]
        seen = [one for document in self.documents if document.layer.binds for one in _seen(document)]
        models = limited_hosts(self.documents)
        kept: list[str] = []
        for document in self.documents:
            for pattern, origin in document.network.pass_through:
                what = f"passing `{pattern}` through"
                at = next((at for host, at in bound if overlap(host, pattern)), None)
                if not document.trusted:
                    self.skip(origin, what, distrust(document))
                elif at is not None and not document.layer.binds:
                    why = f"{at.source} speaks about credentials there, so that it has to be looked into"
                    self.skip(origin, what, why, at)
                elif not document.layer.binds and (seeing := [at for host, at in seen if _within(pattern, host)]):
                    why = f"{seeing[0].source} wants what is said there to be looked into"
                    self.skip(origin, what, why, seeing[0])
                elif (said := next((at for host, at in models if overlap(host, pattern)), None)) is not None:
                    why = f"{said.source} limits what is asked of models there, so that it has to be looked into"
                    self.skip(origin, what, why, said)
                else:
                    kept.append(pattern)
                    self.origins.setdefault(f"network.pass_through.{pattern}", origin)
        return tuple(dict.fromkeys(kept))

    def _host_ports(self) -> dict[int, Origin]:
        ports: dict[int, Origin] = {}
        for document in self.documents:
            for port, origin in document.network.host_ports:
                if document.trusted:
                    ports.setdefault(port, origin)
                    self.origins.setdefault(f"network.host_ports.{port}", origin)
                else:
                    self.skip(origin, f"host port {port}", distrust(document))
        return dict(sorted(ports.items()))

    def _environment(self) -> EnvironmentPolicy:
        keep: list[str] = []
        values: dict[str, tuple[str, Document, Origin]] = {}
        for document in self.documents:
            for name, origin in document.environment.keep:
                if document.trusted:
                    keep.append(name)
                    self.origins.setdefault(f"environment.keep.{name}", origin)
                else:
                    self.skip(origin, f"keeping `{name}`", distrust(document))
            for name, value, origin in document.environment.set:
                known = values.get(name)
                what = f"setting `{name}`"
                if not document.trusted:
                    self.skip(origin, what, distrust(document))
                elif known is not None and known[1].layer.binds and not document.layer.binds:
                    self.skip(origin, what, f"{known[2].source} sets it", known[2])
                else:
                    if known is not None:
                        self.skip(known[2], what, f"{origin.source} sets it", origin, told=False)
                    values[name] = (value, document, origin)
                    self.origins[f"environment.set.{name}"] = origin
        removed = [written for document in self.documents for written in document.environment.remove]
        for name, origin in removed:
            self.origins.setdefault(f"environment.remove.{name}", origin)
            for gone in [one for one in values if one == name or (name[-1] == "*" and one.startswith(name[:-1]))]:
                self.skip(values.pop(gone)[2], f"setting `{gone}`", f"{origin.source} removes it", origin)
                self.origins.pop(f"environment.set.{gone}", None)
        files: dict[str, PlacedFile] = {}
        for document in self.documents:
            for file, origin in document.environment.files:
                if document.trusted:
                    files.setdefault(file.path, file)
                else:
                    self.skip(origin, f"the settings `{file.path}`", distrust(document))
        return EnvironmentPolicy(
            keep=tuple(dict.fromkeys(keep)),
            set=tuple(sorted((name, value) for name, (value, _, _) in values.items())),
            remove=tuple(sorted({name for name, _ in removed})),
            files=tuple(files.values()),
        )

    def _control_files(self) -> ControlFilePolicy:
        rows = [(row, origin) for document in self.documents for row, origin in document.control_files.rows]
        exempt: list[str] = []
        for document in self.documents:
            for pattern, origin in document.control_files.exempt:
                if document.trusted:
                    exempt.append(pattern)
                    self.origins.setdefault(f"control_files.exempt.{pattern}", origin)
                else:
                    self.skip(origin, f"exempting `{pattern}`", distrust(document))
        return ControlFilePolicy(
            rows=tuple(row for row, _ in rows),
            origins=tuple(origin for _, origin in rows),
            exempt=tuple(dict.fromkeys(exempt)),
        )

    def _mcp(self) -> McpPolicy:
        written = [(document, document.mcp.default) for document in self.documents]
        default, origin = self._scalar("mcp.default", written, lambda verdict: verdict.strictness, Verdict.ALLOW)
        rules = self._rules([(document, document.mcp.rules) for document in self.documents])
        lists = [(document, document.mcp.changed) for document in self.documents]
        changed, changed_origin = self._scalar("mcp.changed", lists, lambda verdict: verdict.strictness, Verdict.ASK)
        starts = [(document, document.mcp.unseen) for document in self.documents]
        unseen, unseen_origin = self._scalar("mcp.unseen", starts, [*Unseen].index, Unseen.ALLOW)
        return McpPolicy(
            default=default,
            default_origin=origin,
            rules=rules,
            changed=changed,
            changed_origin=changed_origin,
            unseen=unseen,
            unseen_origin=unseen_origin,
            # What a server has to be only tightens, so that every layer may say it.
            servers=tuple(server for document in self.documents for server in document.mcp.servers),
        )

    def _credentials(self) -> CredentialPolicy:
        """Who binds a credential for everybody binds it alone: on its hosts no other one counts."""
        kept: dict[str, tuple[CredentialRule, Document]] = {}
        for document in self.documents:
            for rule in document.credentials.rules:
                what = f"credential `{rule.id}`"
                if not document.trusted:
                    self.skip(rule.origin, what, distrust(document))
                    continue
                taken = next((one for one, by in kept.values() if by.layer.binds and _collide(one, rule)), None)
                if taken is not None and not document.layer.binds:
                    why = f"{taken.origin.source} binds `{taken.id}` for everybody"
                    self.skip(rule.origin, what, why, taken.origin)
                    continue
                for name in [name for name, (one, by) in kept.items() if _displaces(document, rule, by, one)]:
                    self.skip(kept.pop(name)[0].origin, f"credential `{name}`", f"that of {rule.origin.source} counts")
                kept[rule.id] = (rule, document)
        return CredentialPolicy(
            rules=tuple(rule for rule, _ in kept.values()),
            forbidden=tuple(one for document in self.documents for one in document.credentials.forbidden),
        )

    def _content(self) -> ContentPolicy:
        said = [(document, document.content) for document in self.documents]
        order = list(OnSecret)
        on_secret = [(document, one.on_secret) for document, one in said]
        canaries = [(document, one.canaries) for document, one in said]
        unreadable = [(document, one.unreadable) for document, one in said]
        # Whoever repeats what an administrator says does not take it over.
        bound = {one.layer: at for one in self.documents if one.layer.binds for at in _looks(one)}
        if bound:
            self.origins["content"] = bound.get(Layer.REQUIREMENTS) or bound[Layer.MANAGED]
        return ContentPolicy(
            on_secret=self._scalar("content.on_secret", on_secret, order.index, OnSecret.OFF)[0],
            canaries=self._scalar("content.canaries", canaries, int, False)[0],
            unreadable=self._scalar("content.unreadable", unreadable, lambda one: one.strictness, Verdict.ALLOW)[0],
            record_only=self._record_only(),
            budgets=tuple(budget for _, one in said for budget in one.budgets),
        )

    def _record_only(self) -> tuple[str, ...]:
        """Destinations where nothing is stopped: those of the presets, unless somebody has a list of their own, and
        where an administrator says what is looked for, only those of administrators."""
        binding = [one.content for one in self.documents if one.layer.binds]
        strict = [one.on_secret[1] for one in binding if one.on_secret is not None]
        strict += [one.canaries[1] for one in binding if one.canaries is not None]
        own = any(
            one.content.record_only is not None and one.trusted and (one.layer.binds or not strict)
            for one in self.documents
            if one.layer is not Layer.PRESET
        )
        kept: list[str] = []
        for document in self.documents:
            listed = document.content.record_only or ()
            for number, (pattern, origin) in enumerate(listed):
                # Said once for a list, however long it is.
                told, more = number == 0, f" and {len(listed) - 1} more" if len(listed) > 1 else ""
                what = f"only recording at `{pattern}`{more}"
                if not document.trusted:
                    self.skip(origin, what, distrust(document), told=told)
                elif document.layer is Layer.PRESET and own:
                    self.skip(origin, what, "another list takes the place of this one", told=False)
                elif strict and not document.layer.binds and document.layer is not Layer.PRESET:
                    why = f"{strict[0].source} says what happens with secrets for everybody"
                    self.skip(origin, what, why, strict[0], told=told)
                elif any(one.layer is Layer.REQUIREMENTS and one.content.record_only == () for one in self.documents):
                    self.skip(origin, what, "requirements say that findings count everywhere", told=told)
                else:
                    kept.append(pattern)
                    self.origins.setdefault(f"content.record_only.{pattern}", origin)
        return tuple(dict.fromkeys(kept))

    def _approvals(self) -> ApprovalPolicy:
        said = [(document, document.approvals) for document in self.documents]
        timeouts = [(document, one.timeout_seconds) for document, one in said]
        scopes = [(document, one.remember) for document, one in said]
        days = [(document, one.remember_days) for document, one in said]
        people = [(document, "approvers", one.approvers) for document, one in said]
        overriding = [(document, "overriders", one.overriders) for document, one in said]
        order = list(Remember)
        return ApprovalPolicy(
            timeout_seconds=self._scalar("approvals.timeout_seconds", timeouts, lambda value: -value, 300)[0],
            remember=self._scalar("approvals.remember", scopes, lambda one: -order.index(one), Remember.REPO)[0],
            remember_days=self._scalar("approvals.remember_days", days, lambda value: -value, 30)[0],
            approvers=self._people(people),
            overriders=self._people(overriding),
            **self._answering([(document, one.answering) for document, one in said]),
            **self._reviewer([(document, one.reviewer) for document, one in said]),
        )

    def _reviewer(self, said: list[tuple[Document, ReviewerSection]]) -> _Reviewing:
        """The reviewer of the highest layer that has one, never a repository's; and its limits, each the tightest."""
        kept: ReviewerRule | None = None
        binding = False
        own = []
        for document, one in said:
            rule = one.rule
            if document.layer is Layer.PROJECT or not document.trusted:
                if rule is not None:
                    self.skip(rule.origin, "the reviewer", "a repository names no reviewer")
                continue
            own.append((document, one))
            if rule is None:
                continue
            if binding and not document.layer.binds and kept is not None:
                self.skip(rule.origin, "the reviewer", f"{kept.origin.source} has another", kept.origin)
                continue
            if kept is not None:
                self.skip(kept.origin, "the reviewer", f"{rule.origin.source} has another", rule.origin, told=False)
            kept, binding = rule, document.layer.binds
        ceilings = [(document, one.ceiling) for document, one in own]
        order = list(Ceiling)
        ceiling = self._scalar("approvals.reviewer.ceiling", ceilings, lambda value: -order.index(value), Ceiling.LOW)[
            0
        ]
        audits = [(document, one.audit_percent) for document, one in own]
        return _Reviewing(
            reviewer=kept,
            reviewer_ceiling=None if ceiling is Ceiling.NONE else Risk(ceiling.value),
            reviewer_audit_percent=self._scalar("approvals.reviewer.audit_percent", audits, lambda value: value, 0)[0],
        )

    def _answering(self, said: list[tuple[Document, AnsweringSection]]) -> _Answering:
        own = [(document, one.self_approval) for document, one in said]
        minutes = [(document, one.break_glass_minutes) for document, one in said]
        in_a_row = [(document, one.denials_in_a_row) for document, one in said]
        of_recent = [(document, one.denials_of_50) for document, one in said]
        waits = [(document, one.wait_seconds) for document, one in said]
        return _Answering(
            self_approval=self._scalar("approvals.self_approval", own, lambda may: 0 if may else 1, True)[0],
            break_glass=self._break_glass([(document, one.break_glass) for document, one in said]),
            break_glass_minutes=self._scalar("approvals.break_glass_minutes", minutes, lambda value: -value, 60)[0],
            denials_in_a_row=self._scalar("approvals.denials_in_a_row", in_a_row, lambda value: -value, 3)[0],
            denials_of_50=self._scalar("approvals.denials_of_50", of_recent, lambda value: -value, 10)[0],
            quorums=self._quorums([(document, one.quorums) for document, one in said]),
            steps=self._steps([(document, one.steps) for document, one in said]),
            wait_seconds=self._scalar("approvals.wait_seconds", waits, lambda _: 0, 0)[0],
            webhooks=self._webhooks([(document, one.webhooks) for document, one in said]),
            delegate=self._delegate([(document, one.delegate) for document, one in said]),
        )

    def _delegate(self, written: list[tuple[Document, tuple[Delegate, Origin] | None]]) -> Risk | None:
        """How far an agent's own prompt answers. A repository can only say less."""
        said = []
        for document, one in written:
            # SECURITY: a repository brings the settings of agents too, and those can answer their prompts.
            if one is not None and document.layer is Layer.PROJECT and one[0] is not Delegate.NONE:
                self.skip(
                    one[1], "`approvals.delegate`", "only your own policy and the managed one leave questions to it"
                )
            else:
                said.append((document, one))
        order = list(Delegate)
        found = self._scalar("approvals.delegate", said, lambda one: -order.index(one), Delegate.NONE)[0]
        return None if found is Delegate.NONE else Risk(found.value)

    def _webhooks(self, written: list[tuple[Document, tuple[WebhookRule, ...]]]) -> tuple[WebhookRule, ...]:
        """Webhooks of the person and of the administrator; of two with one name, the administrator's."""
        kept: dict[str, WebhookRule] = {}
        for document, rules in sorted(written, key=lambda one: not one[0].layer.binds):
            for rule in rules:
                # SECURITY: a repository would be told of every question, and say who has answered.
                if not document.layer.binds and document.layer is not Layer.USER:
                    self.skip(rule.origin, "a webhook", "only your own policy and the managed one name webhooks")
                elif rule.name in kept:
                    self.skip(rule.origin, "a webhook", f"another one is called `{rule.name}` already")
                else:
                    kept[rule.name] = rule
        return tuple(kept.values())

    def _break_glass(
        self, written: list[tuple[Document, tuple[tuple[str, ...], Origin] | None]]
    ) -> tuple[tuple[str, ...], ...] | None:
        """Who may go ahead without approval: on the word of an administrator, narrowed by requirements."""
        for document, one in written:
            if one is not None and not document.layer.binds:
                self.skip(one[1], "`approvals.break_glass`", "only the managed policy lets anybody break the glass")
        counted = [(document, "break_glass", one) for document, one in written if document.layer.binds]
        opened = any(one is not None and document.layer is Layer.MANAGED for document, _, one in counted)
        found = self._people(counted)
        return found if opened else None

    def _quorums(self, written: list[tuple[Document, tuple[QuorumRule, ...]]]) -> tuple[QuorumRule, ...]:
        """Every set of people that counts: each is one more that has to be met."""
        for document, rules in written:
            for rule in rules if not document.trusted else ():
                self.skip(rule.origin, "a set of approvers", distrust(document))
        return tuple(rule for document, rules in written if document.trusted for rule in rules)

    def _steps(self, written: list[tuple[Document, tuple[StepRule, ...]]]) -> tuple[StepRule, ...]:
        """The ladder of the highest layer that has one; those of administrators stand above a person's."""
        kept: tuple[StepRule, ...] = ()
        binding = False
        for document, steps in written:
            if not steps:
                continue
            if not document.trusted:
                self.skip(steps[0].origin, "the ladder", distrust(document))
            elif binding and not document.layer.binds:
                self.skip(steps[0].origin, "the ladder", f"{kept[0].origin.source} has another", kept[0].origin)
            else:
                if kept:
                    why = f"{steps[0].origin.source} has another"
                    self.skip(kept[0].origin, "the ladder", why, steps[0].origin, told=False)
                kept, binding = steps, document.layer.binds
        return kept

    def _people(
        self, written: list[tuple[Document, str, tuple[tuple[str, ...], Origin] | None]]
    ) -> tuple[tuple[str, ...], ...]:
        """Every list of people that counts: each narrows the others. A repository never says who answers."""
        found = []
        for document, key, one in written:
            if one is None:
                continue
            names, origin = one
            if document.trusted:
                found.append(names)
                self.origins[f"approvals.{key}.{len(found)}"] = origin
            else:
                self.skip(origin, f"`approvals.{key}`", distrust(document))
        return tuple(dict.fromkeys(found))

    def _limits(self) -> Limits:
        found = {}
        for key in Limits.__struct_fields__:
            written: list[tuple[Document, tuple[int, Origin] | None]] = [
                (document, getattr(document.limits, key)) for document in self.documents
            ]
            value, _ = self._scalar(f"limits.{key}", written, lambda most: -most, _UNLIMITED)
            found[key] = None if value == _UNLIMITED else value
        return Limits(**found)

    def _boundary(self) -> str:
        """What holds a session of tier C. Only who may loosen can declare it."""
        found = ""
        for document in self.documents:
            if document.sandbox.boundary is None:
                continue
            text, at = document.sandbox.boundary
            if document.trusted:
                found = text
                self.origins["sandbox.boundary"] = at
            else:
                self.skip(at, "`sandbox.boundary`", distrust(document))
        return found

    def _telemetry(self) -> TelemetryPolicy:
        order = list(ToolArguments)
        written = [(one, one.telemetry.tool_arguments if one.trusted else None) for one in self.documents]
        arguments, origin = self._scalar(
            "telemetry.tool_arguments", written, lambda one: -order.index(one), ToolArguments.FULL
        )
        redact: list[str] = []
        for document in self.documents:
            said = document.telemetry
            if not document.trusted and said.tool_arguments is not None:
                self.skip(said.tool_arguments[1], "`telemetry.tool_arguments`", distrust(document))
            for glob, at in said.redact:
                if not document.trusted:
                    self.skip(at, f"redacting `{glob}`", distrust(document))
                elif origin.layer in BINDING and arguments is ToolArguments.FULL and not document.layer.binds:
                    self.skip(at, f"redacting `{glob}`", f"{origin.source} wants the whole of the record", origin)
                else:
                    redact.append(glob)
                    self.origins.setdefault(f"telemetry.redact.{glob}", at)
        said_content = [(one, one.telemetry.model_content if one.trusted else None) for one in self.documents]
        contents = list(ModelContent)
        content, _ = self._scalar("telemetry.model_content", said_content, contents.index, ModelContent.DIGEST)
        for document in self.documents:
            if not document.trusted and document.telemetry.model_content is not None:
                self.skip(document.telemetry.model_content[1], "`telemetry.model_content`", distrust(document))
        return TelemetryPolicy(tool_arguments=arguments, redact=tuple(dict.fromkeys(redact)), model_content=content)


def _collide(one: CredentialRule, other: CredentialRule) -> bool:
    return one.id == other.id or any(overlap(first, second) for first in one.hosts for second in other.hosts)


def _displaces(document: Document, rule: CredentialRule, by: Document, one: CredentialRule) -> bool:
    """Whether a rule takes the place of another of a lower layer, or of people where it binds them."""
    return one.id == rule.id or (document.layer.binds and not by.layer.binds and _collide(one, rule))


def _seen(document: Document) -> Iterator[tuple[str, Origin]]:
    """The destinations that a document wants to be looked into: for what leaves, every one."""
    network = document.network
    yield from (*network.inspect, *network.limited, *network.http2, *(("*", at) for at in _looks(document)))


def _within(pattern: str, wider: str) -> bool:
    """Whether all of a pattern is certainly within another. What is in part is told apart for each connection."""
    one, other = HostPattern.parse(pattern), HostPattern.parse(wider)
    if other.port not in (None, one.port):
        return False
    same = msgspec.structs.replace(one, port=other.port) == other
    exact = one.kind is PatternKind.EXACT and other.matches(parse_host(one.name), other.port or 0)
    return other.kind is PatternKind.ANY or same or exact


def _looks(document: Document) -> Iterator[Origin]:
    """Where a document says that requests are looked into for what they carry."""
    said = document.content
    if said.on_secret is not None and said.on_secret[0] is not OnSecret.OFF:
        yield said.on_secret[1]
    if said.canaries is not None and said.canaries[0]:
        yield said.canaries[1]


def _opening(document: Document) -> tuple[HostRule, ...]:
    """The host rules of a document; those of a layer that only tightens cannot turn a default deny into a question."""
    if document.trusted and document.layer is not Layer.REQUIREMENTS:
        return document.network.rules
    return tuple(msgspec.structs.replace(rule, opens=False) for rule in document.network.rules)


def _place(inactive: Inactive) -> tuple[int, str, int]:
    """Where something stands, for sorting: by layer, file and line."""
    layer = inactive.origin.layer.partition(":")[0]
    file, _, line = inactive.origin.source.rpartition(":")
    order = next((at for at, one in enumerate(ORDER) if one.value == layer), -1)
    return order, file, int(line) if line.isdecimal() else 0


def _trust(document: Document) -> str:
    if document.trusted:
        return ""
    return " (not trusted: only tightens)" if document.layer is Layer.PROJECT else " (only tightens)"


def _port_rule(port: int, origin: Origin) -> HostRule:
    """A port of the host that was asked for is a destination that is allowed: one line of policy, not two."""
    return HostRule(
        id=f"network.host_ports.{port}",
        hosts=(f"{HOST_LOOPBACK}:{port}",),
        verdict=Verdict.ALLOW,
        reason="named in `network.host_ports`",
        origin=origin,
    )
