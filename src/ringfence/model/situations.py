"""The few exceptions, each a situation that a person can do something about. A denial is not one of them."""

from __future__ import annotations

import msgspec


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One fault in a file that a person wrote."""

    file: str
    line: int
    """From 1."""
    column: int
    """From 1."""
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class RingfenceError(Exception):
    """Nothing ran, or something of ours broke; `remedy` says what to do next."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class PolicyInvalid(RingfenceError):
    """A policy or configuration file is invalid: nothing ran. Carries every fault, not just the first."""

    def __init__(
        self,
        diagnostics: tuple[Diagnostic, ...],
        *,
        remedy: str = "correct the file and check it with `ringfence policy check`",
    ) -> None:
        super().__init__("\n".join(map(str, diagnostics)), remedy=remedy)
        self.diagnostics = diagnostics


class UsageInvalid(RingfenceError):
    """The words of a command line, or the arguments of a call, do not fit."""


class RunDenied(RingfenceError):
    """The policy does not let this run at all: nothing ran."""


class SandboxUnavailable(RingfenceError):
    """The sandbox cannot be set up as the policy demands: nothing ran."""


class TierUnavailable(SandboxUnavailable):
    """The machine does not give a sandbox of this tier; one of another tier it may give."""


class SandboxLost(RingfenceError):
    """The sandbox ended while something was still expected of it."""


class ProgramNotFound(RingfenceError):
    """The program to be run does not exist, or cannot be seen inside the sandbox."""


class LedgerBroken(RingfenceError):
    """The ledger cannot record, or does not verify. Where a record is required, this is a deny."""
