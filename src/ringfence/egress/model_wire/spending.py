"""What a session has used of models so far. Requests that are not answered yet are counted with what they may use, so
that many at once do not get past a budget that one after the other would keep."""

from __future__ import annotations

from ringfence.egress.model_wire.asked import Asked
from ringfence.policy.judges.model import ModelTable, Spent, Usage

BYTES_OF_TOKEN = 3
"""For estimates, rather too many tokens than too few."""
USUAL_OUTPUT = 8_192
"""Tokens that an answer may have whose request does not say how many."""


class Spending:
    """Of one session, all its sandboxes included."""

    def __init__(self, table: ModelTable) -> None:
        self._table = table
        self._tokens = 0
        self._cost = 0
        self._open: dict[int, tuple[int, int]] = {}
        self._next = 0
        self.requests = 0
        self.estimated = 0
        """Answers whose tokens are not known but guessed."""

    def spent(self) -> Spent:
        """Everything so far."""
        return Spent(
            tokens=self._tokens,
            cost=self._cost,
            open_requests=len(self._open),
            open_tokens=sum(tokens for tokens, _ in self._open.values()),
            open_cost=sum(cost for _, cost in self._open.values()),
        )

    def begin(self, request: Asked) -> int:
        """A request goes out; the number by which it is settled."""
        usage = expected(request)
        self._next += 1
        self._open[self._next] = (usage.total, self._dearest(request.models, usage))
        return self._next

    def settle(self, number: int, models: tuple[str, ...], usage: Usage, *, estimated: bool) -> int:
        """It is answered; what it cost."""
        if self._open.pop(number, None) is None:
            return 0
        cost = self._dearest(models, usage)
        self._tokens += usage.total
        self._cost += cost
        self.requests += 1
        self.estimated += estimated
        return cost

    def _dearest(self, models: tuple[str, ...], usage: Usage) -> int:
        return max((self._table.cost(name, usage) for name in models or ("",)), default=0)


def expected(request: Asked) -> Usage:
    """What a request may use."""
    return Usage(input_tokens=request.size // BYTES_OF_TOKEN + 1, output_tokens=request.most_output or USUAL_OUTPUT)


def guessed(request: Asked, known: Usage | None, output_bytes: int) -> Usage:
    """What an answer has used that did not say it, or not to its end."""
    guess = Usage(input_tokens=request.size // BYTES_OF_TOKEN + 1, output_tokens=output_bytes // BYTES_OF_TOKEN + 1)
    if known is None:
        return guess
    return Usage(
        input_tokens=known.input_tokens or guess.input_tokens,
        cached_tokens=known.cached_tokens,
        cache_write_tokens=known.cache_write_tokens,
        output_tokens=max(known.output_tokens, guess.output_tokens),
        reasoning_tokens=known.reasoning_tokens,
    )
