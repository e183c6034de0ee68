from __future__ import annotations

import os
import subprocess

import pytest

from ringfence.policy.effective import Limits
from ringfence.sandbox.limit_groups import MIB, mounted, place, scope_call, settings

EVERYTHING = Limits(memory_mb=512, processes=100, cpu_percent=150, wall_seconds=5, disk_mb=1)


def test_limits_are_written_as_the_kernel_reads_them() -> None:
    assert settings(EVERYTHING) == [
        ("memory.max", str(512 * MIB)),
        ("memory.high", str(480 * MIB)),
        ("memory.swap.max", "0"),
        ("pids.max", "100"),
        ("cpu.max", "150000 100000"),
    ]
    assert settings(Limits(open_files=300)) == []


def test_systemd_is_asked_for_a_scope_with_the_same_limits() -> None:
    call = scope_call(EVERYTHING, 77, "ringfence-1-2", user=True, survives=True)

    assert " ".join(call) == (
        "busctl --user --quiet call org.freedesktop.systemd1 /org/freedesktop/systemd1 "
        "org.freedesktop.systemd1.Manager StartTransientUnit ssa(sv)a(sa(sv)) ringfence-1-2.scope fail 9 "
        "Description s a Ringfence sandbox PIDs au 1 77 CollectMode s inactive-or-failed OOMPolicy s continue "
        f"MemoryMax t {512 * MIB} MemoryHigh t {480 * MIB} MemorySwapMax t 0 TasksMax t 100 "
        "CPUQuotaPerSecUSec t 1500000 0"
    )
    plain = scope_call(Limits(processes=20), 77, "n", user=False, survives=False)
    assert "--system" in plain and "OOMPolicy" not in plain and "MemoryMax" not in plain


def test_without_a_limit_that_a_group_could_hold_none_is_made() -> None:
    assert place(Limits(open_files=300), os.getpid(), "ringfence-test", uid=os.getuid()) is None


def test_a_tree_without_the_controllers_gives_no_group(tmp_path: object) -> None:
    assert place(EVERYTHING, os.getpid(), "ringfence-test", uid=1, tree=str(tmp_path), systemd="/none") is None
    assert os.listdir(str(tmp_path)) == []


def test_a_group_bounds_and_goes() -> None:
    with subprocess.Popen(["sleep", "30"]) as sleeper:
        group = place(EVERYTHING, sleeper.pid, f"ringfence-{os.getpid()}-test", uid=os.getuid(), systemd="/none")
        if group is None:
            sleeper.kill()
            pytest.skip(f"cgroup v2 ({mounted() or 'not mounted'}) hands out no controllers here")
        try:
            with open(f"{group.path}/pids.max", encoding="ascii") as file:
                assert file.read() == "100\n"
            assert group.memory() is not None
        finally:
            group.remove()

        assert sleeper.wait() == -9
        assert not os.path.exists(group.path)
