"""What is read of requests to models and of their answers, whatever pieces they come in."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]
import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.egress.model_wire.streams import MESSAGES, STREAMS, WHOLE, sent

from ringfence.egress.http_response import ResponseHead
from ringfence.egress.model_wire.answers import Answer, take
from ringfence.egress.model_wire.asked import Asked, read_request
from ringfence.egress.model_wire.shapes import Values
from ringfence.egress.model_wire.spending import Spending
from ringfence.egress.model_wire.unpacking import Unreadable, readable, unpacking
from ringfence.egress.model_wire.watching import Exchange, Place
from ringfence.model.event import ModelAnswered, ModelToolCall
from ringfence.policy.effective import ModelPolicy
from ringfence.policy.judges.model import ModelTable, Usage
from ringfence.policy.model_endpoints import PROVIDERS, Interface, Meant, Provider, meaning

ANYWHERE = Provider(name="", hosts=("m.test",))
OPENAI = next(one for one in PROVIDERS if one.name == "openai")
ANTHROPIC = next(one for one in PROVIDERS if one.name == "anthropic")
CHATGPT = next(one for one in PROVIDERS if "chatgpt.com" in one.hosts)


def read(
    interface: Interface,
    pieces: list[bytes],
    *,
    media: bytes = b"text/event-stream",
    coding: bytes = b"",
    error: str = "",
    status: int = 200,
    content: bool = False,
) -> tuple[ModelAnswered, tuple[ModelToolCall, ...], Spending]:
    """What stands in the record after an answer in these pieces."""
    recorded: list[ModelAnswered | ModelToolCall] = []
    spending = Spending(ModelTable(ModelPolicy()))
    times = iter(range(100_000))
    exchange = Exchange(
        Place(spending, recorded.append, content=content),
        Asked(interface=interface, models=("asked",), prompt="do it", streams=True, size=300),
        provider="p",
        host="m.test",
        port=443,
        now=lambda: next(times) / 1000,
    )
    fields = ((b"content-type", media), (b"content-encoding", coding))
    exchange.responded(ResponseHead(status=status, fields=fields))
    for piece in pieces:
        exchange.received(piece)
    exchange.over(error)
    exchange.over("again")
    msgspec.json.encode(recorded)  # all of it can be on record
    answered, *calls = recorded
    assert isinstance(answered, ModelAnswered)
    return answered, tuple(one for one in calls if isinstance(one, ModelToolCall)), spending


@pytest.mark.parametrize("media", [b"application/json", b"text/event-stream"])
def test_answers_that_find_no_room_are_counted_by_their_length_and_the_others_are_read(media: bytes) -> None:
    recorded: list[ModelAnswered | ModelToolCall] = []
    place = Place(Spending(ModelTable(ModelPolicy())), recorded.append, content=False, most=100_000)

    def exchange() -> Exchange:
        asked = Asked(interface=Interface.CHAT, models=("asked",), prompt="do it", streams=True, size=300)
        one = Exchange(place, asked, provider="p", host="m.test", port=443, now=lambda: 0.0)
        one.responded(ResponseHead(status=200, fields=((b"content-type", media),)))
        return one

    used = {"prompt_tokens": 7, "completion_tokens": 9}
    said = json.dumps({"object": "chat.completion", "usage": used, "x": "y" * 60_000}).encode()
    body = said if media == b"application/json" else b"data: " + said + b"\n\ndata: [DONE]\n\n"
    first, second = exchange(), exchange()
    first.received(body[:60_000])
    second.received(body[:60_000])
    second.received(body[60_000:])
    first.received(body[60_000:])
    second.over("")
    first.over("")
    third = exchange()
    third.received(body)
    third.over("")

    full, *whole = [one for one in recorded if isinstance(one, ModelAnswered)]
    assert (full.unread, full.estimated) == ("too much is on its way at once to read it; its length was counted", True)
    assert full.output_tokens > 10_000
    assert [one.unread for one in whole] == ["", ""]
    assert place.keep(100_000)


def usage(answered: ModelAnswered) -> Usage:
    """The tokens of an event."""
    return Usage(
        input_tokens=answered.input_tokens,
        cached_tokens=answered.cached_tokens,
        cache_write_tokens=answered.cache_write_tokens,
        output_tokens=answered.output_tokens,
        reasoning_tokens=answered.reasoning_tokens,
    )


EXPECTED = {
    Interface.RESPONSES: (
        "gpt-5.5-2026",
        ("completed",),
        Usage(input_tokens=100, cached_tokens=60, output_tokens=40, reasoning_tokens=15),
        (("exec_command", "call_1", "function"), ("exec", "call_2", "custom")),
    ),
    Interface.CHAT: (
        "m-1",
        ("tool_calls",),
        Usage(input_tokens=100, cached_tokens=60, output_tokens=40, reasoning_tokens=15),
        (("sh", "t1", "function"),),
    ),
    Interface.MESSAGES: (
        "claude-x",
        ("tool_use",),
        Usage(input_tokens=100, cached_tokens=60, cache_write_tokens=30, output_tokens=40),
        (("Bash", "toolu_1", "function"),),
    ),
    Interface.GEMINI: (
        "gemini-x",
        ("STOP",),
        Usage(input_tokens=100, cached_tokens=60, output_tokens=40, reasoning_tokens=15),
        (("run", "g1", "function"),),
    ),
}


def told(answered: ModelAnswered, calls: tuple[ModelToolCall, ...]) -> tuple[object, ...]:
    """The part that every test expects."""
    assert (answered.unread, answered.error, answered.estimated) == ("", "", False)
    return (
        answered.answered_by,
        answered.finish,
        usage(answered),
        tuple((one.tool, one.call, one.kind) for one in calls),
    )


@pytest.mark.parametrize("interface", Interface)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_says_the_same_in_whatever_pieces_it_comes(interface: Interface, size: int) -> None:
    data = STREAMS[interface]
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    answered, calls, _ = read(interface, pieces)

    assert told(answered, calls) == EXPECTED[interface]


@pytest.mark.parametrize("interface", Interface)
def test_a_stream_with_other_line_ends_says_the_same(interface: Interface) -> None:
    for end in (b"\r\n", b"\r"):
        data = STREAMS[interface].replace(b"\n", end)
        answered, calls, _ = read(interface, [data[at : at + 3] for at in range(0, len(data), 3)])

        assert told(answered, calls) == EXPECTED[interface]


@pytest.mark.parametrize("interface", Interface)
def test_a_whole_answer_says_the_same_as_a_stream(interface: Interface) -> None:
    answered, calls, spending = read(interface, [json.dumps(WHOLE[interface]).encode()], media=b"application/json")

    assert told(answered, calls) == EXPECTED[interface]
    assert spending.spent().tokens == 140


PACKED: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"deflate": zlib.compress,
    b"br": brotli.compress,
    b"zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", PACKED)
def test_a_packed_stream_says_the_same(coding: bytes) -> None:
    data = PACKED[coding](MESSAGES)
    pieces = [data[at : at + 50] for at in range(0, len(data), 50)]

    answered, calls, _ = read(Interface.MESSAGES, pieces, coding=coding)

    assert told(answered, calls) == EXPECTED[Interface.MESSAGES]


@pytest.mark.parametrize("coding", PACKED)
def test_what_unpacks_without_end_is_not_read(coding: bytes) -> None:
    bomb = PACKED[coding](bytes(3_000_000))
    unpack = unpacking(coding.decode())

    with pytest.raises(Unreadable, match="longer than what is read"):
        for at in range(0, len(bomb), 4096):
            unpack(bomb[at : at + 4096], 1_000_000)


def test_codings_that_cannot_be_read_are_not_asked_for() -> None:
    assert readable("gzip, deflate;q=0.5, br, zstd, exi, *") == "gzip, deflate;q=0.5, br, zstd"
    assert readable("compress") == "identity"


def test_an_answer_in_an_unknown_coding_is_counted_by_its_length() -> None:
    answered, calls, spending = read(Interface.CHAT, [bytes(3000)], coding=b"exi")

    assert calls == ()
    assert answered.unread == "it is packed as `exi`, which is not known"
    assert (answered.estimated, answered.input_tokens, answered.output_tokens) == (True, 101, 1001)
    assert spending.spent().tokens == 1102


def test_an_answer_that_is_broken_off_is_not_for_nothing() -> None:
    before, _, _ = MESSAGES.partition(b"event: message_delta")
    spoken = b"I look." + b'{"command": "ls"}'

    answered, _, spending = read(Interface.MESSAGES, [before], error="the client went away")

    assert (answered.estimated, answered.error) == (True, "the client went away")
    assert (answered.input_tokens, answered.output_tokens) == (100, len(spoken) // 3 + 1)
    assert spending.spent().tokens == 100 + len(spoken) // 3 + 1


@pytest.mark.parametrize("interface", [Interface.RESPONSES, Interface.CHAT, Interface.MESSAGES, Interface.GEMINI])
def test_a_client_that_leaves_after_the_last_word_changes_nothing(interface: Interface) -> None:
    answered, _, _ = read(interface, [STREAMS[interface]], error="the client went away")

    assert (answered.estimated, usage(answered)) == (False, EXPECTED[interface][2])


@pytest.mark.slow
@pytest.mark.parametrize("said", ["refusal", "tool_calls"])
def test_what_comes_in_a_hundred_thousand_pieces_is_put_together_once(said: str) -> None:
    # Joined anew with every piece, a megabyte of it took a minute, in which nobody else was served.
    answer = Answer()
    piece = "0123456789"
    delta = {"refusal": piece, "tool_calls": [{"index": 0, "id": "1", "function": {"name": "x", "arguments": piece}}]}
    event = {"choices": [{"delta": {said: delta[said]}}]}

    began = time.process_time()
    for _ in range(100_000):
        take(Interface.CHAT, answer, event)
    answer.close_calls()

    assert time.process_time() - began < 5
    put_together = answer.refusal if said == "refusal" else answer.calls[0].arguments
    assert (put_together, answer.kept) == (piece * 100_000, len(piece) * 100_000)


def test_half_a_character_does_not_break_the_record() -> None:
    call = {"type": "function_call", "call_id": "\ud800", "name": "a\udc00", "arguments": {"b": "\ud800"}}
    item = {"type": "response.output_item.done", "item": call}

    _, calls, _ = read(Interface.RESPONSES, [sent(item)])

    assert [(one.tool, one.call, one.arguments) for one in calls] == [("a?", "?", '{"b": "?"}')]


def test_a_stream_without_its_tokens_is_counted_by_its_length() -> None:
    data = sent({"choices": [{"index": 0, "delta": {"content": "x" * 300}, "finish_reason": "stop"}]}, "[DONE]")

    answered, _, _ = read(Interface.CHAT, [data])

    assert (answered.estimated, answered.input_tokens, answered.output_tokens) == (True, 101, 101)


def test_an_error_of_the_provider_costs_nothing_and_is_told() -> None:
    body = json.dumps({"type": "error", "error": {"type": "overloaded_error", "message": "come back later"}}).encode()

    answered, _, spending = read(Interface.MESSAGES, [body], media=b"application/json", status=529)

    assert (answered.status, answered.error, answered.estimated) == (529, "come back later", False)
    assert spending.spent().tokens == 0


@pytest.mark.parametrize(
    ("interface", "events"),
    [
        (
            Interface.RESPONSES,
            [
                {
                    "type": "response.output_item.done",
                    "item": {"type": "message", "content": [{"type": "refusal", "refusal": "I will not"}]},
                }
            ],
        ),
        (
            Interface.CHAT,
            [
                {"choices": [{"index": 0, "delta": {"refusal": "I will "}}]},
                {"choices": [{"delta": {"refusal": "not"}}]},
            ],
        ),
        (Interface.MESSAGES, [{"type": "message_delta", "delta": {"stop_reason": "refusal"}}]),
        (Interface.GEMINI, [{"promptFeedback": {"blockReason": "SAFETY"}}]),
    ],
)
def test_a_refusal_is_told_in_words_only_where_content_is_recorded(interface: Interface, events: list[object]) -> None:
    words = "I will not" if interface in (Interface.RESPONSES, Interface.CHAT) else None

    plain, _, _ = read(interface, [sent(*events)])
    full, _, _ = read(interface, [sent(*events)], content=True)

    assert (plain.refused, plain.refusal, plain.prompt) == (True, None, None)
    assert (full.refused, full.refusal, full.prompt) == (True, words, "do it")


@given(st.sampled_from(list(Interface)), st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_no_answer_makes_the_reading_fail(interface: Interface, pieces: list[bytes], streamed: bool) -> None:
    media = b"text/event-stream" if streamed else b"application/json"

    answered, _, _ = read(interface, [b"data: ", *pieces, b"\n\n"], media=media)

    assert answered.status == 200


_KEYS = st.sampled_from(
    [
        *("type", "response", "item", "output", "usage", "choices", "delta", "message", "content", "tool_calls"),
        *("index", "candidates", "parts", "functionCall", "error", "model", "input", "messages", "contents", "role"),
        *("text", "finish_reason", "usageMetadata", "content_block", "request", "models", "tools", "stream"),
    ]
)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["message", "error", "user", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.slow
@given(st.sampled_from(list(Interface)), st.lists(_JSON, max_size=4))
def test_no_values_make_the_reading_fail(interface: Interface, events: list[object]) -> None:
    answered, _, _ = read(interface, [sent(json.dumps(one), named=False) for one in events])

    assert answered.unread == ""


@pytest.mark.slow
@given(st.sampled_from(list(Interface)), _JSON)
def test_no_request_makes_the_reading_fail(interface: Interface, body: object) -> None:
    try:
        said = read_request(Meant(interface=interface), json.dumps(body).encode(), strict=True)
    except Unreadable:
        assert not isinstance(body, dict) or {"models", "fallbacks", "response"} & body.keys()
    else:
        assert said.interface is interface


@pytest.mark.parametrize("key", ["Model", "MODELS", "Max_Tokens", "re\u017fponse"])
def test_a_key_that_only_some_servers_take_for_a_known_one_is_not_read_where_it_matters(key: str) -> None:
    body = json.dumps({"model": "small", key: "large"}).encode()

    with pytest.raises(Unreadable, match="spelled in a way that servers differ on"):
        read_request(Meant(interface=Interface.CHAT), body, strict=True)
    assert read_request(Meant(interface=Interface.CHAT), body, strict=False).models == ("small",)


REQUESTS = [
    (
        Interface.RESPONSES,
        {
            "model": "gpt-5.5",
            "stream": True,
            "max_output_tokens": 9,
            "tools": [{}, {}],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "context"}]},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "fix it"}]},
                {"type": "function_call_output", "call_id": "c", "output": "done"},
            ],
        },
        Asked(
            interface=Interface.RESPONSES, models=("gpt-5.5",), prompt="fix it", streams=True, most_output=9, tools=2
        ),
    ),
    (
        Interface.CHAT,
        {
            "model": "a/b",
            "models": ["c/d"],
            "max_tokens": 5,
            "messages": [{"role": "user", "content": "fix it"}, {"role": "tool", "content": "done"}],
        },
        Asked(interface=Interface.CHAT, models=("a/b", "c/d"), prompt="fix it", most_output=5),
    ),
    (
        Interface.MESSAGES,
        {
            "model": "claude-x",
            "max_tokens": 7,
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a note"}, {"type": "text", "text": "fix it"}]},
                {"role": "assistant", "content": "yes"},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "done"}]},
            ],
        },
        Asked(interface=Interface.MESSAGES, models=("claude-x",), prompt="fix it", most_output=7),
    ),
    (
        Interface.GEMINI,
        {
            "contents": [
                {"role": "user", "parts": [{"text": "fix it"}]},
                {"role": "user", "parts": [{"functionResponse": {}}]},
            ],
            "generationConfig": {"maxOutputTokens": 3},
        },
        Asked(interface=Interface.GEMINI, models=("gemini-x",), prompt="fix it", most_output=3),
    ),
]


@pytest.mark.parametrize(("interface", "body", "expected"), REQUESTS)
def test_requests_are_read(interface: Interface, body: object, expected: Asked) -> None:
    data = json.dumps(body).encode()
    meant = Meant(interface=interface, model="gemini-x" if interface is Interface.GEMINI else "")

    assert read_request(meant, data, strict=True) == msgspec.structs.replace(expected, size=len(data))


def test_the_model_of_a_message_may_stand_in_an_object_of_its_own() -> None:
    body = {"type": "response.create", "response": {"model": "gpt-5.5"}}

    said = read_request(Meant(interface=Interface.RESPONSES), json.dumps(body).encode(), strict=True)

    assert (said.kind, said.models) == ("response.create", ("gpt-5.5",))


@pytest.mark.parametrize(
    ("more", "models"),
    [
        ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "b"}]}, ("a", "b")),
        ({"tools": [{"type": "image_generation", "model": "b"}, {"type": "web_search"}]}, ("a", "b")),
        ({"tools": [{"type": "x:advisor", "parameters": {"model": "b", "models": ["c"]}}]}, ("a", "b", "c")),
        ({"tools": [{"type": "function", "name": "f", "parameters": {"properties": {"model": {}}}}]}, ("a",)),
        ({"plugins": [{"id": "x", "models": ["b"]}]}, ("a", "b")),
        ({"fallbacks": ["b", {"model": "c", "temperature": 0}]}, ("a", "b", "c")),
        ({"response": {"model": "a", "tools": [{"type": "x", "model": "b"}]}}, ("a", "b")),
        ({"models": [], "fallbacks": None}, ("a",)),
    ],
)
def test_the_models_that_a_request_makes_its_provider_ask_are_asked_too(more: Values, models: tuple[str, ...]) -> None:
    said = read_request(Meant(interface=Interface.CHAT), json.dumps({"model": "a", **more}).encode(), strict=True)

    assert said.models == models


def test_a_tool_names_no_model_for_a_request_that_names_none() -> None:
    body = {"prompt": {"id": "x"}, "tools": [{"type": "image_generation", "model": "b"}], "fallbacks": ["b"]}

    assert read_request(Meant(interface=Interface.RESPONSES), json.dumps(body).encode(), strict=True).models == ()


@pytest.mark.parametrize(
    "more",
    [
        {"models": "b"},
        {"models": [{"id": "b"}]},
        {"fallbacks": [{"a": ["b"]}]},
        {"fallbacks": {"a": "b"}},
        {"Fallbacks": []},
    ],
)
def test_further_models_that_are_named_in_another_way_are_not_read_where_it_matters(more: Values) -> None:
    body = json.dumps({"model": "a", **more}).encode()

    with pytest.raises(Unreadable):
        read_request(Meant(interface=Interface.CHAT), body, strict=True)
    assert read_request(Meant(interface=Interface.CHAT), body, strict=False).models == ("a",)


@pytest.mark.parametrize(
    "body",
    [b'{"model":"a","model":"b"}', b'{"model":"a","\\u006dodel":"b"}', b'["a"]', b"not JSON", b"[" * 100_000, b"\xff"],
)
def test_a_request_that_can_be_read_in_two_ways_or_in_none_is_not_read(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_request(Meant(interface=Interface.CHAT), body, strict=True)


@pytest.mark.parametrize(
    ("provider", "method", "path", "expected"),
    [
        (OPENAI, "POST", "/v1/responses", Meant(interface=Interface.RESPONSES)),
        (OPENAI, "POST", "/v1/responses/compact", Meant(interface=Interface.RESPONSES)),
        (OPENAI, "POST", "/v1/chat/completions", Meant(interface=Interface.CHAT)),
        (ANTHROPIC, "POST", "/v1/messages", Meant(interface=Interface.MESSAGES)),
        (ANTHROPIC, "POST", "/v1/messages/count_tokens", Meant()),
        (ANTHROPIC, "POST", "/api/event_logging/batch", Meant()),
        (OPENAI, "GET", "/v1/models", Meant()),
        (
            ANYWHERE,
            "POST",
            "/openai/deployments/gpt-big/chat/completions",
            Meant(interface=Interface.CHAT, model="gpt-big"),
        ),
        (
            ANYWHERE,
            "POST",
            "/v1beta/models/gemini-x:streamGenerateContent",
            Meant(interface=Interface.GEMINI, model="gemini-x", streams=True),
        ),
        (ANYWHERE, "POST", "/v1beta/models/gemini-x:generateContent/more", None),
        (ANYWHERE, "POST", "/v1internal:streamGenerateContent", Meant(interface=Interface.GEMINI, streams=True)),
        (
            ANYWHERE,
            "POST",
            "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x@1:streamRawPredict",
            Meant(interface=Interface.MESSAGES, model="claude-x@1", streams=True),
        ),
        (ANYWHERE, "POST", "/v1/projects/p/publishers/meta/models/m:rawPredict", None),
        (OPENAI, "POST", "/v1/completions", None),
        (OPENAI, "POST", "/v1/batches", None),
        (OPENAI, "POST", "/v1/responses/", None),
        (OPENAI, "POST", "/v1/Responses", None),
        (ANTHROPIC, "POST", "/v1/messages/batches", None),
        (ANTHROPIC, "POST", "/api/%2e%2e/v1/complete", None),
        (ANYWHERE, "POST", "/v1/messages%3Fx=/messages/count_tokens", None),
        (ANYWHERE, "POST", "/v1/completions;/messages/count_tokens", None),
        (ANYWHERE, "POST", "/v1/batches%3F/chat/completions", None),
        (ANYWHERE, "POST", "/v1/batches;/responses", None),
        (ANYWHERE, "POST", "/v1beta/models/large:generateContent%3F/models/small:generateContent", None),
        (ANYWHERE, "POST", "/v1beta/models/large:generateContent;/models/small:generateContent", None),
        (ANYWHERE, "POST", "/openai/deployments/gpt%20big/chat/completions", None),
        (ANYWHERE, "POST", "/openai/deployments/a/deployments/b/chat/completions", None),
        (ANYWHERE, "POST", "/openai/deployments//chat/completions", None),
        (
            ANYWHERE,
            "POST",
            "/openai/deployments/gpt-big/extensions/chat/completions",
            Meant(interface=Interface.CHAT, model="gpt-big"),
        ),
        (
            ANYWHERE,
            "POST",
            "/ai/OpenAI/Deployments/gpt-big/chat/completions",
            Meant(interface=Interface.CHAT, model="gpt-big"),
        ),
        (ANYWHERE, "POST", "/v1/engines/gpt-big/responses", Meant(interface=Interface.RESPONSES, model="gpt-big")),
        (ANYWHERE, "POST", "/models/chat/completions", Meant(interface=Interface.CHAT)),
        (CHATGPT, "POST", "/backend-api/wham/tasks", None),
        (CHATGPT, "POST", "/backend-api/wham/Tasks/", None),
        (CHATGPT, "GET", "/backend-api/wham/tasks/list", Meant()),
        (CHATGPT, "POST", "/backend-api/wham/apps", Meant()),
    ],
)
def test_what_a_path_means_is_known_or_said_not_to_be(
    provider: Provider, method: str, path: str, expected: Meant | None
) -> None:
    assert meaning(provider, method, path) == expected
