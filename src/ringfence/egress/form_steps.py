"""Looks into a form in parts that is too long to be held before it goes: where one of its parts names another method,
its server never gets the whole of it.

What a name of a part may stand for is known to `posing`.
"""

from __future__ import annotations

from collections.abc import Callable

from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Held, Steps
from ringfence.egress.posing import LongForm, Posing
from ringfence.model.decision import Decision


class FormSteps(Steps):
    """One long form."""

    def __init__(self, head: RequestHead, denied: Callable[[Posing], Decision]) -> None:
        self._form = LongForm(head)
        self._denied = denied

    def sent(self, data: bytes) -> bytes | Held:
        """A piece of the form."""
        found = self._form.feed(data)
        return data if found is None else Held(decision=self._denied(found))
