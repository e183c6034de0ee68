"""A policy ready to judge, for a working directory: what `policy` commands need without opening a session."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import msgspec

from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.session.policy_files import SessionGrants, load_policy
from ringfence.session.sources import Places, places, situation
from ringfence.session.workspaces import find_workspace


class Here(msgspec.Struct, frozen=True, kw_only=True):
    """The policy in force at one place."""

    places: Places
    workspace: str
    cwd: str
    policy: Policy

    def evaluator(self) -> Evaluator:
        """What judges actions here."""
        return Evaluator(self.policy, self.places.context(self.workspace))


def load_here(
    environ: Mapping[str, str],
    *,
    cwd: str,
    workspace: str | None = None,
    choice: str | None = None,
    grants: Iterable[SessionGrants] = (),
    agent: str = "",
) -> Here:
    """Load the policy that `run` and `exec` would load from here. Without an agent, sections for one do not apply."""
    where = places(environ)
    folder = find_workspace(workspace, cwd, where.home)
    here = situation(folder, agent=agent)
    policy = load_policy(where, folder, choice=choice, grants=grants, situation=here)
    return Here(places=where, workspace=folder, cwd=os.path.realpath(cwd), policy=policy)
