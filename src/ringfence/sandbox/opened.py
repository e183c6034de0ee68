"""What the policy opens beside the workspace, where that meets what every sandbox has of its own: `/proc`, `/dev`,
`/run`, its accounts, its private folders. Those stay its own, and a notice says so."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ringfence.model.shown import Bind
from ringfence.sandbox import etc
from ringfence.sandbox.links import Links
from ringfence.sandbox.plan import SYSTEM_ROOTS, covers

_OWN = ("/proc", "/dev", "/run")
"""What every sandbox has of its own, beside the folders that are private."""


def opened(binds: Iterable[Bind], links: Links) -> tuple[list[Bind], list[str]]:
    """What the policy and the agent open, without what every sandbox has of its own; and what to say of that."""
    found, notices = list[Bind](), list[str]()
    for bind in (one for each in binds for one in _whole(each, links)):
        own = next((each for each in (*_OWN, *etc.SYNTHESISED) if links.real(bind.source) == each), None)
        if own is None and covers("/proc", links.real(bind.source)):
            own = "/proc"
        if own is None:
            found.append(bind)
        else:
            notices.append(f"`{bind.source}` is not opened: every sandbox has a `{own}` of its own")
    return found, notices


def _whole(bind: Bind, links: Links) -> list[Bind]:
    """The whole file system, and `/etc`, are shown by what is in them; what every sandbox has of its own stays its
    own."""
    if bind.source not in ("/", "/etc"):
        return [bind]
    own = {*_OWN, *etc.SYNTHESISED, "/sys", "/tmp", "/etc" if bind.source == "/" else "", *SYSTEM_ROOTS}  # noqa: S108
    paths = [os.path.join(bind.source, name) for name in sorted(os.listdir(bind.source))]
    for path in (each for each in paths if os.path.islink(each)):
        links.real(path)
    shown = (path for path in paths if path not in own and not os.path.islink(path))
    return [Bind(source=path, target=path, writable=bind.writable) for path in shown]


class Covered:
    """What a private folder hides although something around it is opened."""

    def __init__(self, binds: list[Bind], private: list[str]) -> None:
        self._targets = [*(bind.target for bind in binds), *private]
        self._private = private

    def without(self, paths: tuple[str, ...]) -> list[str]:
        """The paths that are not hidden: what is nearest above decides."""
        nearest = {path: max((t for t in self._targets if covers(t, path)), key=len, default="") for path in paths}
        return [path for path in paths if nearest[path] not in self._private]
