"""The battery's data is sound: nothing in it is there twice, unused, or unable to fail."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

from ringfence.verify import source
from ringfence.verify.attack import Kind
from ringfence.verify.battery import attacks, attempts, number, rows_of
from ringfence.verify.oracles import ORACLES
from ringfence.verify.setups import SETUPS

_ROOT = Path(__file__).resolve().parents[2]
_PROGRAMS = os.path.join(os.path.dirname(source.__file__), "programs")
_TEST = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")


def test_every_attack_has_a_number_of_its_own() -> None:
    numbers = Counter(attack.id for attack in attacks())

    assert [name for name, count in numbers.items() if count > 1] == []


def test_every_program_is_used_by_an_attack() -> None:
    written = {name.rsplit(".", 1)[0] for name in os.listdir(_PROGRAMS) if name.endswith((".py", ".sh"))}
    used = {attack.program for attack in attacks()} | {attack.first[0] for attack in attacks() if attack.first}

    assert (written - used, used - written) == ({"prelude"}, set())


def test_every_setup_and_oracle_is_there_and_used() -> None:
    setups = {step[0] for attack in attacks() for step in attack.setup}
    oracles = {attack.works[0] for attack in attacks()}

    assert (set(SETUPS) ^ setups, set(ORACLES) ^ oracles) == (set(), set())


def test_every_program_can_be_compiled() -> None:
    for attack in attacks():
        command = source.command(attack.program, ())
        if command[0] == source.interpreter():
            compile(command[3], attack.program, "exec")


def test_no_attack_counts_a_denied_command_as_a_held_sandbox() -> None:
    ends = {attack.id: attack.expected("B") for attack in attacks()}

    assert [name for name, words in ends.items() if "did not start (126)" in words] == []


def test_every_class_of_attacks_is_tried() -> None:
    least = {"A": 30, "B": 5, "C": 10, "D": 8, "E": 25, "F": 15, "G": 15}
    sections = Counter(attack.id[0] for attack in attacks())

    assert [letter for letter, count in least.items() if sections[letter] < count] == []
    assert {attack.kind for attack in attacks()} == set(Kind)


def test_attempts_are_numbered_without_a_gap() -> None:
    assert [number(attempt.id)[1] for attempt in attempts()] == list(range(1, len(attempts()) + 1))
    assert len(attempts()) >= 98


def test_every_attack_answers_to_an_attempt_or_is_our_own() -> None:
    answered = {row.id for attempt in attempts() for row in rows_of(attempt)}

    assert [row.id for row in attacks() if row.id not in answered and number(row.id)[1] < 100] == []


def test_every_attempt_has_a_row_a_test_or_a_reason() -> None:
    bare = [each.id for each in attempts() if not rows_of(each) and not each.tests and not each.why]

    assert bare == []


def test_every_named_test_exists() -> None:
    lost = []
    for name in (name for attempt in attempts() for name in attempt.tests):
        found = _TEST.fullmatch(name)
        if not found or f"def {found[2]}(" not in (_ROOT / found[1]).read_text():
            lost.append(name)

    assert lost == []
