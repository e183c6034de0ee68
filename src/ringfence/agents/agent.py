"""What an agent is to the rest of the program: how to prepare it, how to read its hooks, how to answer them.

One file per agent implements the Protocol at the end. Nothing here decides whether an action may happen, and nothing
here touches the disk: what an agent's profile needs to know comes in through `Disk`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec

from ringfence.model.action import Action
from ringfence.model.decision import Decision
from ringfence.model.shown import Bind, PlacedFile

HOOK_FOLDER = "/run/ringfence"
"""Where the hook client and the socket it talks to lie inside the sandbox."""
HOOK_SOCKET = "/run/ringfence/hook.sock"
HOOK_PROGRAM = "/run/ringfence/hook.py"


class Disk(Protocol):
    """The few questions about the host's files that a profile asks."""

    def read_file(self, path: str) -> bytes | None:
        """The content, or None where there is no such regular file or it cannot be read."""
        ...

    def exists(self, path: str) -> bool:
        """Whether there is anything at this path."""
        ...

    def is_link(self, path: str) -> bool:
        """Whether a symbolic link stands at this path."""
        ...

    def list_folder(self, path: str) -> tuple[str, ...]:
        """The names in a folder, sorted; none where there is no such folder or it cannot be read."""
        ...


class AgentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a session with an agent is prepared."""

    argv: tuple[str, ...]
    """As the person typed it."""
    environ: dict[str, str]
    """The person's own environment, before it is scrubbed."""
    home: str
    workspace: str
    session: str
    cwd: str = ""
    """Where the agent is started, which relative paths of its command line mean; the workspace where it is empty."""
    interpreter: str
    """The absolute path of the Python, visible inside, that runs the hook client."""
    nested: bool = False
    """Whether the agent's own sandbox can be set up inside ours, so that it is left on."""
    delegated: bool = False
    """Whether questions may be left to the agent's own prompt, so that its hooks have to report what became of them."""
    answer_seconds: int = 600
    """How long a hook waits for an answer, a person's included; then it denies. Longer than the policy's approval
    time-out, so that the denial comes from the gate with its reason."""


class UnseenServers(msgspec.Struct, frozen=True, kw_only=True):
    """Servers of tools that an agent starts as they are, without our stand-in in front of them."""

    where: str
    """The file, the option or the variable that names them."""
    why: str
    """Why they cannot be put behind it, as the end of a sentence."""
    names: tuple[str, ...] = ()
    """As the agent calls them; none where they cannot be known before it starts."""
    behind_mounts: bool = False
    """Whether this is so only where the sandbox has no mounts."""


class AgentSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does for an agent; every widening it contains is named in the notices."""

    name: str
    argv: tuple[str, ...]
    keep: tuple[str, ...] = ()
    """Names of variables, or prefixes that end in `*`, of the person's environment that reach the agent."""
    set: tuple[tuple[str, str], ...] = ()
    """Variables with our own value; they win over `keep`."""
    binds: tuple[Bind, ...] = ()
    files: tuple[PlacedFile, ...] = ()
    overlays: tuple[PlacedFile, ...] = ()
    """Files over those of the person that are shown, where the sandbox has mounts."""
    folders: tuple[str, ...] = ()
    """Folders of the host that are made where they are missing, before they are bound: transcripts are to be kept."""
    destinations: tuple[str, ...] = ()
    """Hosts with an optional port that the agent needs to work: its model and its login."""
    unasked: tuple[str, ...] = ()
    """Hosts that the agent contacts for its own sake and works without: where the policy would ask, it denies."""
    host_ports: tuple[int, ...] = ()
    """Ports of the host's loopback on which the person's own configuration places the model."""
    models: tuple[str, ...] = ()
    """Hosts with their port on which the person's own configuration places the model, of this machine or another."""
    hooks: bool = False
    """Whether the agent was configured to ask us through hooks; without them only the guarantees hold."""
    own_prompt: str = "the hooks of this agent cannot bring up a prompt of its own"
    """Why no question can be left to the agent's own prompt in this session; empty where it can."""
    unseen: tuple[UnseenServers, ...] = ()
    """Servers of tools that start without our stand-in; where the policy says so, the session does not begin."""
    notices: tuple[str, ...] = ()
    """What the person has to be told, one sentence each."""


class HookMoment(StrEnum):
    """When in the life of a session a hook is called."""

    BEFORE_TOOL = "before_tool"
    AFTER_TOOL = "after_tool"
    PROMPT = "prompt"
    SESSION = "session"
    PROMPTED = "prompted"
    """The agent's own permission question comes up."""
    BATCH = "batch"
    """All tool calls of one answer of the model are over."""
    TURN_END = "turn_end"


class HookCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a hook, in our words."""

    event: str
    """The agent's own name of the event."""
    moment: HookMoment
    tool: str = ""
    call: str = ""
    """The agent's own id of the tool call."""
    cwd: str = ""
    actions: tuple[Action, ...] = ()
    """What the tool call would do; several where one patch writes several files. Never empty before a tool."""
    arguments: str = "{}"
    """The tool's arguments as JSON text, for the record."""
    own_prompt: str = "the hooks of this agent cannot bring up a prompt of its own"
    """Before a tool: why the agent's own prompt would ask nobody; empty where it asks somebody."""
    calls: tuple[str, ...] = ()
    """The ids of the tool calls that are over, of a batch."""
    prompt: str | None = None
    success: bool | None = None
    result: str = ""


class HookAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the hook client prints and returns."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0


class Agent(Protocol):
    """One kind of agent."""

    @property
    def name(self) -> str:
        """The profile's name, as the record holds it."""
        ...

    def prepare(self, request: AgentRequest, disk: Disk) -> AgentSetup:
        """What this agent needs for this session; pure but for the questions to `disk`."""
        ...

    def parse_hook(self, event: str, payload: bytes) -> HookCall:
        """Read what the agent handed to its hook; `HookUnreadable` where that cannot be trusted to be complete."""
        ...

    def render(self, call: HookCall, decision: Decision | None) -> HookAnswer:
        """The answer in the agent's own form; None stands for a hook that only reports."""
        ...

    def refuse(self, event: str, reason: str) -> HookAnswer:
        """The denial in the agent's own form where there is no decision, because something went wrong."""
        ...


class HookUnreadable(Exception):
    """A hook's input does not have the form that this agent is known to send. It is answered with a denial."""
