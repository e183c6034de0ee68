"""Which credentials of all layers count: who binds one for everybody binds it alone."""

from __future__ import annotations

from ringfence.policy.choosing import distrust
from ringfence.policy.credentials import overlap
from ringfence.policy.documents import Document
from ringfence.policy.effective import CredentialPolicy, CredentialRule
from ringfence.policy.merging import Merging


def merged_credentials(merging: Merging) -> CredentialPolicy:
    """Who binds a credential for everybody binds it alone: on its hosts no other one counts."""
    kept: dict[str, tuple[CredentialRule, Document]] = {}
    for document in merging.documents:
        for rule in document.credentials.rules:
            what = f"credential `{rule.id}`"
            if not document.trusted:
                merging.skip(rule.origin, what, distrust(document))
                continue
            taken = next((one for one, by in kept.values() if by.layer.binds and _collide(one, rule)), None)
            if taken is not None and not document.layer.binds:
                why = f"{taken.origin.source} binds `{taken.id}` for everybody"
                merging.skip(rule.origin, what, why, taken.origin)
                continue
            for name in [name for name, (one, by) in kept.items() if _displaces(document, rule, by, one)]:
                merging.skip(kept.pop(name)[0].origin, f"credential `{name}`", f"that of {rule.origin.source} counts")
            kept[rule.id] = (rule, document)
    return CredentialPolicy(
        rules=tuple(rule for rule, _ in kept.values()),
        forbidden=tuple(one for document in merging.documents for one in document.credentials.forbidden),
    )


def _collide(one: CredentialRule, other: CredentialRule) -> bool:
    return one.id == other.id or any(overlap(first, second) for first in one.hosts for second in other.hosts)


def _displaces(document: Document, rule: CredentialRule, by: Document, one: CredentialRule) -> bool:
    """Whether a rule takes the place of another of a lower layer, or of people where it binds them."""
    return one.id == rule.id or (document.layer.binds and not by.layer.binds and _collide(one, rule))
