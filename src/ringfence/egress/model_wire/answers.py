"""What a model answered, gathered from the events of a stream or from one whole body: tokens, tool calls, refusals, and
why it stopped. Each interface has a function of its own; what it does not know, it passes over."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import msgspec

from ringfence.egress.model_wire.shapes import Values, number, rows, text, values
from ringfence.policy.judges.model import Usage
from ringfence.policy.model_endpoints import Interface

MOST_CALLS = 200
MOST_ARGUMENTS = 1 << 20
"""Bytes of the arguments of one call that are kept."""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model wants to be called."""

    tool: str
    call: str
    """The provider's id of the call."""
    arguments: str
    kind: str = "function"
    """`function`, or `custom` for one that takes free text, such as a program."""


class Answer:
    """One answer as far as it has come."""

    def __init__(self) -> None:
        self.model = ""
        self.id = ""
        self.usage: Usage | None = None
        self.finish: list[str] = []
        self._refusal: bytearray | None = None
        self.error = ""
        self.final = False
        """Whether the stream has said that it is complete."""
        self.output_bytes = 0
        """Of texts and arguments."""
        self.kept = 0
        """How much of arguments and refusals is kept: bytes of what comes in pieces, characters of the rest."""
        self._calls: dict[str, ToolCall] = {}
        self._open: dict[int, tuple[ToolCall, bytearray]] = {}
        """What was begun: its first piece, and the arguments of all of them. A call comes in tens of thousands."""

    @property
    def refusal(self) -> str | None:
        """What it said instead of an answer; None where it did not refuse."""
        return None if self._refusal is None else self._refusal.decode("utf-8", "replace")

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls, in their order."""
        return tuple(self._calls.values())

    def call(self, one: ToolCall) -> None:
        """A whole call; said twice, it is one."""
        key = one.call or f"{len(self._calls)}"
        if len(self._calls) < MOST_CALLS or key in self._calls:
            said = self._calls.get(key)
            self._calls[key] = msgspec.structs.replace(one, arguments=one.arguments[:MOST_ARGUMENTS])
            self.kept += len(self._calls[key].arguments) - (0 if said is None else len(said.arguments))

    def open_call(self, index: int, one: ToolCall) -> None:
        """The beginning of a call, or more of it."""
        known = self._open.get(index)
        if known is None and len(self._open) >= MOST_CALLS:
            return
        first, arguments = known or (one, bytearray())
        if len(arguments) < MOST_ARGUMENTS:
            more = one.arguments.encode("utf-8", "surrogatepass")
            arguments += more
            self.kept += len(more)
            if known is None or not (first.tool and first.call):
                first = msgspec.structs.replace(first, tool=first.tool or one.tool, call=first.call or one.call)
                self._open[index] = (first, arguments)

    def close_calls(self) -> None:
        """What was begun is complete."""
        for one, arguments in self._open.values():
            self.kept -= len(arguments)
            self.call(msgspec.structs.replace(one, arguments=arguments.decode("utf-8", "surrogatepass")))
        self._open.clear()

    def say(self, said: str) -> None:
        """A piece of text."""
        self.output_bytes += len(said.encode("utf-8", "surrogatepass"))

    def stop(self, why: object) -> None:
        """A reason why it stopped."""
        if text(why) and text(why) not in self.finish and len(self.finish) < 16:
            self.finish.append(text(why)[:100])

    def refuse(self, said: object) -> None:
        """It refuses."""
        if self._refusal is None:
            self._refusal = bytearray()
        before = len(self._refusal)
        if before < MOST_ARGUMENTS:
            self._refusal += text(said).encode("utf-8", "surrogatepass")
            del self._refusal[MOST_ARGUMENTS:]
            self.kept += len(self._refusal) - before

    def fail(self, error: object) -> None:
        """It says what went wrong."""
        found = values(error)
        self.error = (text(found.get("message")) or text(found.get("type")) or self.error)[:500]


def take(interface: Interface, answer: Answer, event: Values) -> None:
    """One event of a stream, or a whole body."""
    _READERS[interface](answer, event)


def _responses(answer: Answer, event: Values) -> None:
    kind = text(event.get("type"))
    if kind.endswith(".delta"):
        answer.say(text(event.get("delta")))
    elif kind == "response.output_item.done":
        _item(answer, values(event.get("item")))
    elif kind == "error":
        answer.fail(event.get("error") or event)
        answer.final = True
    elif kind.startswith("response.") or text(event.get("object")).startswith("response"):
        said = values(event.get("response")) if "response" in event else event
        answer.model = text(said.get("model")) or answer.model
        answer.id = text(said.get("id")) or answer.id
        if not kind or kind in _LAST:
            for item in rows(said.get("output")):
                _item(answer, item, again=bool(kind))
            answer.stop(values(said.get("incomplete_details")).get("reason") or said.get("status"))
            answer.usage = _openai_usage(said.get("usage")) or answer.usage
            answer.final = True
    if "error" in event or "error" in values(event.get("response")):
        answer.fail(event.get("error") or values(event.get("response")).get("error"))


_LAST = frozenset(("response.completed", "response.incomplete", "response.failed", "response.done"))
_ITEMS = {
    "function_call": ("function", "arguments"),
    "custom_tool_call": ("custom", "input"),
    "local_shell_call": ("shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("patch", "operation"),
    "computer_call": ("computer", "action"),
}
"""The items that are tools to be called by whoever asked; all others are carried out by the provider."""


def _item(answer: Answer, item: Values, *, again: bool = False) -> None:
    kind = text(item.get("type"))
    if kind in _ITEMS:
        name, key = _ITEMS[kind]
        tool = text(item.get("name")) or kind.removesuffix("_call")
        space = text(item.get("namespace"))
        answer.call(
            ToolCall(
                tool=f"{space}.{tool}" if space else tool,
                call=text(item.get("call_id")) or text(item.get("id")),
                arguments=_written(item.get(key)),
                kind=name,
            )
        )
    for part in rows(item.get("content")) if kind == "message" and not again else ():
        if text(part.get("type")) == "refusal":
            answer.refuse(part.get("refusal"))


def _chat(answer: Answer, event: Values) -> None:
    answer.model = text(event.get("model")) or answer.model
    answer.id = text(event.get("id")) or answer.id
    for choice in rows(event.get("choices")):
        said = values(choice.get("delta")) or values(choice.get("message"))
        answer.say(text(said.get("content")))
        answer.say(text(said.get("reasoning_content")))
        if text(said.get("refusal")):
            answer.refuse(said.get("refusal"))
        for place, call in enumerate(rows(said.get("tool_calls"))):
            kind = "custom" if "custom" in call else "function"
            meant = values(call.get("custom") or call.get("function"))
            one = ToolCall(
                tool=text(meant.get("name")),
                call=text(call.get("id")),
                arguments=_written(meant.get("input") if kind == "custom" else meant.get("arguments")),
                kind=kind,
            )
            answer.say(one.arguments)
            index = call.get("index")
            answer.open_call(number(choice.get("index")) * 1000 + (number(index) if index is not None else place), one)
        if text(choice.get("finish_reason")):
            answer.stop(choice.get("finish_reason"))
            answer.close_calls()
    answer.usage = _openai_usage(event.get("usage")) or answer.usage
    if "error" in event:
        answer.fail(event.get("error"))


def _messages(answer: Answer, event: Values) -> None:
    kind = text(event.get("type"))
    match kind:
        case "message_start" | "message":
            said = values(event.get("message")) if kind == "message_start" else event
            answer.model = text(said.get("model")) or answer.model
            answer.id = text(said.get("id")) or answer.id
            for block in rows(said.get("content")):
                _block(answer, 0, block, whole=True)
            _stopped(answer, said.get("stop_reason"))
            answer.usage = _anthropic_usage(said.get("usage"), answer.usage)
            answer.final = kind == "message"
        case "content_block_start":
            _block(answer, number(event.get("index")), values(event.get("content_block")), whole=False)
        case "content_block_delta":
            delta = values(event.get("delta"))
            piece = text(delta.get("partial_json"))
            if piece:
                answer.open_call(number(event.get("index")), ToolCall(tool="", call="", arguments=piece))
            answer.say(piece or text(delta.get("text")) or text(delta.get("thinking")))
        case "content_block_stop":
            answer.close_calls()
        case "message_delta":
            _stopped(answer, values(event.get("delta")).get("stop_reason"))
            answer.usage = _anthropic_usage(event.get("usage"), answer.usage)
        case "message_stop":
            answer.final = True
        case "error":
            answer.fail(event.get("error"))
        case _:
            pass


def _stopped(answer: Answer, why: object) -> None:
    answer.stop(why)
    if why == "refusal":
        answer.refuse("")


def _block(answer: Answer, index: int, block: Values, *, whole: bool) -> None:
    answer.say(text(block.get("text")))
    if text(block.get("type")) != "tool_use":
        return
    given = block.get("input")
    one = ToolCall(
        tool=text(block.get("name")),
        call=text(block.get("id")),
        arguments=_written(given) if whole or given else "",
    )
    if whole:
        answer.call(one)
        answer.say(one.arguments)
    else:
        answer.open_call(index, one)


def _gemini(answer: Answer, event: Values) -> None:
    said = values(event.get("response")) if "response" in event and "candidates" not in event else event
    answer.model = text(said.get("modelVersion")) or answer.model
    answer.id = text(said.get("responseId")) or answer.id
    for candidate in rows(said.get("candidates")):
        for part in rows(values(candidate.get("content")).get("parts")):
            answer.say(text(part.get("text")))
            call = values(part.get("functionCall"))
            if call:
                arguments = _written(call.get("args"))
                answer.say(arguments)
                answer.call(ToolCall(tool=text(call.get("name")), call=text(call.get("id")), arguments=arguments))
        answer.stop(candidate.get("finishReason"))
        if text(candidate.get("finishReason")) in _BLOCKED:
            answer.refuse(candidate.get("finishMessage"))
    blocked = values(said.get("promptFeedback")).get("blockReason")
    if text(blocked):
        answer.stop(blocked)
        answer.refuse("")
    used = values(said.get("usageMetadata"))
    if used:
        answer.usage = Usage(
            input_tokens=number(used.get("promptTokenCount")) + number(used.get("toolUsePromptTokenCount")),
            cached_tokens=number(used.get("cachedContentTokenCount")),
            output_tokens=number(used.get("candidatesTokenCount")) + number(used.get("thoughtsTokenCount")),
            reasoning_tokens=number(used.get("thoughtsTokenCount")),
        )
        answer.final = bool(answer.finish)
    if "error" in event:
        answer.fail(event.get("error"))


_BLOCKED = frozenset(("SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"))

_READERS: Mapping[Interface, Callable[[Answer, Values], None]] = {
    Interface.RESPONSES: _responses,
    Interface.CHAT: _chat,
    Interface.MESSAGES: _messages,
    Interface.GEMINI: _gemini,
}


def _openai_usage(said: object) -> Usage | None:
    used = values(said)
    if not used:
        return None
    went_in = values(used.get("input_tokens_details")) or values(used.get("prompt_tokens_details"))
    came_out = values(used.get("output_tokens_details")) or values(used.get("completion_tokens_details"))
    return Usage(
        input_tokens=number(used.get("input_tokens")) or number(used.get("prompt_tokens")),
        cached_tokens=number(went_in.get("cached_tokens")) or number(used.get("prompt_cache_hit_tokens")),
        output_tokens=number(used.get("output_tokens")) or number(used.get("completion_tokens")),
        reasoning_tokens=number(came_out.get("reasoning_tokens")),
    )


def _anthropic_usage(said: object, before: Usage | None) -> Usage | None:
    """What a later event says counts; what it leaves out stays."""
    used = values(said)
    if not used:
        return before
    known = before or Usage()
    cached = number(used.get("cache_read_input_tokens")) or known.cached_tokens
    written = number(used.get("cache_creation_input_tokens")) or known.cache_write_tokens
    plain = number(used.get("input_tokens")) or (known.input_tokens - known.cached_tokens - known.cache_write_tokens)
    return Usage(
        input_tokens=plain + cached + written,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=max(number(used.get("output_tokens")), known.output_tokens),
        reasoning_tokens=known.reasoning_tokens,
    )


def _written(value: object) -> str:
    if value is None or isinstance(value, str):
        return text(value)
    try:
        return text(json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError):
        return ""
