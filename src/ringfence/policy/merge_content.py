"""What all layers say about what may leave in requests, as one: the strictest counts, and where nothing is stopped is
said by who may loosen, and where an administrator speaks, by administrators alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.model.decision import Verdict
from ringfence.policy.choosing import distrust
from ringfence.policy.documents import Document
from ringfence.policy.effective import ContentPolicy, OnSecret, Origin
from ringfence.policy.layers import Layer
from ringfence.policy.merging import Merging


def merged_content(merging: Merging) -> ContentPolicy:
    """What may leave in requests."""
    said = [(document, document.content) for document in merging.documents]
    order = list(OnSecret)
    on_secret = [(document, one.on_secret) for document, one in said]
    canaries = [(document, one.canaries) for document, one in said]
    unreadable = [(document, one.unreadable) for document, one in said]
    # Whoever repeats what an administrator says does not take it over.
    bound = {one.layer: at for one in merging.documents if one.layer.binds for at in looking(one)}
    if bound:
        merging.origins["content"] = bound.get(Layer.REQUIREMENTS) or bound[Layer.MANAGED]
    return ContentPolicy(
        on_secret=merging.scalar("content.on_secret", on_secret, order.index, OnSecret.OFF)[0],
        canaries=merging.scalar("content.canaries", canaries, int, False)[0],
        unreadable=merging.scalar("content.unreadable", unreadable, lambda one: one.strictness, Verdict.ALLOW)[0],
        record_only=_record_only(merging),
        budgets=tuple(budget for _, one in said for budget in one.budgets),
    )


def _record_only(merging: Merging) -> tuple[str, ...]:
    """Destinations where nothing is stopped: those of the presets, unless somebody has a list of their own, and
    where an administrator says what is looked for, only those of administrators."""
    binding = [one.content for one in merging.documents if one.layer.binds]
    strict = [one.on_secret[1] for one in binding if one.on_secret is not None]
    strict += [one.canaries[1] for one in binding if one.canaries is not None]
    own = any(
        one.content.record_only is not None and one.trusted and (one.layer.binds or not strict)
        for one in merging.documents
        if one.layer is not Layer.PRESET
    )
    kept: list[str] = []
    for document in merging.documents:
        listed = document.content.record_only or ()
        for number, (pattern, origin) in enumerate(listed):
            # Said once for a list, however long it is.
            told, more = number == 0, f" and {len(listed) - 1} more" if len(listed) > 1 else ""
            what = f"only recording at `{pattern}`{more}"
            if not document.trusted:
                merging.skip(origin, what, distrust(document), told=told)
            elif document.layer is Layer.PRESET and own:
                merging.skip(origin, what, "another list takes the place of this one", told=False)
            elif strict and not document.layer.binds and document.layer is not Layer.PRESET:
                why = f"{strict[0].source} says what happens with secrets for everybody"
                merging.skip(origin, what, why, strict[0], told=told)
            elif any(one.layer is Layer.REQUIREMENTS and one.content.record_only == () for one in merging.documents):
                merging.skip(origin, what, "requirements say that findings count everywhere", told=told)
            else:
                kept.append(pattern)
                merging.origins.setdefault(f"content.record_only.{pattern}", origin)
    return tuple(dict.fromkeys(kept))


def looking(document: Document) -> Iterator[Origin]:
    """Where a document says that requests are looked into for what they carry."""
    said = document.content
    if said.on_secret is not None and said.on_secret[0] is not OnSecret.OFF:
        yield said.on_secret[1]
    if said.canaries is not None and said.canaries[0]:
        yield said.canaries[1]
