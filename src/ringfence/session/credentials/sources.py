"""Reads the value of one credential from where its policy says it is, outside the sandbox, once at the start.

What the agent could read or write by itself is no source. Nothing that is read goes into a message.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Mapping
from typing import assert_never

import msgspec

from ringfence.egress.credentials.secret import Secret
from ringfence.model.display import visible
from ringfence.policy.effective import CredentialForm, CredentialRule, SourceKind
from ringfence.session.credentials.store import Store, StoreBroken
from ringfence.session.outside_environment import is_below

MOST_BYTES = 64 * 1024
COMMAND_SECONDS = 30
AWS_VARIABLES = ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")


class Unavailable(Exception):
    """There is no value; the message says why and what to do, and never what was read."""


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What sources need to know of the world outside."""

    environ: Mapping[str, str]
    home: str
    workspace: str
    store: Store
    can_read: Callable[[str], bool]
    """Whether a program inside could read a file."""


def read_value(rule: CredentialRule, outside: Outside) -> Secret:
    """The text of a credential, as it is kept."""
    source = rule.source
    match source.kind:
        case SourceKind.KEYRING:
            return _stored(source.name, outside)
        case SourceKind.ENVIRONMENT if rule.form is CredentialForm.AWS:
            return _variables(source.name, outside)
        case SourceKind.ENVIRONMENT:
            value = outside.environ.get(source.name)
            if value is None:
                raise Unavailable(f"your environment has no variable `{source.name}`")
            return Secret(value)
        case SourceKind.FILE:
            return _file(source.name, outside)
        case SourceKind.COMMAND:
            return _printed(source.command, outside)
        case _:
            assert_never(source.kind)


def _stored(name: str, outside: Outside) -> Secret:
    try:
        found = outside.store.get(name)
    except StoreBroken as broken:
        raise Unavailable(f"{broken.message}; {broken.remedy}") from None
    if found is None:
        raise Unavailable(f"nothing is stored as `{name}`: `ringfence credentials add {name}`")
    return found


def _variables(prefix: str, outside: Outside) -> Secret:
    """The three variables of an AWS key, as the text that `aws_keys` reads."""
    names = [f"{prefix}_{ending}" for ending in AWS_VARIABLES]
    values = [outside.environ.get(name, "") for name in names]
    missing = [name for name, value in zip(names[:2], values[:2], strict=True) if not value]
    if missing:
        raise Unavailable(f"your environment has no variable `{missing[0]}`")
    return Secret("\n".join(value for value in values if value))


def _file(written: str, outside: Outside) -> Secret:
    path = outside.home + written[1:] if written.startswith("~/") else written
    shown = visible(written)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as stream:
            found = os.fstat(stream.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise Unavailable(f"`{shown}` is no file")
            if found.st_uid not in (0, os.getuid()) or stat.S_IMODE(found.st_mode) & 0o077:
                raise Unavailable(f"`{shown}` can be read by others, or is not yours: `chmod 600` it")
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"`{shown}` cannot be read: {(error.strerror or 'unknown error').lower()}") from None
    # SECURITY: what the agent can read needs no placeholder, and what it can write it could replace.
    if any(outside.can_read(place) for place in {path, os.path.realpath(path)}):
        raise Unavailable(f"the sandbox can read `{shown}` as well: deny it under `filesystem.deny`, or move it")
    return _text(data, f"`{shown}`")


def _printed(command: tuple[str, ...], outside: Outside) -> Secret:
    shown = f"`{visible(command[0])}`"
    path = os.pathsep.join(one for one in outside.environ.get("PATH", os.defpath).split(os.pathsep) if one[:1] == "/")
    program = shutil.which(command[0], path=path)
    if program is None or not program.startswith("/"):
        raise Unavailable(f"there is no program {shown}")
    # SECURITY: this runs outside the sandbox; a program that the agent can replace would be its way out.
    for word in (program, *command[1:]):
        if word.startswith("/") and is_below(word, outside.workspace):
            raise Unavailable(f"`{visible(word)}` lies in the workspace, where the agent could replace it")
    try:
        done = subprocess.run(
            (program, *command[1:]),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=outside.home,
            env=dict(outside.environ),
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{shown} did not end within {COMMAND_SECONDS} s; it cannot ask for anything here") from None
    except OSError as error:
        raise Unavailable(f"{shown} cannot be run: {(error.strerror or 'unknown error').lower()}") from None
    if done.returncode != 0:
        raise Unavailable(f"{shown} ended with exit code {done.returncode}; run it by hand to see why")
    return _text(done.stdout, f"what {shown} prints")


def _text(data: bytes, what: str) -> Secret:
    if len(data) > MOST_BYTES:
        raise Unavailable(f"{what} is longer than {MOST_BYTES:,} bytes")
    try:
        return Secret(data.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError:
        raise Unavailable(f"{what} is not UTF-8") from None
