"""Events: one versioned family for everything that is put on record.

The body says what happened, the envelope to which session it belongs. Order and time are not in the event: the ledger
stamps them when it records it. Field names follow the OpenTelemetry `gen_ai.*` conventions where those are settled.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ringfence.model.decision import Decision
from ringfence.model.vote import Vote

SCHEMA = 1
"""The version of this family. A reader of version N reads every version up to N."""


class SessionStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="session.started"):
    """A session began; everything that decides its strength is here."""

    agent: str
    """The agent's profile: `codex`, `claude`, `generic` ..."""
    argv: tuple[str, ...]
    cwd: str
    workspace: str
    workspace_mode: str
    user: str
    host: str
    tier: str
    """`A`, `B`, `C` ...: measured, not configured."""
    enforcement: tuple[tuple[str, str], ...]
    """What the kernel gave, as pairs of name and value: `landlock` `7`, `seccomp` `filter` ..."""
    policy: str
    """The digest of the effective policy."""
    layers: tuple[str, ...]
    """The files the policy came from, lowest first."""
    version: str
    """The version of Ringfence."""


class SessionEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="session.ended"):
    """A session ended, and how."""

    exit_code: int | None
    """None where it is not known, because the supervisor was killed."""
    outcome: str
    """`exited`, `signalled`, `refused`, `supervisor_lost` ..."""
    duration_ms: int | None = None


class NoticeGiven(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="notice"):
    """Something that the user was told about: an inactive policy line, an unprotected file, a changed value."""

    topic: str
    text: str


class ToolCallRequested(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="tool.requested"):
    """The agent's hook reported a tool call before it ran."""

    tool: str
    call: str
    """The agent's own id of the call, `gen_ai.tool.call.id`."""
    arguments: str
    """The arguments as JSON text, redacted and cut at the ledger's limit."""


class ToolCallCompleted(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="tool.completed"):
    """The agent's hook reported the end of a tool call."""

    tool: str
    call: str
    success: bool | None = None
    result: str = ""


class PromptSubmitted(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="prompt.submitted"):
    """The person asked the agent for something."""

    length: int
    text: str | None = None


class DecisionMade(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="decision"):
    """A verdict was reached. Recorded before the answer leaves."""

    decision: Decision
    asked_by: str
    """`run`, `exec`, `hook`, `gateway`, `mcp`, `api`: which way the question came."""
    call: str | None = None
    """The agent's own id of the tool call, where there is one."""


class DenialsCounted(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="decision.counted"):
    """Denials that are not written one by one: the same one again and again, or more than a session may write."""

    count: int
    """How many since the last such event."""
    total: int
    """How many in the session, with those that are written."""
    like: int | None
    """The sequence of the last event that says the same, or that counts those which are alike; None where this is the
    first."""
    rule: str
    """Of the strictest reason."""
    kind: str
    """Of the action: `command`, `file`, `connect` ...; `closed` where connections are counted that ended so."""
    asked_by: str
    digest: str
    """Of the decision; where they are different ones, of the digest before and the next one, from the first on."""


class ApprovalRequested(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="approval.requested"):
    """Somebody is being asked."""

    request: str
    action: str
    """The digest of the action."""
    policy: str
    channel: str
    shown: str
    """The digest of what the person saw."""
    expires_ms: int
    """Milliseconds until it counts as denied."""
    what: str = ""
    """The action in one line of words: a question that is never answered has no decision that would say it."""


class ApprovalTransition(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="approval.transition"):
    """An approval request changed its state."""

    request: str
    before: str
    after: str
    actor: str
    """`person:NAME`, `timeout`, `policy`, `session`."""
    channel: str
    reason: str = ""
    latency_ms: int | None = None
    """Milliseconds since the question was put."""
    authentication: str = ""
    """How the actor has shown who they are: `account`, `signed`, `passkey`; empty where it is no person."""
    shown: str = ""
    """The digest of what was shown."""
    action: str = ""
    """The digest of the action."""
    policy: str = ""


class VoteTaken(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="approval.vote"):
    """Somebody answered. The vote is linked to the one before it and signed: `log verify` checks both."""

    vote: Vote
    refused: str = ""
    """Why it does not count; empty where it does."""


class BreakGlassChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="break-glass"):
    """Somebody went ahead without waiting for approvals, ended it, or reviewed it."""

    glass: str
    change: str
    """`broken`, `used`, `ended`, `reviewed`."""
    actor: str
    reason: str
    workspace: str = ""
    ticket: str = ""
    outcome: str = ""
    """Of a review: `justified` or `unjustified`."""


class ReviewMade(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="review"):
    """A reviewer was asked about an action before any person: a model, a program or the table of features."""

    reviewer: str
    conclusion: str
    """`allow`, `deny`, `pass` to whoever is next, or `unavailable`."""
    action: str
    """The digest of the action."""
    what: str
    risk: str | None = None
    authorization: str | None = None
    """How far the person's words cover it, as the reviewer sees it."""
    reason: str = ""
    """For people. The agent is told a category only."""
    seen: str = ""
    """The digest of what the reviewer was shown."""
    audit: bool = False
    """Whether a person looks at it afterwards: it was drawn for that."""
    latency_ms: int = 0


class BreakerChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="approval.breaker"):
    """The circuit breaker of a session opened or closed."""

    state: str
    """`open`, `half-open`, `closed`."""
    in_a_row: int
    """Denials in a row."""
    of_recent: int
    """Denials among the last answers."""
    reason: str


class GrantChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="grant"):
    """A grant was made, used, revoked, or ended."""

    grant: str
    change: str
    """`created`, `used`, `revoked`, `expired`."""
    scope: str
    matcher: str
    uses_left: int | None = None
    break_glass: str = ""
    """The broken glass that made it."""


class CommandStarted(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="command.started"):
    """A governed command was started inside the sandbox."""

    command: str
    """Our id of the command."""
    argv: tuple[str, ...]
    cwd: str
    pid: int
    """The process id inside the sandbox."""


class CommandEnded(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="command.ended"):
    """A governed command ended."""

    command: str
    exit_code: int
    duration_ms: int


class ConnectionClosed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="connection.closed"):
    """A connection through the gateway ended."""

    host: str
    port: int
    address: str
    """The address that was dialled, checked before."""
    sent_bytes: int
    received_bytes: int
    duration_ms: int
    error: str = ""
    inspection: str = ""
    """`inspected`, `passed through` (a policy leaves its TLS alone) or `not inspected` (nothing asks for it)."""
    reached: tuple[str, ...] = ()
    """Where its requests went, as `host:port`, where that is not just `host`: requests to models are led elsewhere, and
    a client of the proxy asks several hosts."""


class CredentialUsed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="credential.used"):
    """The gateway puts a credential into a request. Its name is here; its value is nowhere."""

    credential: str
    """As the policy calls it."""
    host: str
    port: int
    method: str
    path: str
    """Without query."""


class ContentFound(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="content.found"):
    """A request carries a secret, or a canary that was put inside to be found. The secret itself is nowhere."""

    kind: str
    """`secret`: it has the form of one; `protected`: it stands in a file that is hidden inside; `credential`: one that
    the session keeps outside; `canary`."""
    name: str
    """The pattern, the credential or the canary."""
    # INVARIANT: what follows a name that may end like `_TOKEN` is a short key: the ledger takes a longer word there for
    # that variable's value.
    host: str
    port: int
    severity: str
    """`high` for canaries and credentials, `medium` for what has the form of a secret."""
    place: str
    """Where in the request, and in which reading: `header x-note`, `the body (base64, gzip)`."""
    length: int
    digest: str
    """By which the same secret is recognised within a session."""
    outcome: str
    """`denied`, `asked` or `recorded`."""
    method: str = ""
    path: str = ""
    """Without query, and without what was found in it."""
    shown: str = ""
    """Its first and last letters, where it is long enough."""


class ContentUnread(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="content.unread"):
    """A request was not looked into as a whole."""

    host: str
    port: int
    reason: str
    outcome: str
    """`denied`, `asked` or `recorded`."""
    method: str = ""
    path: str = ""


class ModelAnswered(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="model.answered"):
    """A model was asked, and answered or failed to, as it was read off the wire. The name of the field behind each
    that has one in the OpenTelemetry conventions is said with it."""

    provider: str
    """`gen_ai.provider.name`; empty where a policy names the host."""
    interface: str
    """`openai-responses`, `openai-chat`, `anthropic`, `gemini`."""
    host: str
    """`server.address`."""
    port: int
    """`server.port`."""
    model: str
    """`gen_ai.request.model`."""
    answered_by: str = ""
    """`gen_ai.response.model`."""
    response: str = ""
    """`gen_ai.response.id`."""
    status: int = 0
    """The HTTP status; 0 where no answer came."""
    streamed: bool = False
    prompt_length: int = 0
    """Characters of the last words of the person that the request holds."""
    prompt_digest: str = ""
    prompt: str | None = None
    """These words, where the policy has them on record, once for all requests that repeat them."""
    tools: int = 0
    """How many tools the model was offered."""
    calls: int = 0
    """How many it asked for; each has an event of its own."""
    input_tokens: int = 0
    """`gen_ai.usage.input_tokens`: all of them."""
    cached_tokens: int = 0
    """`gen_ai.usage.cache_read.input_tokens`."""
    cache_write_tokens: int = 0
    """`gen_ai.usage.cache_creation.input_tokens`."""
    output_tokens: int = 0
    """`gen_ai.usage.output_tokens`: all of them."""
    reasoning_tokens: int = 0
    """`gen_ai.usage.reasoning.output_tokens`."""
    estimated: bool = False
    """Whether the tokens are guessed from lengths, because the answer did not say them."""
    cost_millionths: int = 0
    """By the prices of the policy; 0 where they have none."""
    finish: tuple[str, ...] = ()
    """`gen_ai.response.finish_reasons`, in the provider's words."""
    refused: bool = False
    """Whether the model refused."""
    refusal: str | None = None
    first_ms: int | None = None
    """`gen_ai.response.time_to_first_chunk`, in milliseconds since the request was read."""
    duration_ms: int = 0
    unread: str = ""
    """Why the answer could not be read, or not to its end."""
    error: str = ""


class ModelToolCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="model.tool"):
    """A model asked for a tool, as it was read off the wire: before the agent does anything, whether or not its hook
    reports it."""

    tool: str
    """`gen_ai.tool.name`."""
    call: str
    """`gen_ai.tool.call.id`, the same as in `tool.requested` where the agent hands it on."""
    kind: str
    """`function`, `custom` (free text, such as a program), `shell`, `patch`, `computer`."""
    arguments: str
    """`gen_ai.tool.call.arguments`."""
    response: str = ""
    """The id of the answer that it is a part of."""


class WayUsed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="way.used"):
    """Something went, or was to go, between the sandbox and the host over a way that the policy opened."""

    way: str
    """`sockets`, `publish`, `ssh_agent`, `dbus`."""
    what: str
    """A socket, a port, a key and a host, a message bus."""
    allowed: bool
    reason: str = ""
    """Why not, where it was refused."""


class McpListed(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="mcp.tools"):
    """An MCP server said which tools it has. Not repeated while a session's server says the same."""

    server: str
    """As the agent calls it; over HTTP its host."""
    identity: str
    """How it is started or reached: `command:` with the digest of its argument vector, or its address."""
    digest: str
    """Of the names and all that is said about them."""
    tools: tuple[str, ...]
    """Their names."""
    change: str
    """`first`, `same`, or `changed` since the list that was taken before."""
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    """Tools that are described otherwise than before, or take other arguments."""
    hidden: tuple[str, ...] = ()
    """Tools whose description holds characters that cannot be seen, or speaks to a model behind a person's back."""


class WorkspaceChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="workspace.changed"):
    """What a session left in the workspace."""

    files: int
    control_files: tuple[str, ...]
    """Files created or changed that a tool of yours may run later."""


class ChangesSettled(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="workspace.settled"):
    """A person or a script decided what becomes of a session's changes. On record before anything is touched."""

    action: str
    """`apply`, `discard`, `undo`."""
    actor: str
    workspace: str
    files: int
    """How many paths it is about; 0 where all that a session wrote is discarded."""
    paths: tuple[str, ...] = ()
    """The first of them, relative to the workspace."""
    flags: tuple[str, ...] = ()
    """What the commit gate flagged and the actor accepted."""
    forced: bool = False
    """Also over what was changed since the session."""
    way_back: str = ""
    """The name of the snapshot that undoes it."""


class LimitReached(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="limit"):
    """A session reached one of its limits."""

    limit: str
    """The key under `[limits]`: `memory_mb`, `processes`, `open_files`, `file_mb`, `disk_mb`, `wall_seconds`.
    Of the gateway: `connections` at once, `descriptors` that the process has for them, and `held_bytes` of requests
    and answers."""
    allowed: int
    seen: int
    outcome: str
    """`killed`: a program was ended; `refused`: it was given no more; `ended`: the session was."""
    keeper: str
    """Who held it: `cgroup`, `rlimit`, `namespace`, `watch`, `clock`, `gateway`."""
    program: str
    """What reached it; empty where that is not known."""
    layer: str
    """Who set it."""
    source: str


class BatteryRun(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="battery"):
    """The escape battery was run against a tier of the sandbox on this machine (`ringfence verify`)."""

    battery: str
    """The digest of the attacks: rows and programs."""
    version: str
    """The version of Ringfence."""
    kernel: str
    tier: str
    holds: bool
    """No attack got out that was not known to, and none ended in a way that was not foreseen."""
    whole: bool
    """Every attack of the battery was tried, not a choice of them."""
    results: tuple[tuple[str, str], ...]
    """Each attack and its outcome: `stopped`, `known`, `escaped`, `unclear`, `impossible`."""
    duration_ms: int


Body: TypeAlias = (
    SessionStarted
    | SessionEnded
    | NoticeGiven
    | ToolCallRequested
    | ToolCallCompleted
    | PromptSubmitted
    | DecisionMade
    | DenialsCounted
    | ApprovalRequested
    | ApprovalTransition
    | VoteTaken
    | BreakGlassChanged
    | ReviewMade
    | BreakerChanged
    | GrantChanged
    | CommandStarted
    | CommandEnded
    | ConnectionClosed
    | ModelAnswered
    | ModelToolCall
    | WayUsed
    | CredentialUsed
    | ContentFound
    | ContentUnread
    | McpListed
    | WorkspaceChanged
    | ChangesSettled
    | LimitReached
    | BatteryRun
)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    id: str
    session: str
    body: Body
    schema: int = SCHEMA


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger's word that an event is durable, with the place it has."""

    sequence: int
    """From 0, without gaps, over the whole ledger."""
    time_ns: int
    """Nanoseconds since the epoch, by the ledger's clock; never goes back."""


def event_name(body: Body) -> str:
    """The name an event is filtered by, such as `decision` or `session.started`."""
    tag = type(body).__struct_config__.tag
    assert isinstance(tag, str)
    return tag
