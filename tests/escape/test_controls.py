"""What must still work inside. A sandbox in which nothing works at all would stop every attack, too."""

from __future__ import annotations

import pytest

from ringfence.verify.arena import Arena, resolvers
from ringfence.verify.attack import Attack
from ringfence.verify.prove import Result, carry_out
from ringfence.verify.sandboxes import in_tier_a
from ringfence.verify.stage import Person

pytestmark = [pytest.mark.escape, pytest.mark.slow]

_COMMIT = "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --oneline"


def _inside(work: Attack, person: Person, arena: Arena | None = None) -> Result:
    return carry_out(work, in_tier_a, person=person, arena=arena, timeout=20)


def test_ordinary_files_of_the_workspace_can_be_written(person: Person) -> None:
    path = "{workspace}/src/main.py"
    work = Attack(
        id="ordinary file",
        title="",
        attack=("write", path, "{secret}"),
        works=("file_has", path, "{secret}"),
        ends=("done",),
    )

    result = _inside(work, person)

    assert result.evidence, result.told()


def test_git_commits_inside(person: Person) -> None:
    work = Attack(
        id="commit",
        title="",
        attack=("run", "sh", "-c", _COMMIT),
        setup=(("repository",),),
        works=("said_success",),
        ends=("done",),
    )

    result = _inside(work, person)

    assert result.ran.ended == "done", result.told()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("fetch", ("http://public.allowed.test/", "{secret}")),
        ("tunnel", ("public.allowed.test:80", "GET / HTTP/1.1\r\nHost: public.allowed.test\r\nX: {secret}\r\n\r\n")),
        ("hello", ("public.allowed.test:443", "public.allowed.test")),
    ],
)
def test_allowed_host_is_reached(program: str, words: tuple[str, ...], person: Person, arena: Arena | None) -> None:
    if arena is None or not resolvers():
        pytest.skip("the battery's own internet needs a network namespace and a name server that is not on loopback")
    work = Attack(
        id="allowed",
        title="",
        attack=(program, *words),
        setup=(("allowed", "**.allowed.test"),),
        arena=True,
        works=("heard", "web", "web-plain"),
        ends=("done",),
    )

    result = _inside(work, person, arena)

    assert result.evidence, result.told()
    assert result.ran.ended == "done", result.told()
