"""Agents: what each needs to run, how its hooks are read and answered. One file per agent; no decision is made here."""

from ringfence.agents.agent import (
    HOOK_SOCKET,
    Agent,
    AgentRequest,
    AgentSetup,
    Disk,
    HookAnswer,
    HookCall,
    HookMoment,
    HookUnreadable,
)
from ringfence.agents.detect import detect
from ringfence.agents.hook_server import Judge, serve_hooks
from ringfence.agents.host_disk import HostDisk

__all__ = [
    "HOOK_SOCKET",
    "Agent",
    "AgentRequest",
    "AgentSetup",
    "Disk",
    "HookAnswer",
    "HookCall",
    "HookMoment",
    "HookUnreadable",
    "HostDisk",
    "Judge",
    "detect",
    "serve_hooks",
]
