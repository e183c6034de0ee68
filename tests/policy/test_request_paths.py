"""Paths as servers of several kinds read them: none serves what a rule denies."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict

RULES = """
[[network.rule]]
hosts = ["a.test"]
paths = ["/repos/**"]
verdict = "allow"
[[network.rule]]
hosts = ["a.test"]
paths = ["/repos/*/admin/**"]
verdict = "deny"
"""
PIECES = [
    "/repos",
    "/a",
    "/admin",
    "admin",
    "adm",
    "in",
    "%61",
    "%2561",
    "ADMIN",
    "%2e",
    "%2f",
    "%252f",
    "%5c",
    "\\",
    ";",
    "%3b",
    ";x=1",
    "..",
    ".",
    "%20",
    "//",
    "/",
    "%C3%AD",
    "%EF%BC%8F",
    "%09",
    "%EF%BD%81",
    "?q=1",
    "%23",
    "%3f",
    ":$data",
    "%u0061",
    "%c0%af",
    "%E2%80%8B",
    ".json",
    "..;",
    "%2e%2e",
]
EVALUATOR = judge(policy(document(RULES), base=EMPTY))


def _resolved(path: str) -> list[str]:
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return names


def _parameters_first(path: str) -> list[str]:
    return _resolved(unquote(re.sub(r";[^/]*", "", path)))


def _parameters_last(path: str) -> list[str]:
    return _resolved(re.sub(r";[^/]*", "", unquote(path)))


def _literally(path: str) -> list[str]:
    return _resolved(unquote(path))


def _by_a_lenient_file_system(path: str) -> list[str]:
    path = re.sub(r"%u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), path)
    plain = unicodedata.normalize("NFKD", unquote(unquote(path)))
    plain = "".join(one for one in plain if not unicodedata.combining(one)).replace("\\", "/").lower()
    return [name for one in _resolved(plain) if (name := one.rstrip(". "))]


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_no_server_serves_what_is_denied_or_not_allowed_for_a_path_that_passes(rest: str) -> None:
    path = f"/repos/a{rest}"
    action = ConnectAction(host="a.test", port=443, method="GET", path=path)
    readers = (_parameters_first, _parameters_last, _literally, _by_a_lenient_file_system)

    verdict = EVALUATOR.evaluate(action).verdict

    read = [tuple(name.lower() for name in reader(path.partition("?")[0])) for reader in readers]
    if any(names[:1] == ("repos",) and names[2:3] == ("admin",) for names in read):
        assert verdict is Verdict.DENY
    if verdict is Verdict.ALLOW:
        assert {names[:1] for names in read} == {("repos",)}
