"""The project policies that the user trusts: a list of paths with the hash of the content that was trusted."""

from __future__ import annotations

import hashlib
import os
import tempfile
from enum import Enum

import msgspec

from ringfence.model.situations import RingfenceError


class TrustList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it lies on the disk."""

    schema: int = 1
    projects: dict[str, str] = {}
    """The real path of each policy file, and the SHA-256 of its content."""


class Trust(Enum):
    """What the user has said about a project's policy."""

    TRUSTED = "trusted"
    CHANGED = "changed"
    """Another content of this file was trusted."""
    UNKNOWN = "unknown"


def trust_of(trust: str, path: str, data: bytes) -> Trust:
    """Whether exactly this content of a project's policy is trusted. Any change of the file ends it."""
    known = read_trust(trust).projects.get(os.path.realpath(path))
    if known is None:
        return Trust.UNKNOWN
    return Trust.TRUSTED if known == hashlib.sha256(data).hexdigest() else Trust.CHANGED


def set_trust(trust: str, path: str, sha256: str | None) -> None:
    """Trust a content of a project's policy, or (without one) no longer any."""
    projects = {**read_trust(trust).projects}
    real = os.path.realpath(path)
    if sha256 is None:
        projects.pop(real, None)
    else:
        projects[real] = sha256
    _write(trust, TrustList(projects=projects))


def read_trust(trust: str) -> TrustList:
    """The list, empty where there is none; a list that cannot be read stops everything rather than trusting nobody
    silently."""
    try:
        with open(trust, "rb") as stream:
            return msgspec.json.decode(stream.read(), type=TrustList)
    except FileNotFoundError:
        return TrustList()
    except (OSError, msgspec.DecodeError) as error:
        remedy = f"remove `{trust}` and trust your projects again with `ringfence trust`"
        raise RingfenceError(f"the list of trusted projects cannot be read: {error}", remedy=remedy) from error


def _write(trust: str, content: TrustList) -> None:
    folder = os.path.dirname(trust)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".trust-")
    try:
        with open(descriptor, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, trust)
    except BaseException:
        os.unlink(temporary)
        raise
