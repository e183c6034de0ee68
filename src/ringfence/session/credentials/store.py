"""The credentials that `ringfence credentials add` keeps: in the keyring of the machine, else in a file for its owner.

The file is a last resort and no vault: whoever can read the user's files outside a sandbox can read it. Inside one it
is not there.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Protocol

import msgspec

from ringfence.egress.credentials.secret import Secret
from ringfence.model.situations import RingfenceError

SERVICE = "ringfence"


class Keeper(StrEnum):
    """Where a credential is kept."""

    KEYRING = "keyring"
    FILE = "file"


class Keyring(Protocol):
    """What is used of a keyring."""

    def get_password(self, service: str, username: str) -> str | None:
        """A value, or nothing."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a value."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget a value."""
        ...


class StoreBroken(RingfenceError):
    """The stored credentials cannot be read or written."""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it lies on the disk."""

    schema: int = 1
    names: dict[str, Keeper] = {}
    """Every stored credential, and where its value is."""
    values: dict[str, str] = {}


class Store:
    """The stored credentials of one user."""

    def __init__(self, path: str, keyring: Callable[[], Keyring | None]) -> None:
        self._path = path
        self._keyring = keyring
        """Called only where it is needed: to open one takes time, and may ask the person to unlock it."""

    def names(self) -> dict[str, Keeper]:
        """Every name, and where its value is kept."""
        return dict(sorted(self._read().names.items()))

    def get(self, name: str) -> Secret | None:
        """A value; None where there is none of that name."""
        said = self._read()
        match said.names.get(name):
            case None:
                return None
            case Keeper.FILE:
                value = said.values.get(name)
            case Keeper.KEYRING:
                value = self._ring(name).get_password(SERVICE, name)
        return None if value is None else Secret(value)

    def add(self, name: str, value: Secret, keeper: Keeper) -> None:
        """Keep a value, in place of an earlier one of that name."""
        said = self._read()
        if said.names.get(name) is Keeper.KEYRING and keeper is Keeper.FILE:
            self._forget(name)
        values = {one: text for one, text in said.values.items() if one != name}
        if keeper is Keeper.KEYRING:
            self._ring(name).set_password(SERVICE, name, value.reveal())
        else:
            values[name] = value.reveal()
        self._write(_File(names={**said.names, name: keeper}, values=values))

    def remove(self, name: str) -> bool:
        """Forget a value; whether there was one."""
        said = self._read()
        if name not in said.names:
            return False
        if said.names[name] is Keeper.KEYRING:
            self._forget(name)
        names = {one: keeper for one, keeper in said.names.items() if one != name}
        self._write(_File(names=names, values={one: text for one, text in said.values.items() if one != name}))
        return True

    def _ring(self, name: str) -> Keyring:
        found = self._keyring()
        if found is None:
            text = f"`{name}` is kept in the keyring, and there is none that can be used here"
            raise StoreBroken(
                text, remedy="install `ringfence[keyring]` and unlock the keyring, or add it with `--file`"
            )
        return found

    def _forget(self, name: str) -> None:
        self._ring(name).delete_password(SERVICE, name)

    def _read(self) -> _File:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return _File()
        except OSError as error:
            raise _broken(f"`{self._path}` cannot be read: {error.strerror}") from error
        with open(descriptor, "rb") as stream:
            found = os.fstat(descriptor)
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
                text = f"`{self._path}` can be read by others, or is not yours"
                raise StoreBroken(text, remedy=f"replace what is in it, then `chmod 600 {self._path}`")
            try:
                return msgspec.json.decode(stream.read(), type=_File)
            except msgspec.DecodeError:
                # SECURITY: the message of the decoder may show a part of the content.
                raise StoreBroken(
                    f"`{self._path}` is damaged", remedy="remove it and add your credentials again"
                ) from None

    def _write(self, content: _File) -> None:
        folder = os.path.dirname(self._path)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".credentials-")
        try:
            with open(descriptor, "wb") as stream:
                stream.write(json.dumps(msgspec.to_builtins(content), indent=2).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, self._path)
        except BaseException:
            os.unlink(temporary)
            raise


def machine_keyring() -> Keyring | None:
    """The keyring of this machine; None where the extra is not installed or nothing keeps secrets here."""
    try:
        import keyring
        from keyring.backends import chainer, fail, null
    except ImportError:
        return None
    found = keyring.get_keyring()
    none = isinstance(found, fail.Keyring | null.Keyring)
    return None if none or (isinstance(found, chainer.ChainerBackend) and not found.backends) else _Translated(found)


class _Translated:
    """A keyring whose errors are ours."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def get_password(self, service: str, username: str) -> str | None:
        """A value, or nothing."""
        with _translating(f"the keyring did not give `{username}`"):
            return self._keyring.get_password(service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a value."""
        with _translating(f"the keyring did not take `{username}`"):
            self._keyring.set_password(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        """Forget a value."""
        with _translating(f"the keyring did not forget `{username}`"):
            self._keyring.delete_password(service, username)


@contextlib.contextmanager
def _translating(what: str) -> Iterator[None]:
    from keyring.errors import KeyringError

    try:
        yield
    except KeyringError as error:
        raise _broken(f"{what}: {type(error).__name__}") from None


def _broken(text: str) -> StoreBroken:
    return StoreBroken(text, remedy="unlock the keyring, or add the credential with `--file`")
