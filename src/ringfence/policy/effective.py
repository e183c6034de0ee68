"""The effective policy: what remains when every layer has been read, checked and merged. Frozen, and the same on every
machine for the same documents, so that its digest says exactly what was in force."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.model.action import EffectKind
from ringfence.model.decision import Risk, Verdict
from ringfence.model.shown import PlacedFile
from ringfence.model.vote import Authentication
from ringfence.policy.control_files import ControlFile
from ringfence.policy.layers import Enforcement


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value was written."""

    layer: str
    """`requirements`, `managed`, `user`, `project`, `session`, `preset:NAME` or `built-in`."""
    source: str
    """`file:line`."""


BUILT_IN = Origin(layer="built-in", source="ringfence")
"""Where a value comes from that nobody wrote."""


class Inactive(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was written and does not count, and why."""

    origin: Origin
    what: str
    """What was written, in words that a sentence can begin with."""
    why: str
    by: Origin | None = None
    """What stands in its way, where that was written somewhere."""
    told: bool = True
    """False where its author meant it so, such as an own value in place of a preset's: shown, but never a notice."""

    def __str__(self) -> str:
        return f"{self.origin.source}: {self.what} does not apply: {self.why}"


class Access(StrEnum):
    """What a path rule gives. On the same path deny wins over write, and write over read."""

    READ = "read"
    WRITE = "write"
    DENY = "deny"


class PathRule(msgspec.Struct, frozen=True, kw_only=True):
    """One path or glob and what it gives. The most specific rule that matches a path decides."""

    pattern: str
    """As written, with tokens: `~/x`, `/x`, `:workspace`, `:workspace/x`, `:tmp`, `:home`, or a glob such as
    `**/*.pem`, which is relative to the workspace."""
    access: Access
    origin: Origin
    reason: str = ""


class HostRule(msgspec.Struct, frozen=True, kw_only=True):
    """Destinations and what may be done with them."""

    id: str
    hosts: tuple[str, ...]
    """Normalised: exact, `*.x` (subdomains), `**.x` (apex too), each with an optional `:port`; address literals
    and CIDR ranges, which declare that private addresses are meant."""
    methods: tuple[str, ...] = ()
    """Upper case; empty means any."""
    paths: tuple[str, ...] = ()
    """Globs; empty means any."""
    operations: tuple[str, ...] = ()
    """What requests do, as the gateway reads it; empty means anything."""
    query: tuple[tuple[str, str], ...] = ()
    """Keys of the query, each with a glob that its value has to match."""
    headers: tuple[tuple[str, str], ...] = ()
    """Header fields in lower case, each with a glob that its value has to match."""
    verdict: Verdict
    private: bool = False
    """Whether a name may lead to an address of one's own network, whose range nobody has to know."""
    protocol: str = ""
    """What is spoken there, where it is not HTTP or TLS; every host of such a rule has a port."""
    host_keys: tuple[str, ...] = ()
    """For SSH: the keys that the server may show, whole or as `SHA256:...`; `*` for any."""
    reason: str = ""
    origin: Origin
    opens: bool = True
    """False where its layer only tightens: then it never stands in for a stricter default."""
    enforcement: Enforcement | None = None
    """How strictly it is meant; as its document is, where it says nothing."""

    @property
    def looks_at_requests(self) -> bool:
        """Whether more than the destination has to be known to say whether it speaks."""
        return bool(self.methods or self.paths or self.operations or self.query or self.headers)


class McpRule(msgspec.Struct, frozen=True, kw_only=True):
    """Tools of MCP servers and what may be done with them."""

    id: str
    servers: tuple[str, ...] = ("*",)
    """Globs over the name that the agent's settings give the server."""
    tools: tuple[str, ...] = ("*",)
    """Globs over the tool's name."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Dotted keys of the arguments, each with a glob that its value has to match."""
    verdict: Verdict
    reason: str = ""
    origin: Origin
    enforcement: Enforcement | None = None


class CommandRule(msgspec.Struct, frozen=True, kw_only=True):
    """Commands by the beginning of their argument vector, by what they do, or by both at once."""

    id: str
    prefix: tuple[tuple[str, ...], ...] = ()
    """For each position the words that match there; empty where only effects are named."""
    effects: tuple[EffectKind, ...] = ()
    """Kinds of effect, one of which the command must have; empty where only the prefix is named."""
    objects: tuple[str, ...] = ()
    """Globs, one of which the object of that effect must fit; empty means any."""
    verdict: Verdict
    reason: str = ""
    unless: tuple[tuple[tuple[str, ...], ...], ...] = ()
    """Argument vectors, exactly as written, that the rule does not speak about. One that ends with `...` may have
    further operands, but no options."""
    undoable: tuple[str, ...] = ()
    """Globs over objects of the effects: where nothing else is at stake, a snapshot can stand in for the question."""
    match: tuple[str, ...] = ()
    not_match: tuple[str, ...] = ()
    origin: Origin
    enforcement: Enforcement | None = None
    """How strictly it is meant; as its document is, where it says nothing."""


class Inspect(msgspec.Struct, frozen=True, kw_only=True):
    """Destinations whose TLS the gateway ends."""

    hosts: str
    """A pattern, normalised like those of a host rule."""
    origin: Origin


class NetworkPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where data can go."""

    default: Verdict
    """For destinations that no rule names."""
    default_origin: Origin
    rules: tuple[HostRule, ...] = ()
    host_ports: tuple[int, ...] = ()
    """Ports of the host's loopback that appear on the sandbox's own loopback."""
    pass_through: tuple[str, ...] = ()
    """Patterns of hosts whose connections are never looked into."""
    floor: Verdict | None = None
    """What requirements say at least about destinations that no rule of the administrator allows."""
    floor_origin: Origin | None = None
    inspect: tuple[Inspect, ...] = ()
    """Destinations that are inspected, beside those whose rules look at requests."""
    http2: tuple[Inspect, ...] = ()
    """Destinations that are inspected, and whose clients may speak HTTP/2."""
    limited: tuple[Inspect, ...] = ()
    """Destinations whose requests only read, unless a rule names what else is allowed."""


class OnSecret(StrEnum):
    """What happens where a request carries a secret."""

    OFF = "off"
    """Nobody looks."""
    RECORD = "record"
    ASK = "ask"
    DENY = "deny"


class ContentBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be sent to some destinations in one session."""

    hosts: tuple[str, ...]
    """Patterns, normalised like those of a host rule."""
    left_out: tuple[str, ...] = ()
    """Destinations that are not counted although they are among those."""
    megabytes: int
    each: bool = False
    """Whether each destination has the whole of it."""
    over: Verdict = Verdict.DENY
    """`ask` or `deny`: what happens with what goes beyond it."""
    origin: Origin


class ContentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may leave in requests."""

    on_secret: OnSecret = OnSecret.OFF
    """Where a request carries what has the form of a secret."""
    canaries: bool = False
    """Whether made-up credentials lie inside, and a request that carries one is denied."""
    unreadable: Verdict = Verdict.ALLOW
    """Where a request cannot be looked into as a whole."""
    record_only: tuple[str, ...] = ()
    """Patterns of destinations where findings are recorded and nothing is stopped."""
    budgets: tuple[ContentBudget, ...] = ()

    @property
    def looks(self) -> bool:
        """Whether requests are looked into for their content."""
        return self.canaries or self.on_secret is not OnSecret.OFF


class CommandProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A plan of its own for the commands that begin in one way: they see, reach and are told other things than the
    session's other commands."""

    id: str
    prefix: tuple[tuple[str, ...], ...]
    """For each position the words that stand there, exactly; the first names the program."""
    paths: tuple[PathRule, ...] = ()
    """Beside the policy's own."""
    hosts: tuple[str, ...] = ()
    """Destinations that it reaches without a question."""
    only_hosts: bool = False
    """Whether it reaches nothing else."""
    keep: tuple[str, ...] = ()
    """Variables of the person's that it gets beside those of every command."""
    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    """Variables that it does not get."""
    outside: bool = False
    """Whether it runs on the host, outside every sandbox."""
    reason: str = ""
    origin: Origin

    @property
    def widens(self) -> bool:
        """Whether it gives anything that the session's other commands do not have."""
        opened = any(rule.access is not Access.DENY for rule in self.paths)
        return bool(opened or self.hosts or self.keep or self.set or self.outside)


class CommandPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which commands stop for a question or never run, and which have a plan of their own."""

    rules: tuple[CommandRule, ...] = ()
    profiles: tuple[CommandProfile, ...] = ()


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server of this name has to be."""

    id: str
    name: str
    """As the agent's settings call it."""
    command: tuple[str, ...] = ()
    """The argument vector that starts it; nothing where an address says what it is."""
    url: str = ""
    """Its address, without query."""
    tools: tuple[str, ...] = ()
    """Digests of lists of tools that it may have; any where none is named."""
    reason: str = ""
    origin: Origin


class Unseen(StrEnum):
    """What happens with a session of which a server of tools starts without us in front of it, loosest first."""

    ALLOW = "allow"
    """It starts, and says which servers those are."""
    DENY = "deny"


class McpPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may be asked of MCP servers."""

    default: Verdict = Verdict.ALLOW
    """For tools that no rule names; the sandbox holds them like everything else."""
    default_origin: Origin = BUILT_IN
    rules: tuple[McpRule, ...] = ()
    changed: Verdict = Verdict.ASK
    """For a server whose list of tools is another than the one that was taken before."""
    changed_origin: Origin = BUILT_IN
    unseen: Unseen = Unseen.ALLOW
    """For a session of an agent that starts a server which cannot be put behind us."""
    unseen_origin: Origin = BUILT_IN
    servers: tuple[McpServer, ...] = ()


class ControlFilePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What policies add to the table of control files, and what they take out of it."""

    rows: tuple[ControlFile, ...] = ()
    origins: tuple[Origin, ...] = ()
    """Where each of the rows was written."""
    exempt: tuple[str, ...] = ()
    """Patterns of the table, or of a row that a person added, which are files like any other here."""


class EnvironmentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which variables of the person's environment reach the sandbox; every other one is removed before exec."""

    keep: tuple[str, ...] = ()
    """Names, or prefixes that end in `*`."""
    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    """Names, or prefixes that end in `*`, which are not let in whoever keeps or sets them."""
    files: tuple[PlacedFile, ...] = ()
    """Settings that exist inside only, one for each path."""


class SourceKind(StrEnum):
    """Where the value of a credential is, outside the sandbox."""

    KEYRING = "keyring"
    ENVIRONMENT = "environment"
    FILE = "file"
    COMMAND = "command"


class CredentialSource(msgspec.Struct, frozen=True, kw_only=True):
    """How the value of a credential is found when a session starts. It is never a part of a policy."""

    kind: SourceKind
    name: str = ""
    """The stored name, the variable or the path."""
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind.value} {' '.join(self.command) if self.kind is SourceKind.COMMAND else self.name}"


