"""What was asked for: everything that a session takes from outside, read once and handed down as values."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from ringfence.agents import AgentRequest, AgentSetup, HostDisk
from ringfence.agents.agent import Agent
from ringfence.approvals.objects import Scope
from ringfence.approvals.permission import Permission
from ringfence.model.canonical import text_from_os
from ringfence.model.event import SessionStarted
from ringfence.model.ids import new_id
from ringfence.model.shown import PlacedFile
from ringfence.model.situations import RunDenied
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.sandbox.plan import HostFacts, Plan, build_plan
from ringfence.session.options import Options
from ringfence.session.policy_files import SessionGrants, load_policy
from ringfence.session.sources import Places, User, git_settings, is_member, own_program, places, situation, user
from ringfence.session.ways.opened import way_files
from ringfence.session.wishes import without_effect
from ringfence.session.workspaces import find_workspace
from ringfence.version import __version__

HOOK_SECONDS = 600
"""How long an agent's hook waits for its answer."""
ANSWER_MARGIN_SECONDS = 30
"""By how much a question ends before the hook does, so that the denial comes from the gate, with its reason."""


class Asked:
    """One request for a session, by one user, from one place."""

    def __init__(self, options: Options, argv: tuple[str, ...], environ: Mapping[str, str], cwd: str) -> None:
        self.options = options
        self.argv = argv
        self.environ = environ
        self.typed_in = os.path.realpath(cwd)
        """Where the command line was typed; its relative paths are meant from there."""
        self.places: Places = places(environ)
        self.user: User = user()
        self.workspace = find_workspace(options.workspace, self.typed_in, self.places.home)
        within = self.typed_in == self.workspace or self.typed_in.startswith(self.workspace + "/")
        self.cwd = self.typed_in if within else self.workspace
        """Where commands run: a folder outside the workspace is not there inside."""
        self.session = new_id()
        self.without_repository = not os.path.lexists(os.path.join(self.workspace, ".git"))
        """Seen before a session's place holders stand there."""

    def setup(self, agent: Agent, *, nested: bool = False) -> AgentSetup:
        """What the agent's profile wants; `nested`: its own sandbox can be set up in ours."""
        request = AgentRequest(
            argv=self.argv,
            environ=dict(self.environ),
            home=self.places.home,
            workspace=self.workspace,
            session=self.session,
            interpreter=interpreter(),
            nested=nested,
            answer_seconds=HOOK_SECONDS,
        )
        return agent.prepare(request, HostDisk())

    def policy(self, setup: AgentSetup) -> Policy:
        """The policy in force, with what the profile and the person at the keyboard open for this session."""
        return load_policy(
            self.places,
            self.workspace,
            choice=self.options.policy,
            grants=self._grants(setup),
            situation=situation(self.workspace, agent=setup.name),
        )

    def check_agent(self, policy: Policy, setup: AgentSetup) -> None:
        """`RunDenied` where the policy does not let this agent run."""
        for names, origin in policy.agents.allowed:
            if setup.name not in names:
                listed = ", ".join(f"`{name}`" for name in names)
                raise RunDenied(
                    f"denied: agent `{setup.name}` may not run here (agents.allowed, {origin.layer}, {origin.source})",
                    remedy=f"only {listed} may run; `generic` stands for every program without a profile",
                )

    def check_credentials(self, policy: Policy) -> None:
        """`RunDenied` where the policy binds credentials: this version cannot put them into requests yet."""
        for rule in policy.credentials.rules:
            raise RunDenied(
                f"denied: credential `{rule.id}` ({rule.origin.layer}, {rule.origin.source}) cannot be put into"
                " requests by this version",
                remedy="leave `[[credentials]]` out of the policy of this session",
            )
        for none in policy.credentials.forbidden:
            raise RunDenied(
                f"denied: that no credential goes to `{none.hosts[0]}` ({none.origin.layer}, {none.origin.source})"
                " cannot be enforced by this version",
                remedy="leave `[[credentials]]` out of the policy of this session",
            )

    def permission(self, policy: Policy) -> Permission:
        """What the policy lets answers do."""
        said = policy.approvals
        return Permission(
            widest=Scope(said.remember.value),
            days=said.remember_days,
            approvers=said.approvers,
            overriders=said.overriders,
            is_member=is_member,
        )

    def plan(self, policy: Policy, setup: AgentSetup, stand_ins: tuple[PlacedFile, ...] = ()) -> Plan:
        """The sandbox that the policy and the profile make together, with what stands for programs of which some
        commands have a plan of their own."""
        return build_plan(
            policy,
            facts=self._facts(),
            workspace=self.workspace,
            binds=setup.binds,
            files=(
                *policy.environment.files,
                *setup.files,
                *way_files(policy.ways, self.places.home),
                *stand_ins,
            ),
            programs=(self.argv[0], interpreter()),
            host_ports=setup.host_ports,
        )

    def without_effect(self, evaluator: Evaluator) -> tuple[str, ...]:
        """What the person opened for this session and stays shut, as notices."""
        return without_effect(
            self.options,
            absolute=self._path,
            home=self.places.home,
            environ=self.environ,
            evaluator=evaluator,
        )

    def answer_seconds(self, policy: Policy, setup: AgentSetup) -> tuple[int, tuple[str, ...]]:
        """How long a question waits, and a notice where that is not what the policy says."""
        wanted, most = policy.approvals.timeout_seconds, HOOK_SECONDS - ANSWER_MARGIN_SECONDS
        if not setup.hooks or wanted <= most:
            return wanted, ()
        return most, (f"questions wait {most} s and not {wanted} s: the hooks of {setup.name} wait no longer",)

    def started(self, setup: AgentSetup, policy: Policy, enforcement: tuple[tuple[str, str], ...]) -> SessionStarted:
        """The first event of the session."""
        measured = dict(enforcement)
        return SessionStarted(
            agent=setup.name,
            argv=tuple(map(text_from_os, self.argv)),
            cwd=text_from_os(self.cwd),
            workspace=text_from_os(self.workspace),
            workspace_mode="direct",
            user=self.user.name,
            host=self.user.host,
            tier=measured.pop("tier", "?"),
            enforcement=tuple(measured.items()),
            policy=policy.digest,
            layers=policy.layers,
            version=__version__,
        )

    def _grants(self, setup: AgentSetup) -> tuple[SessionGrants, ...]:
        source = f"the profile of the agent {setup.name}"
        profile = SessionGrants(allow_hosts=setup.destinations, host_ports=setup.host_ports, source=source)
        person = SessionGrants(
            allow_hosts=self.options.allow_hosts,
            read=tuple(map(self._path, self.options.read)),
            write=tuple(map(self._path, self.options.write)),
            environment=self.options.environment,
            publish=self.options.publish,
        )
        return tuple(one for one in (profile, person) if one != SessionGrants(source=one.source))

    def _path(self, written: str) -> str:
        """A path of the command line, which is relative to where it was typed."""
        if written.startswith(("/", "~", ":")):
            return written
        return os.path.normpath(os.path.join(self.typed_in, written))

    def _facts(self) -> HostFacts:
        return HostFacts(
            home=self.places.home,
            uid=self.user.uid,
            gid=self.user.gid,
            user=self.user.name,
            hostname=self.user.host,
            path=self.environ.get("PATH", ""),
            state=self.places.state,
            git_settings=git_settings(self.environ, self.places.home),
            own=(self.places.state, os.path.dirname(self.places.user_policy)),
            program=own_program(),
        )


def interpreter() -> str:
    """The real interpreter: a version manager's shim or a virtual environment's link need not be there inside."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
