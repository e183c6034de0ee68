"""Where models are asked, and in which interface: the hosts of providers, and what the paths of their requests mean.

This is data, and the reading of a path. Which of these may be asked for what is decided in `judges/model`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec

from ringfence.policy.request_paths import plainly


class Interface(StrEnum):
    """What a request to a model is written in."""

    RESPONSES = "openai-responses"
    CHAT = "openai-chat"
    MESSAGES = "anthropic"
    GEMINI = "gemini"


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider of models."""

    name: str
    """`gen_ai.provider.name`."""
    hosts: tuple[str, ...]
    """Host patterns; on each of their ports."""
    base: str = ""
    """The path of its base address, as its clients are configured with it."""
    interface: Interface = Interface.CHAT
    """What its clients read errors in."""
    beside: tuple[str, ...] = ()
    """Globs over the paths of requests there that ask no model anything."""
    asking: tuple[str, ...] = ()
    """Globs over those of them that ask one all the same, in a form that is not read."""


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """What a request to a host with models is about."""

    interface: Interface | None = None
    """None where it asks no model anything."""
    model: str = ""
    """Where the path names the model."""
    streams: bool = False
    """Whether the path says that the answer comes as a stream."""


PROVIDERS = (
    Provider(
        name="anthropic",
        hosts=("api.anthropic.com",),
        interface=Interface.MESSAGES,
        beside=("/api/*", "/v1/oauth/*", "/mcp-registry/*"),
    ),
    Provider(name="openai", hosts=("api.openai.com",), base="/v1"),
    Provider(
        name="openai",
        hosts=("chatgpt.com",),
        base="/backend-api/codex",
        beside=("/backend-api/codex/analytics-events/*", "/backend-api/wham/*", "/backend-api/plugins/*", "/ces/*"),
        asking=("/backend-api/wham/tasks*",),
    ),
    Provider(
        name="gcp.gemini", hosts=("generativelanguage.googleapis.com",), base="/v1beta", interface=Interface.GEMINI
    ),
    Provider(
        name="gcp.gemini",
        hosts=("cloudcode-pa.googleapis.com",),
        interface=Interface.GEMINI,
        beside=tuple(
            f"/v1internal:{name}"
            for name in ("loadCodeAssist", "onboardUser", "recordCodeAssistMetrics", "retrieveUserQuota")
        ),
    ),
    Provider(name="gcp.vertex_ai", hosts=("aiplatform.googleapis.com", "*.aiplatform.googleapis.com")),
    Provider(
        name="azure.ai.openai",
        hosts=("*.openai.azure.com", "*.cognitiveservices.azure.com", "*.services.ai.azure.com"),
    ),
    Provider(name="mistral_ai", hosts=("api.mistral.ai",), base="/v1"),
    Provider(name="deepseek", hosts=("api.deepseek.com",)),
    Provider(name="x_ai", hosts=("api.x.ai",), base="/v1"),
    Provider(name="groq", hosts=("api.groq.com",), base="/openai/v1"),
    Provider(name="cohere", hosts=("api.cohere.com", "api.cohere.ai"), base="/compatibility/v1"),
    Provider(name="perplexity", hosts=("api.perplexity.ai",)),
    Provider(name="together_ai", hosts=("api.together.xyz", "api.together.ai"), base="/v1"),
    Provider(name="openrouter", hosts=("openrouter.ai",), base="/api/v1"),
)
"""The known ones. A policy names others with `[model] hosts`."""

_ENDINGS = (
    ("/chat/completions", Interface.CHAT),
    ("/responses", Interface.RESPONSES),
    ("/responses/compact", Interface.RESPONSES),
    ("/messages", Interface.MESSAGES),
)
_COUNTING = ("/messages/count_tokens", "/responses/input_tokens", ":countTokens")
"""These only count tokens."""
_GEMINI = re.compile(r".*/models/([A-Za-z0-9._@-]{1,200}):(generateContent|streamGenerateContent)")
_CODE_ASSIST = re.compile(r"/v1internal:(generateContent|streamGenerateContent)")
"""Where the model is named in the body."""
_VERTEX_ANTHROPIC = re.compile(r".*/publishers/anthropic/models/([A-Za-z0-9._@-]{1,200}):(rawPredict|streamRawPredict)")
_DEPLOYMENT = re.compile(r"/(?:deployments|engines)/([^/]*)", re.IGNORECASE)
"""What names the model in the path, wherever it stands: then what the body says is not what is asked."""
_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))


def meaning(provider: Provider, method: str, path: str) -> Meant | None:
    """What a request is about, or nothing where that is not known.

    SECURITY: a path that is spelled in any other way than clients spell it is not known.
    """
    if method in _HARMLESS:
        return Meant()
    # SECURITY: whoever cuts a path off, or decodes it first, sees another one before what we take for its end.
    if "%" in path or ";" in path or "\\" in path:
        return None
    if path.endswith(_COUNTING):
        return Meant()
    if any(fnmatchcase(path, glob) for glob in provider.beside) and plainly(path) is not None:
        # Some servers make no difference between capitals.
        asks = any(fnmatchcase(path.lower(), glob) for glob in provider.asking)
        return None if asks else Meant()
    if (found := _GEMINI.fullmatch(path)) is not None:
        return Meant(interface=Interface.GEMINI, model=found[1], streams=found[2].startswith("stream"))
    if (found := _VERTEX_ANTHROPIC.fullmatch(path)) is not None:
        return Meant(interface=Interface.MESSAGES, model=found[1], streams=found[2].startswith("stream"))
    if (found := _CODE_ASSIST.fullmatch(path)) is not None:
        return Meant(interface=Interface.GEMINI, streams=found[1].startswith("stream"))
    for ending, interface in _ENDINGS:
        if path.endswith(ending):
            named = _DEPLOYMENT.findall(path)
            if len(named) > 1 or named == [""]:
                return None
            return Meant(interface=interface, model="".join(named))
    return None
