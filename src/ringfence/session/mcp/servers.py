"""The servers of tools that a session has met: which they are, which tools each said it has, and which calls an agent's
hook has already been told that they may go on.

It judges nothing: it adds to a call what is known about its server, and policy judges that.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from ringfence.model.action import McpAction, ServerFacts, action_digest
from ringfence.model.canonical import json_text
from ringfence.model.event import Body, McpListed
from ringfence.model.situations import RingfenceError
from ringfence.model.tool_list import ListChange, ToolList, change, compared
from ringfence.policy.mcp_identity import STARTED
from ringfence.session.mcp.taken import TakenLists

LISTING = "tools/list"
"""What an action calls a list of tools before it is shown."""
KEPT_SECONDS = 600.0
"""How long a call that a hook was told about may take to reach its server."""
_MOST_KEPT = 1024
MOST_SERVERS = 256
_MOST_SHOWN = 4

_PLAIN = re.compile(r"[^A-Za-z0-9_-]")


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The last list of a server."""

    tools: ToolList
    change: ListChange
    whole: bool = True


class _Met:
    """Servers of one kind, up to a limit. None is forgotten for another one: its calls would no longer be looked at."""

    def __init__(self, what: str) -> None:
        self._what = what
        self.identities: dict[str, str] = {}
        self.lists: dict[tuple[str, str], _Seen] = {}

    def meet(self, server: str, identity: str, *, listing: bool) -> None:
        """A server says something. `RingfenceError` where it is one too many."""
        is_new = server not in self.identities and len(self.identities) >= MOST_SERVERS
        if is_new or (listing and (server, identity) not in self.lists and len(self.lists) >= MOST_SERVERS):
            raise RingfenceError(
                f"this session has met {MOST_SERVERS} servers of tools {self._what}, and takes no more",
                remedy="start another session",
            )
        self.identities[server] = identity


class Servers:
    """The servers of one session."""

    def __init__(self, taken: TakenLists, record: Callable[[Body], None], now: Callable[[], float]) -> None:
        self._taken = taken
        self._record = record
        self._now = now
        # SECURITY: whoever is inside may claim servers without end, and none of those that the gateway saw goes for it.
        self._claimed, self._reached = _Met("that were started"), _Met("over HTTP")
        self._told: list[tuple[str, float]] = []

    def listed(self, server: str, identity: str, tools: ToolList, *, whole: bool = True) -> McpAction:
        """A server said which tools it has: what is to be judged before an agent is shown them. Without `whole`, more
        of the list is to come."""
        met = self._met(identity)
        met.meet(server, identity, listing=True)
        before = self._taken.get(server, identity, tools)
        found = ListChange() if before is None else change(before, dict(tools.tools))
        found = found if whole else msgspec.structs.replace(found, removed=())
        last = met.lists.get((server, identity))
        met.lists[server, identity] = _Seen(tools=tools, change=found, whole=whole)
        if whole and (last is None or not last.whole or last.tools != tools or last.change != found):
            self._record(_event(server, identity, tools, found, is_new=before is None))
        facts = ServerFacts(identity=identity, tools=tools.digest, changed=found.in_words(), listing=True)
        parts: dict[str, object] = {"added": found.added, "altered": found.altered, "removed": found.removed}
        if found:
            parts["said"] = compared(found, self._taken.texts(server, identity), dict(tools.texts))
        return McpAction(server=server, tool=LISTING, arguments=json_text(parts), facts=facts)

    def take(self, server: str, identity: str, digest: str) -> None:
        """A list of a server may be shown: it is the one that later ones are held against. Where the server has said
        another one since, that is not the one which somebody said yes to, and nothing changes."""
        met = self._met(identity)
        seen = met.lists.get((server, identity))
        if seen is None or seen.tools.digest != digest or not seen.whole:
            return
        self._taken.take(server, identity, seen.tools)
        met.lists[server, identity] = _Seen(tools=seen.tools, change=ListChange())

    def is_known(self, host: str) -> bool:
        """Whether a server on this host has said which tools it has, as the gateway saw it."""
        return host in self._reached.identities

    def called(self, action: McpAction, identity: str) -> McpAction:
        """A call with what is known about the server that it goes to."""
        self._met(identity).meet(action.server, identity, listing=False)
        return msgspec.structs.replace(action, facts=self._facts(action.server, identity))

    def reached(self, action: McpAction) -> McpAction:
        """A call over HTTP, which says itself where it goes, with what is known about that."""
        facts = action.facts
        if facts is msgspec.UNSET:
            return action
        if (action.server, facts.identity) in self._reached.lists:
            return msgspec.structs.replace(action, facts=self._facts(action.server, facts.identity))
        # SECURITY: many servers answer at more spellings of their address than one.
        changed = [one for (host, _), one in self._reached.lists.items() if host == action.server and one.change]
        if not changed:
            return action
        words = "; ".join(one.change.in_words() for one in changed[-_MOST_SHOWN:])
        facts = ServerFacts(identity=facts.identity, tools=facts.tools, changed=words)
        return msgspec.structs.replace(action, facts=facts)

    def reported(self, action: McpAction) -> McpAction:
        """A call as an agent reports it, under the server's and the tool's own names, with what is known about it."""
        whole = f"{action.server}__{action.tool}"
        identities = {**self._claimed.identities, **self._reached.identities}
        named = [name for name in identities if whole.startswith(f"{_plain(name)}__")]
        if not named:
            return action
        server = max(named, key=len)
        identity = identities[server]
        tool = self._tool(server, identity, whole[len(_plain(server)) + 2 :])
        return msgspec.structs.replace(action, server=server, tool=tool, facts=self._facts(server, identity))

    def told(self, action: McpAction) -> None:
        """An agent's hook was told that this call may go on."""
        self._forget()
        self._told = [*self._told[-_MOST_KEPT:], (action_digest(action), self._now())]

    def was_told(self, action: McpAction) -> bool:
        """Whether exactly this call was judged on its way already; true once for each time that it was."""
        self._forget()
        digest = action_digest(action)
        found = next((one for one in self._told if one[0] == digest), None)
        if found is None:
            return False
        self._told.remove(found)
        return True

    def _forget(self) -> None:
        since = self._now() - KEPT_SECONDS
        self._told = [one for one in self._told if one[1] >= since]

    def _met(self, identity: str) -> _Met:
        return self._claimed if identity.startswith(STARTED) else self._reached

    def _facts(self, server: str, identity: str) -> ServerFacts:
        seen = self._met(identity).lists.get((server, identity))
        if seen is None:
            return ServerFacts(identity=identity)
        return ServerFacts(identity=identity, tools=seen.tools.digest, changed=seen.change.in_words())

    def _tool(self, server: str, identity: str, plain: str) -> str:
        """The tool's own name: agents replace what a model's interface does not take in a name."""
        seen = self._met(identity).lists.get((server, identity))
        names = [] if seen is None else [name for name, _ in seen.tools.tools]
        found = [name for name in names if _plain(name) == plain]
        return found[0] if plain not in names and len(found) == 1 else plain


def _plain(name: str) -> str:
    return _PLAIN.sub("_", name)


def _event(server: str, identity: str, tools: ToolList, found: ListChange, *, is_new: bool) -> McpListed:
    return McpListed(
        server=server,
        identity=identity,
        digest=tools.digest,
        tools=tuple(name for name, _ in tools.tools),
        change="first" if is_new else "changed" if found else "same",
        added=found.added,
        removed=found.removed,
        altered=found.altered,
        hidden=tools.hidden,
    )
