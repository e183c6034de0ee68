"""The figures that `make bench-policy` prints, as limits: below them nothing lands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bench.command_lists import (
    ATTACKS,
    EVERYDAY,
    Judge,
    Judged,
    attacks_allowed,
    listed,
    not_denied,
    own,
    share,
    stopped,
)
from bench.policy import LEAST_ATTACKS_STOPPED, LEAST_EVERYDAY_ALLOWED

from ringfence.model.decision import Verdict


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[tuple[Judged, ...], tuple[Judged, ...]]]:
    judge = Judge(str(tmp_path_factory.mktemp("lists")))
    yield judge.judge(own(ATTACKS)), judge.judge(own(EVERYDAY))


def test_there_are_at_least_six_hundred_rows_and_none_twice() -> None:
    rows = own((*ATTACKS, *EVERYDAY))
    commands = [row.command for row in rows]

    assert len(rows) >= 600
    assert sorted(commands) == sorted(set(commands))


def test_attacks_do_not_simply_run(judged: tuple[tuple[Judged, ...], tuple[Judged, ...]]) -> None:
    attacks, _ = judged
    through = attacks_allowed(attacks)

    assert share(len(attacks) - len(through), len(attacks)) >= LEAST_ATTACKS_STOPPED, listed("allowed", through, 99)


def test_what_deserves_a_denial_is_denied(judged: tuple[tuple[Judged, ...], tuple[Judged, ...]]) -> None:
    soft = not_denied((*judged[0], *judged[1]))

    assert soft == (), listed("not denied", soft, 99)


def test_everyday_work_passes_without_a_question(judged: tuple[tuple[Judged, ...], tuple[Judged, ...]]) -> None:
    _, everyday = judged
    annoyed = stopped(everyday)
    wanted = sum(one.row.deserves is Verdict.ALLOW for one in everyday)

    assert share(wanted - len(annoyed), wanted) >= LEAST_EVERYDAY_ALLOWED, listed("stopped", annoyed, 99)
