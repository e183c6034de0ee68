"""What a session has inside because of its credentials: Git, the real one, gets the placeholder by itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest
from tests.policy.making import EMPTY, document, judge, policy
from tests.session.credentials.test_loading import VALUE, _bound, _outside, _token

from ringfence.policy.effective import CredentialPolicy
from ringfence.session.credentials.governing import git_variables, unseen
from ringfence.session.credentials.holding import Nothing, held
from ringfence.session.credentials.loading import load
from ringfence.session.sources import places


def _git_asks(url: str, variables: dict[str, str], home: Path) -> dict[str, str]:
    done = subprocess.run(
        ("git", "credential", "fill"),
        input=f"url={url}\n\n",
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "GIT_TERMINAL_PROMPT": "0", **variables},
        check=False,
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.test/acme/shop.git", True),
        ("https://sub.forge.test", True),
        ("https://forge.test", True),
        ("https://other.test", False),
        ("https://api.test:8443", False),
        ("http://api.test", False),
    ],
)
def test_git_shows_the_placeholder_to_the_hosts_of_the_credential_alone(tmp_path: Path, url: str, found: bool) -> None:
    rule = _bound("{ environment = 'GH' }", "git", 'user = "o\'neil $HOME"').rules[0]
    bound = CredentialPolicy(rules=(msgspec.structs.replace(rule, hosts=("api.test:443", "**.forge.test:443")),))
    loaded = load(bound, _outside(tmp_path, {"GH": VALUE}), _token())

    answer = _git_asks(url, git_variables(loaded), tmp_path)

    shown = loaded.credentials[0].placeholder if found else None
    assert (answer.get("password"), answer.get("username")) == (shown, "o'neil $HOME" if found else None)


async def test_a_session_without_credentials_loads_nothing_of_them() -> None:
    of = policy(base=EMPTY)

    nothing = await held(of, judge(of), places({"HOME": "/nowhere"}), {})

    assert isinstance(nothing, Nothing)
    assert nothing.inside({"A": "b"}) == {"A": "b"}


def test_a_credential_of_a_host_that_is_passed_through_is_told() -> None:
    text = """
[network]
pass_through = ["**.test"]
[[credentials]]
id = "key"
source = { environment = "K" }
form = "bearer"
hosts = ["api.test"]
"""

    assert list(unseen(policy(document(text), base=EMPTY))) == [
        "credential `key` (user.toml:4) is not put into what is not looked into: user.toml:3 passes `**.test` through"
    ]
