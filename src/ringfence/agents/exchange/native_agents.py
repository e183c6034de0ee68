"""Which function makes the managed settings of which agent."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.agents.exchange.native import Native, NativeAgent
from ringfence.agents.exchange.native_claude import native_claude
from ringfence.agents.exchange.native_codex import native_codex
from ringfence.agents.exchange.native_gemini import native_gemini
from ringfence.agents.exchange.native_opencode import native_opencode
from ringfence.policy.effective import Policy

_MAKERS: dict[NativeAgent, Callable[[Policy], Native]] = {
    NativeAgent.CODEX: native_codex,
    NativeAgent.CLAUDE: native_claude,
    NativeAgent.GEMINI: native_gemini,
    NativeAgent.OPENCODE: native_opencode,
}


def native_settings(agent: NativeAgent, policy: Policy) -> Native:
    """The managed settings that a policy comes to for an agent."""
    return _MAKERS[agent](policy)
