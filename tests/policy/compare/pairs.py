"""Random pairs of policies over few words, so that their rules meet."""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st
from tests.policy.making import EMPTY, policy

from ringfence.model.decision import Verdict
from ringfence.policy.effective import Access, HostRule, NetworkPolicy, Origin, PathRule, Policy
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.policy.paths import check_pattern

CONTEXT = Context(home="/home/u", workspace="/home/u/w")
BASE = policy(base=EMPTY)

NAMES = st.sampled_from(["a", "b", "ab", ".git", "hooks", "x.pem", "w", "etc", "null"])
PARTS = st.one_of(NAMES, st.sampled_from(["*", "**", "a*", "*b", "?", "[ab]", "[!a]*", "*.pem", "x.?em", "[a-c]b"]))
HEADS = st.sampled_from(["/", "~/", ":workspace/", ":tmp/", "", "/home/u/", "/dev/"])
PATTERNS = st.builds(lambda head, parts: head + "/".join(parts), HEADS, st.lists(PARTS, min_size=1, max_size=4)).filter(
    lambda text: check_pattern(text) is None
)
LAYERS = st.sampled_from(["user", "user", "managed"])
PATH_RULES = st.lists(
    st.builds(
        lambda pattern, access, layer, line: PathRule(
            pattern=pattern, access=access, origin=Origin(layer=layer, source=f"f:{line}")
        ),
        PATTERNS,
        st.sampled_from(Access),
        LAYERS,
        st.integers(1, 3),
    ),
    max_size=5,
)
PATHS = st.builds(
    lambda head, parts: head + "/".join(parts),
    st.sampled_from(["/", "/home/u/", "/home/u/w/", "/tmp/", "/dev/", "/home/u/w/.git/"]),
    st.lists(st.one_of(NAMES, st.text("abx.pem/é", min_size=1, max_size=5)), max_size=4),
)

HOSTS = st.sampled_from(
    [
        *(
            "a.test",
            "*.a.test",
            "**.a.test",
            "b.a.test",
            "*.b.a.test",
            "*",
            "test",
            "**.test",
            "host.ringfence.internal",
        ),
        *(
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "::1",
            "fd00::/8",
            "169.254.169.254",
            "0.0.0.0/0",
            "::/0",
            "8.8.8.8",
        ),
        *("192.0.0.8/30", "127.0.0.0/8"),
    ]
)
PORTS = st.sampled_from([None, None, 443, 80, 81])
URL_GLOBS = st.builds(
    lambda parts: "/" + "/".join(parts),
    st.lists(st.sampled_from(["a", "b", "*", "**", "a*", "[!a]", "a%b", "*%4*"]), max_size=3),
)
METHODS = st.lists(st.sampled_from(["GET", "POST"]), max_size=2, unique=True)
HOST_RULES = st.lists(
    st.builds(
        lambda host, port, methods, paths, verdict, number, layer, opens: HostRule(
            id=f"rule-{number}",
            hosts=(_with_port(host, port),),
            methods=tuple(methods),
            paths=tuple(paths),
            verdict=verdict,
            origin=Origin(layer=layer, source=f"f:{number}"),
            opens=opens,
        ),
        HOSTS,
        PORTS,
        METHODS,
        st.lists(URL_GLOBS, max_size=2),
        st.sampled_from(Verdict),
        st.integers(1, 3),
        LAYERS,
        st.booleans(),
    ),
    max_size=5,
)
DEFAULTS = st.sampled_from([Verdict.ASK, Verdict.DENY])
FLOORS = st.sampled_from([None, None, Verdict.ASK, Verdict.DENY])


def _with_port(host: str, port: int | None) -> str:
    if port is None:
        return host
    return f"[{host}]:{port}" if host.count(":") > 1 else f"{host}:{port}"


@st.composite
def networks(draw: st.DrawFn) -> NetworkPolicy:
    """The network part of a policy."""
    floor = draw(FLOORS)
    return NetworkPolicy(
        default=draw(DEFAULTS),
        default_origin=Origin(layer="user", source="f:9"),
        rules=tuple(draw(HOST_RULES)),
        floor=floor,
        floor_origin=None if floor is None else Origin(layer="requirements", source="r:1"),
    )


def judging(**changed: object) -> Evaluator:
    """An evaluator of the small base with other parts."""
    of: Policy = msgspec.structs.replace(BASE, **changed)
    return Evaluator(of, CONTEXT)
