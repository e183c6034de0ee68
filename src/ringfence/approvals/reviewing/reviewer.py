"""A review from its question to its conclusion. Whatever goes wrong on the way is `unavailable`, never an allow."""

from __future__ import annotations

import asyncio
import hashlib
import logging

from ringfence.approvals.reviewing.asking import Ask, ReviewerUnavailable
from ringfence.approvals.reviewing.opinion import (
    Conclusion,
    Opinion,
    Reviewed,
    category,
    conclude,
)
from ringfence.approvals.reviewing.request import is_shown_whole, review_request
from ringfence.approvals.reviewing.scorer import found, score
from ringfence.approvals.reviewing.transcript import Transcript
from ringfence.model.decision import Decision, Risk

logger = logging.getLogger(__name__)

_RISKS = tuple(Risk)


class Reviewer:
    """Reviews the questions of one session."""

    def __init__(
        self, *, name: str, ask: Ask | None, ceiling: Risk | None, tenant: str = "", audit_fraction: float = 0.0
    ) -> None:
        """Without `ask` the table of features answers alone."""
        self._name = name
        self._ask = ask
        self._ceiling = ceiling
        self._tenant = tenant
        self._audit = audit_fraction

    async def review(self, decision: Decision, transcript: Transcript) -> Reviewed:
        """What comes of a question."""
        scored = score(decision, transcript.words)
        # The table stands below every model: no answer makes a risk smaller than what it sees.
        least = max((feature.least for feature in found(decision)), key=_RISKS.index, default=Risk.LOW)
        if self._ask is None:
            low = scored.risk_level is Risk.LOW and self._ceiling is not None
            conclusion = Conclusion.ALLOW if low else Conclusion.PASS
            return self._settled("scorer", conclusion, scored, _digest(decision.policy, decision.message), decision)
        if not is_shown_whole(decision):
            # SECURITY: padding must not hide from a model what it would allow.
            return self._unavailable("the action is too long to be shown to it", _digest(decision.policy))
        request = review_request(decision, transcript, tenant=self._tenant)
        seen = _digest(request.instructions, request.document)
        try:
            opinion = await self._ask(request)
        except ReviewerUnavailable as error:
            return self._unavailable(str(error), seen)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # fail closed: whatever a reviewer does to us is no answer
            logger.exception("the reviewer failed")
            return self._unavailable(f"it failed: {type(error).__name__}", seen)
        return self._settled(self._name, conclude(opinion, self._ceiling, least), opinion, seen, decision)

    def _settled(self, name: str, conclusion: Conclusion, opinion: Opinion, seen: str, decision: Decision) -> Reviewed:
        return Reviewed(
            reviewer=name,
            conclusion=conclusion,
            opinion=opinion,
            seen=seen,
            told=category(conclusion, opinion.risk_level),
            audited=conclusion is Conclusion.ALLOW and self._is_sampled(seen, decision),
        )

    def _unavailable(self, problem: str, seen: str) -> Reviewed:
        return Reviewed(
            reviewer=self._name,
            conclusion=Conclusion.UNAVAILABLE,
            problem=problem,
            seen=seen,
            told=category(Conclusion.UNAVAILABLE, Risk.LOW),
        )

    def _is_sampled(self, seen: str, decision: Decision) -> bool:
        """Whether a person looks at it afterwards. By digest, so that it cannot be had by trying again."""
        drawn = int(_digest(seen, decision.policy)[:13], 16) / 16**13
        return drawn < self._audit


def _digest(*texts: str) -> str:
    joined = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        joined.update(len(data).to_bytes(8, "big") + data)
    return joined.hexdigest()
