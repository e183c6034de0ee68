"""What a request asks of a model: which one, the person's last words, and how much of an answer. Pure; it judges
nothing. A request that could be read in two ways is not read where it matters which."""

from __future__ import annotations

import msgspec

from ringfence.egress.model_wire.shapes import DEEPEST_ERRORS, Values, number, parsed, rows, text, values
from ringfence.egress.model_wire.unpacking import Unreadable
from ringfence.policy.model_endpoints import Interface, Meant

_NAMES = frozenset(
    (
        *("model", "models", "fallbacks", "tools", "plugins", "response", "request"),
        *("max_tokens", "max_output_tokens", "max_completion_tokens"),
    )
)
_FURTHER = ("models", "fallbacks")
_SERVED = ("tools", "plugins")
"""What a provider runs itself may ask another model: an adviser, a maker of pictures."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a model."""

    interface: Interface
    models: tuple[str, ...] = ()
    """The model; further ones where the request names them for the case that the first cannot answer, or for a tool of
    the provider's."""
    prompt: str = ""
    """The last words of the person; what tools said is none."""
    streams: bool = False
    most_output: int = 0
    """The most tokens that it wants back; 0 where it does not say."""
    tools: int = 0
    """How many tools it offers."""
    size: int = 0
    """Bytes of the request."""
    kind: str = ""
    """Over a WebSocket: what sort of message it is."""
    unread: str = ""
    """Why the rest is not known."""
    later: bool = False
    """Whether the answer is to be fetched by another request."""


def read_request(meant: Meant, body: bytes, *, strict: bool) -> Asked:
    """The request in a body; `Unreadable` where there is none, or more than one. `strict`: it matters which."""
    assert meant.interface is not None
    try:
        found = parsed(body, strict=strict)
    except DEEPEST_ERRORS as error:
        raise Unreadable(f"its body is not JSON that can be read in one way: {error}"[:200]) from None
    if not isinstance(found, dict):
        raise Unreadable("its body is not a JSON object")
    # SECURITY: servers in Go take `Model` for `model`, and of both the last.
    odd = next((key for key in found if key not in _NAMES and key.casefold() in _NAMES), None)
    if strict and odd is not None:
        raise Unreadable(f"its key {odd!r} is spelled in a way that servers differ on"[:200])
    unnamed = next(
        (key for one in (found, values(found.get("response"))) for key in _FURTHER if _hides(one.get(key))), ""
    )
    if strict and unnamed:
        raise Unreadable(f"its key {unnamed!r} names models in a way that is not known")
    return asked(meant, found, size=len(body))


def asked(meant: Meant, said: Values, *, size: int) -> Asked:
    """The request in an object."""
    interface = meant.interface
    assert interface is not None
    inner = said
    if interface is Interface.GEMINI and "request" in said and "contents" not in said:
        inner = values(said["request"])
    turns = {
        Interface.RESPONSES: "input",
        Interface.CHAT: "messages",
        Interface.MESSAGES: "messages",
        Interface.GEMINI: "contents",
    }[interface]
    settings = values(inner.get("generationConfig"))
    limits = ("max_output_tokens", "max_completion_tokens", "max_tokens")
    return Asked(
        interface=interface,
        models=_models(meant.model, said, values(said.get("response"))),
        kind=text(said.get("type")),
        prompt=_prompt(inner.get(turns)),
        streams=meant.streams or said.get("stream") is True,
        most_output=max((*(number(said.get(key)) for key in limits), number(settings.get("maxOutputTokens")))),
        tools=len(rows(inner.get("tools"))),
        size=size,
        later=said.get("background") is True,
    )


def _models(in_path: str, said: Values, inner: Values) -> tuple[str, ...]:
    main = [in_path, text(said.get("model")).removeprefix("models/"), text(inner.get("model"))]
    main += [name for one in (said, inner) for name in _listed(one.get("models"))]
    if not any(main):
        return ()
    more = [name for one in (said, inner) for name in (*_listed(one.get("fallbacks")), *_of_tools(one))]
    return tuple(dict.fromkeys(filter(None, (*main, *more))))


def _listed(names: object) -> list[str]:
    """The models of a list, each by its name or as an object that has it."""
    return [_name(one) for one in names] if isinstance(names, list) else []


def _name(one: object) -> str:
    return text(one.get("model")) if isinstance(one, dict) else text(one)


def _hides(names: object) -> bool:
    """Whether further models are named in another way than that."""
    return bool(names) and not (isinstance(names, list) and all(map(_name, names)))


def _of_tools(said: Values) -> list[str]:
    """The models that the provider's own tools ask."""
    tools = [one for key in _SERVED for one in rows(said.get(key))]
    places = [place for one in tools for place in (one, values(one.get("parameters")))]
    return [name for place in places for name in (text(place.get("model")), *_listed(place.get("models")))]


def _prompt(turns: object) -> str:
    if isinstance(turns, str):
        return text(turns)
    for turn in reversed(rows(turns)):
        if text(turn.get("role")) != "user" or text(turn.get("type")) not in ("", "message"):
            continue
        said = _words(turn.get("content", turn.get("parts")))
        if said:
            return said
    return ""


def _words(content: object) -> str:
    if isinstance(content, str):
        return text(content)
    return next((said for one in reversed(rows(content)) if (said := text(one.get("text")))), "")
