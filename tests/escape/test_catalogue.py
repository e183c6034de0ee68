"""The battery's data is sound: nothing in it is there twice, unused, or unable to fail."""

from __future__ import annotations

import os
import re
from collections import Counter

from tests.escape.battery import source
from tests.escape.battery.catalogue import ATTACKS

_PROGRAMS = os.path.join(os.path.dirname(__file__), "battery", "programs")


def test_every_attack_has_a_number_of_its_own() -> None:
    numbers = Counter(attack.id for attack in ATTACKS)

    assert [number for number, count in numbers.items() if count > 1] == []
    assert [number for number in numbers if not re.fullmatch(r"[A-H][0-9]{1,3}[a-z]?", number)] == []


def test_every_program_is_used_by_an_attack() -> None:
    written = {name.rsplit(".", 1)[0] for name in os.listdir(_PROGRAMS) if name.endswith((".py", ".sh"))}
    used = {attack.program for attack in ATTACKS} | {attack.first for attack in ATTACKS if attack.first}

    assert written - used == {"prelude"}


def test_every_program_can_be_compiled() -> None:
    for attack in ATTACKS:
        command = source.command(attack.program, ())
        if command[0] == source.INTERPRETER:
            compile(command[3], attack.program, "exec")


def test_no_attack_counts_a_denied_command_as_a_held_sandbox() -> None:
    assert [attack.id for attack in ATTACKS if "did not start (126)" in attack.ends] == []


def test_the_battery_covers_files_processes_ipc_kernel_and_network() -> None:
    least = {"A": 30, "B": 5, "C": 10, "D": 8, "E": 25, "F": 15, "G": 15}
    sections = Counter(attack.id[0] for attack in ATTACKS)

    assert [letter for letter, number in least.items() if sections[letter] < number] == []
