"""Calls of the kernel, and what is made of its answers."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

import pytest

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox import strongest
from ringfence.sandbox.syscalls import refusal_of_namespaces


def answering(result: int, number: int) -> Callable[[int], int]:
    """A machine that answers a call so."""

    def leave(flags: int) -> int:
        ctypes.set_errno(number)
        return result

    return leave


def test_the_kernel_itself_refuses_no_namespace_and_makes_none() -> None:
    before = os.readlink("/proc/self/ns/user")

    assert refusal_of_namespaces() in ("", os.strerror(errno.EPERM), os.strerror(errno.ENOSYS))
    assert os.readlink("/proc/self/ns/user") == before


@pytest.mark.parametrize(
    ("number", "refusal"),
    [(errno.EINVAL, ""), (errno.EPERM, os.strerror(errno.EPERM)), (errno.ENOSYS, os.strerror(errno.ENOSYS))],
)
def test_a_filter_refuses_with_a_number_of_its_own(number: int, refusal: str) -> None:
    assert refusal_of_namespaces(answering(-1, number)) == refusal


def test_a_machine_that_says_it_did_what_no_kernel_does_is_not_believed() -> None:
    with pytest.raises(OSError, match="is said to have worked"):
        refusal_of_namespaces(answering(0, errno.EPERM))


def test_no_sandbox_is_started_on_such_a_machine() -> None:
    with pytest.raises(SandboxUnavailable, match="cannot be relied on"):
        strongest.filtered(answering(0, 0))
