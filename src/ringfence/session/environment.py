"""The environment inside: what policy and profile let through, and what makes the ordinary tools find the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ringfence.sandbox.survey_unshared import PROXIED

PROXY = "http://127.0.0.1:3128"
"""The gateway's explicit proxy, as seen from inside. Whatever ignores these variables is captured all the same."""

_LOCAL = "localhost,127.0.0.1,::1"

_QUIET = (("npm_config_update_notifier", "false"), ("PIP_DISABLE_PIP_VERSION_CHECK", "1"))
"""Nothing looks for newer versions of itself: `npm test` would put a question about a connection."""


def inside(
    environ: Mapping[str, str],
    *,
    keep: Iterable[str],
    fixed: Iterable[tuple[str, str]],
    session: str,
    user: str,
    remove: Iterable[str] = (),
) -> dict[str, str]:
    """The variables of a governed command. What is not named by somebody is not there.

    SECURITY: `remove` takes away what the person has, never what Ringfence or an agent's profile sets: a
    repository's policy may tighten, and without those variables an agent would not find its hooks.
    """
    names = tuple(keep)
    exact = frozenset(name for name in names if not name.endswith("*"))
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    unwanted = tuple(remove)
    kept = {
        name: value
        for name, value in environ.items()
        if (name in exact or (prefixes and name.startswith(prefixes))) and not _named(name, unwanted)
    }
    return {
        "PATH": environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "HOME": environ.get("HOME", "/"),
        "USER": user,
        "LOGNAME": user,
        **dict(_QUIET),
        **kept,
        **dict.fromkeys(PROXIED, PROXY),
        "no_proxy": _LOCAL,
        "NO_PROXY": _LOCAL,
        "NODE_USE_ENV_PROXY": "1",
        "RINGFENCE": "1",
        "RINGFENCE_SESSION": session,
        **dict(fixed),
    }


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name == one or (one.endswith("*") and name.startswith(one[:-1])) for one in patterns)