class CredentialForm(StrEnum):
    """How a request carries a credential."""

    BEARER = "bearer"
    BASIC = "basic"
    HEADER = "header"
    QUERY = "query"
    AWS = "aws-sigv4"
    GIT = "git"
    NPM = "npm"
    PYPI = "pypi"
    DOCKER = "docker"
    POSTGRES = "postgresql"


class Attach(StrEnum):
    """Which requests get a credential, of those that it is bound to."""

    PLACEHOLDER = "placeholder"
    ALWAYS = "always"


class CredentialRule(msgspec.Struct, frozen=True, kw_only=True):
    """A credential and the requests that it is bound to."""

    id: str
    """Its name in decisions and on record."""
    source: CredentialSource
    form: CredentialForm
    field: str = ""
    """The name of the header, in lower case, or of the key in the query."""
    user: str = ""
    hosts: tuple[str, ...]
    """Host patterns of names, each with its port."""
    methods: tuple[str, ...] = ()
    """Upper case; empty means any."""
    paths: tuple[str, ...] = ()
    """Globs; empty means any."""
    variables: tuple[str, ...] = ()
    """Variables that hold its placeholder inside."""
    attach: Attach = Attach.PLACEHOLDER
    reason: str = ""
    origin: Origin


class NoCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts whose requests carry no credential, neither a bound one nor one of the agent's."""

    hosts: tuple[str, ...]
    reason: str = ""
    origin: Origin


class CredentialPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which credentials go where."""

    rules: tuple[CredentialRule, ...] = ()
    forbidden: tuple[NoCredentials, ...] = ()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may use up; nothing means no limit beyond the sandbox's own."""

    wall_seconds: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file_mb: int | None = None
    memory_mb: int | None = None
    cpu_percent: int | None = None
    disk_mb: int | None = None


class Remember(StrEnum):
    """How far an answer may reach, narrowest first."""

    ONCE = "once"
    SESSION = "session"
    REPO = "repo"


class Assurance(StrEnum):
    """The weakest way of showing who one is that counts, of those that a policy can demand."""

    ACCOUNT = "account"
    SIGNED = "signed"
    PASSKEY = "passkey"


class Delegate(StrEnum):
    """The highest risk at which a question is left to the agent's own prompt, least first."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"


class QuorumRule(msgspec.Struct, frozen=True, kw_only=True):
    """A set of people of whom enough have to agree."""

    who: tuple[str, ...]
    approve: int = 1
    deny: int = 1
    assurance: Authentication = Authentication.ACCOUNT
    risk: Risk = Risk.LOW
    """The lowest risk that it is about."""
    rules: tuple[str, ...] = ()
    """The rules whose questions it is about; empty for all."""
    origin: Origin


class WebhookKind(StrEnum):
    """What a webhook speaks."""

    GENERIC = "generic"
    SLACK = "slack"


class WebhookRule(msgspec.Struct, frozen=True, kw_only=True):
    """Somewhere that is told of every question, and that may bring answers of the people it names."""

    name: str
    kind: WebhookKind = WebhookKind.GENERIC
    url: str
    secret: str
    """The name of a stored credential: the key of the signatures, both ways."""
    link: str = ""
    """The address of a page for people, with `{id}` for the request."""
    users: tuple[tuple[str, str], ...] = ()
    """Its names of people, and theirs on this machine. It brings answers of nobody else."""
    origin: Origin


class StepRule(msgspec.Struct, frozen=True, kw_only=True):
    """A step of the ladder: who is asked as well, and when."""

    who: tuple[str, ...]
    after_seconds: int = 0
    origin: Origin


class ReviewerKind(StrEnum):
    """What reviews: the interface of a model, a program, or a table of features."""

    RESPONSES = "openai-responses"
    CHAT = "openai-chat"
    ANTHROPIC = "anthropic"
    COMMAND = "command"
    FEATURES = "features"


class ReviewerRule(msgspec.Struct, frozen=True, kw_only=True):
    """Who reviews what is not worth a person's time."""

    kind: ReviewerKind
    url: str = ""
    model: str = ""
    key_variable: str = ""
    """The variable of the person's environment with the key; the value is nowhere in a policy."""
    argv: tuple[str, ...] = ()
    instructions: str = ""
    """Rules of the organisation, in words."""
    seconds: int = 90
    origin: Origin


class ApprovalPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long a question waits, who may answer it, and how long its answer lasts."""

    timeout_seconds: int = 300
    """An unanswered request is a deny after this."""
    remember: Remember = Remember.REPO
    """The widest scope that an answer may have."""
    remember_days: int = 30
    """How long an answer for a repository lasts at most."""
    approvers: tuple[tuple[str, ...], ...] = ()
    """People (`NAME`) and groups (`@GROUP`) of this machine who may approve. Every list has to hold; none means
    anybody who can answer at all."""
    overriders: tuple[tuple[str, ...], ...] = ()
    """Likewise for overriding a rule that is enforced softly."""
    self_approval: bool = True
    """Whether whoever runs a session may approve its questions."""
    quorums: tuple[QuorumRule, ...] = ()
    """Sets of people that all have to be met, by different people."""
    steps: tuple[StepRule, ...] = ()
    """The ladder; empty for everybody at once."""
    break_glass: tuple[tuple[str, ...], ...] | None = None
    """Lists of people; whoever is on every one may go ahead without approval. None for nobody."""
    break_glass_minutes: int = 60
    denials_in_a_row: int = 3
    """After so many denied questions in a row, nothing is asked any more in this turn of the agent."""
    denials_of_50: int = 10
    """Likewise, of the last 50."""
    wait_seconds: int = 0
    """After this, whoever waits is told that the question is queued, and it stays open. 0 for never."""
    webhooks: tuple[WebhookRule, ...] = ()
    """Who else is told of a question, and may bring an answer."""
    delegate: Risk | None = None
    """The highest risk at which a question is left to the agent's own prompt, in a session that asks so. None for
    never."""
    reviewer: ReviewerRule | None = None
    reviewer_ceiling: Risk | None = Risk.LOW
    """The greatest risk that a reviewer may allow; none at all where it is missing."""
    reviewer_audit_percent: int = 0


class AgentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which agents may run."""

    allowed: tuple[tuple[tuple[str, ...], Origin], ...] = ()
    """Lists of names, each of which has to hold the agent; none means any."""


