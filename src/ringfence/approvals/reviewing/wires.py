"""The interfaces of models that can review: what is sent, and where the answer stands in what comes back. Pure.

OpenAI Responses and Chat Completions, which many servers speak, and Anthropic Messages. The model is held to the schema
where the interface can do that; what it says is checked all the same.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from ringfence.approvals.reviewing.opinion import AnswerInvalid, schema
from ringfence.approvals.reviewing.request import ReviewRequest

MAX_TOKENS = 1_000


class Wire(Protocol):
    """One interface."""

    def path(self) -> str:
        """What is appended to the base address."""
        ...

    def headers(self, key: str) -> dict[str, str]:
        """With the key, which stands nowhere else."""
        ...

    def body(self, model: str, request: ReviewRequest) -> bytes:
        """The request."""
        ...

    def answer(self, body: bytes) -> str:
        """The text of the answer; `AnswerInvalid` where there is none."""
        ...


class Responses:
    """OpenAI Responses."""

    def path(self) -> str:
        """`/responses`."""
        return "/responses"

    def headers(self, key: str) -> dict[str, str]:
        """A bearer token."""
        return _bearer(key)

    def body(self, model: str, request: ReviewRequest) -> bytes:
        """Not stored by the service, and held to the schema."""
        shape = {"type": "json_schema", "name": "review", "strict": True, "schema": schema()}
        return msgspec.json.encode(
            {
                "model": model,
                "instructions": request.instructions,
                "input": [{"role": "user", "content": [{"type": "input_text", "text": request.document}]}],
                "text": {"format": shape},
                "max_output_tokens": MAX_TOKENS,
                "store": False,
            }
        )

    def answer(self, body: bytes) -> str:
        """The text of the one message; a refusal is no answer."""
        found = _object(body)
        if found.get("status") not in (None, "completed"):
            raise AnswerInvalid(f"the model did not finish: {str(found.get('status'))[:50]}")
        texts = [
            part.get("text")
            for item in _list(found.get("output"))
            if item.get("type") == "message"
            for part in _list(item.get("content"))
            if part.get("type") == "output_text"
        ]
        return _only(texts)


class ChatCompletions:
    """OpenAI Chat Completions."""

    def path(self) -> str:
        """`/chat/completions`."""
        return "/chat/completions"

    def headers(self, key: str) -> dict[str, str]:
        """A bearer token."""
        return _bearer(key)

    def body(self, model: str, request: ReviewRequest) -> bytes:
        """Held to the schema where the server knows how."""
        shape = {"type": "json_schema", "json_schema": {"name": "review", "strict": True, "schema": schema()}}
        return msgspec.json.encode(
            {
                "model": model,
                "messages": [
                    {"role": "system", "content": request.instructions},
                    {"role": "user", "content": request.document},
                ],
                "response_format": shape,
                "max_completion_tokens": MAX_TOKENS,
            }
        )

    def answer(self, body: bytes) -> str:
        """The content of the one choice, where it was finished."""
        choices = _list(_object(body).get("choices"))
        texts = []
        for choice in choices:
            if choice.get("finish_reason") not in (None, "stop"):
                raise AnswerInvalid(f"the model did not finish: {str(choice.get('finish_reason'))[:50]}")
            message = choice.get("message")
            texts.append(message.get("content") if isinstance(message, dict) else None)
        return _only(texts)


class Messages:
    """Anthropic Messages."""

    def path(self) -> str:
        """`/v1/messages`."""
        return "/v1/messages"

    def headers(self, key: str) -> dict[str, str]:
        """The key and the version of the interface."""
        return {"x-api-key": key, "anthropic-version": "2023-06-01"}

    def body(self, model: str, request: ReviewRequest) -> bytes:
        """The document as the one message."""
        return msgspec.json.encode(
            {
                "model": model,
                "max_tokens": MAX_TOKENS,
                "system": request.instructions,
                "messages": [{"role": "user", "content": request.document}],
            }
        )

    def answer(self, body: bytes) -> str:
        """The text of the one block."""
        found = _object(body)
        if found.get("stop_reason") not in (None, "end_turn", "stop_sequence"):
            raise AnswerInvalid(f"the model did not finish: {str(found.get('stop_reason'))[:50]}")
        return _only([part.get("text") for part in _list(found.get("content")) if part.get("type") == "text"])


WIRES: dict[str, Wire] = {
    "openai-responses": Responses(),
    "openai-chat": ChatCompletions(),
    "anthropic": Messages(),
}


def _bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise AnswerInvalid(f"the service did not answer with JSON: {error}") from error
    if not isinstance(found, dict):
        raise AnswerInvalid("the service did not answer with a JSON object")
    return found


def _list(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _only(texts: list[Any]) -> str:
    """SECURITY: of several answers none counts: which one was meant would be a guess."""
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise AnswerInvalid(f"the service gave {len(texts)} answers where one was asked for")
    return texts[0]
