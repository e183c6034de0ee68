"""Every kind of secret is found in what has it, and not in what only looks like it."""

from __future__ import annotations

import pytest

from ringfence.egress.content.matching import Forms
from ringfence.egress.content.patterns import Pattern, patterns

FORMS = Forms(patterns())
HITS = [(one, "".join(pieces)) for one in patterns() for pieces in one.hit]
MISSES = [(one, "".join(pieces)) for one in patterns() for pieces in one.miss]


@pytest.mark.parametrize(("pattern", "text"), HITS, ids=[one.id for one, _ in HITS])
def test_a_secret_is_found_alone_and_within_a_text(pattern: Pattern, text: str) -> None:
    for written in (text, f'{{"note": "see {text} and go on"}}', f"first line\n{text}\nlast line\n"):
        found = FORMS.find(written.encode())

        assert [one.name for one in found] == [pattern.id], written


@pytest.mark.parametrize(("pattern", "text"), MISSES, ids=[one.id for one, _ in MISSES])
def test_what_only_looks_like_a_secret_is_not_found(pattern: Pattern, text: str) -> None:
    assert [one.name for one in FORMS.find(text.encode())] == []


def test_every_hit_holds_a_keyword_and_every_id_is_used_once() -> None:
    for pattern, text in HITS:
        assert any(word.lower() in text.lower() for word in pattern.keywords), pattern.id
    assert len({one.id for one in patterns()}) == len(patterns())


GLUED = ("github-token", "gitlab-token", "slack-token", "stripe-key", "anthropic-key", "npm-token", "vault-token")


@pytest.mark.parametrize("name", GLUED)
def test_a_secret_with_a_beginning_of_its_own_is_found_within_a_word_too(name: str) -> None:
    text = next(text for pattern, text in HITS if pattern.id == name)

    assert [one.name for one in FORMS.find(f"word{text}".encode())] == [name]