class ToolArguments(StrEnum):
    """What is recorded of the arguments of tool calls, most first."""

    FULL = "full"
    DIGEST = "digest"


class ModelContent(StrEnum):
    """What is recorded of what is said to models and by them, most first."""

    FULL = "full"
    DIGEST = "digest"


class TelemetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the record holds."""

    tool_arguments: ToolArguments = ToolArguments.FULL
    redact: tuple[str, ...] = ()
    """Globs; each word of the record that matches is replaced by a keyed hash."""
    model_content: ModelContent = ModelContent.DIGEST


class ModelHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host on which models are asked, beside those that are known."""

    hosts: str
    """One host pattern."""
    named: bool = True
    """Whether a policy names it; the agent's own address of its model does not switch reading on."""
    origin: Origin


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Models that may be asked."""

    models: tuple[str, ...]
    """Globs over the names of models, in lower case."""
    origin: Origin


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens of some models cost, in millionths of the currency that the policy counts in."""

    models: tuple[str, ...]
    input: int
    cached_input: int
    cache_write: int
    output: int
    origin: Origin


class ModelRoute(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to models on some hosts go to another address instead."""

    hosts: tuple[str, ...]
    """Host patterns; empty for every host on which models are asked."""
    host: str
    port: int
    secure: bool = True
    """Over TLS; only to this machine's own loopback it need not be."""
    base: str = ""
    """The path before those of the interface, without a slash at its end."""
    origin: Origin

    @property
    def url(self) -> str:
        """The address as documents write it."""
        scheme, usual = ("https", 443) if self.secure else ("http", 80)
        return f"{scheme}://{self.host}{'' if self.port == usual else f':{self.port}'}{self.base}"


class ModelPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of the traffic with models, and what may be asked of them."""

    read: bool = False
    hosts: tuple[ModelHost, ...] = ()
    allowed: tuple[ModelList, ...] = ()
    """Lists that all have to hold the model; none means any."""
    budget_tokens: int | None = None
    budget_cost: int | None = None
    """In millionths of the currency of the prices."""
    prices: tuple[ModelPrice, ...] = ()
    routes: tuple[ModelRoute, ...] = ()
    origins: tuple[tuple[str, Origin], ...] = ()
    """Who wrote `read`, `budget_tokens` and `budget_cost`, where somebody did."""

    @property
    def limits(self) -> bool:
        """Whether a request can be denied because of what it asks of a model."""
        return bool(self.allowed) or self.budget_tokens is not None or self.budget_cost is not None

    @property
    def reads(self) -> bool:
        """Whether requests to models have to be seen."""
        return self.read or self.limits or bool(self.routes) or any(one.named for one in self.hosts)

    @property
    def unpriced(self) -> str:
        """What there is to say about a budget of money that nothing can be counted against; empty where there is
        none."""
        if self.budget_cost is None or self.prices:
            return ""
        return (
            f"`model.budget_cost` ({dict(self.origins)['budget_cost'].source}) denies every request to a model: no "
            "`[[model.price]]` that counts says what one costs"
        )


class SshAgentWay(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of the person's ssh-agent that may sign inside, and for which hosts."""

    keys: tuple[str, ...]
    """Fingerprints, `SHA256:...`."""
    hosts: tuple[str, ...]
    """Names as `known_hosts` has them, each with `[NAME]:PORT` where the port is another."""
    origin: Origin


class BusWay(msgspec.Struct, frozen=True, kw_only=True):
    """Names on one of the person's message buses that may be called from inside."""

    bus: str
    """`session` or `system`."""
    talk: tuple[str, ...]
    """Well-known names; one that ends in `.*` means every name below."""
    origin: Origin


class PublishedPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the host's loopback that leads to one of the sandbox's."""

    host: int
    inside: int


class WayPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Ways between a sandbox and the host, each shut unless somebody opened it."""

    sockets: tuple[str, ...] = ()
    """Absolute paths of the host's unix sockets, which appear at the same place."""
    devices: tuple[str, ...] = ()
    """Device nodes below `/dev`."""
    publish: tuple[PublishedPort, ...] = ()
    ssh_agent: tuple[SshAgentWay, ...] = ()
    dbus: tuple[BusWay, ...] = ()
    nested_namespaces: bool = False
    """Whether programs inside may make user namespaces, as agents with a sandbox of their own do."""
    outside: bool = False
    """Whether a command's profile may place it outside."""


class PolicyTest(msgspec.Struct, frozen=True, kw_only=True):
    """One question and the verdict it should get. The question has the keys of a line of `policy explain --stdin`."""

    question: tuple[tuple[str, str], ...]
    argv: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    expect: Verdict
    origin: Origin


class WorkspaceMode(StrEnum):
    """Where a session's changes of the workspace go."""

    DIRECT = "direct"
    """To the real tree, at once."""
    STAGED = "staged"
    """To a layer over it, until somebody applies them."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides, with the origin of each part."""

    preset: str
    filesystem: tuple[PathRule, ...]
    network: NetworkPolicy
    commands: CommandPolicy
    environment: EnvironmentPolicy
    approvals: ApprovalPolicy
    min_tier: str
    """`A`, `B` or `C`: below it nothing runs."""
    workspace_mode: WorkspaceMode = WorkspaceMode.DIRECT
    layers: tuple[str, ...]
    """The documents that were read, lowest first."""
    boundary: str = ""
    """What holds a session of tier C, as somebody declared it; nothing where nobody did."""
    control_files: ControlFilePolicy = ControlFilePolicy()
    mcp: McpPolicy = McpPolicy()
    credentials: CredentialPolicy = CredentialPolicy()
    content: ContentPolicy = ContentPolicy()
    limits: Limits = Limits()
    ways: WayPolicy = WayPolicy()
    agents: AgentPolicy = AgentPolicy()
    telemetry: TelemetryPolicy = TelemetryPolicy()
    model: ModelPolicy = ModelPolicy()
    soft: tuple[Origin, ...] = ()
    """Where the rules and values stand that somebody may override."""
    observed: Policy | None = None
    """The same with every rule that only observes in force; nothing where there is none."""
    tests: tuple[PolicyTest, ...] = ()
    """What the authors of the documents expect of the whole."""
    inactive: tuple[Inactive, ...] = ()
    """What was written and does not count, with its reason."""
    origins: tuple[tuple[str, Origin], ...] = ()
    """Who wrote each single value, by its key as documents spell it: `sandbox.min_tier`, `environment.keep.LANG`."""
    digest: str = ""
    """The digest of all the rest, filled in by the loader."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user has to be told."""
        unpriced = (self.model.unpriced,) if self.model.unpriced else ()
        return (*(str(one) for one in self.inactive if one.told), *unpriced)

    def origin_of(self, key: str) -> Origin:
        """Who wrote a single value; a value that nobody wrote is ours."""
        return dict(self.origins).get(key, BUILT_IN)
