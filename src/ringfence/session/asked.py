"""What was asked for: everything that a session takes from outside, read once and handed down as values."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from ringfence.agents import AgentRequest, AgentSetup, HostDisk
from ringfence.agents.agent import Agent
from ringfence.approvals.permission import Permission
from ringfence.model.canonical import text_from_os
from ringfence.model.event import SessionStarted
from ringfence.model.ids import new_id
from ringfence.model.shown import PlacedFile
from ringfence.model.situations import RunDenied, UsageInvalid
from ringfence.model.vote import PERSON
from ringfence.policy.effective import Policy, WorkspaceMode
from ringfence.policy.evaluate import Evaluator
from ringfence.sandbox.plan import HostFacts, Image, Plan, Runtime, build_plan
from ringfence.session.answering import permission_of
from ringfence.session.images import image
from ringfence.session.options import Ask, Options
from ringfence.session.outside_environment import outside_environment
from ringfence.session.policy_files import SessionGrants, load_policy
from ringfence.session.runtimes import runtime
from ringfence.session.snapshots import trees
from ringfence.session.sources import Places, User, git_settings, own_package, own_program, places, situation, user
from ringfence.session.staging import Staging
from ringfence.session.trusting import Trusting
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
        self.outside = outside_environment(environ, self.workspace)
        """For what Ringfence itself starts outside the sandbox."""
        self.session = new_id()
        self.snapshots, *shared = trees(self.places, self.workspace)
        self.stagings = tuple(Staging(each, self.session) for each in (self.snapshots, *shared))
        """Where a staged session keeps what it writes: to the workspace, and to a repository that this shares."""
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
            cwd=self.cwd,
            interpreter=interpreter(),
            nested=nested,
            answer_seconds=HOOK_SECONDS,
            delegated=self.options.ask is Ask.DELEGATED,
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

    def permission(self, policy: Policy) -> Permission:
        """What the policy lets answers do."""
        return permission_of(policy.approvals, owner=f"{PERSON}{self.user.name}")

    def plan(
        self,
        policy: Policy,
        setup: AgentSetup,
        trust: Trusting | None = None,
        stand_ins: tuple[PlacedFile, ...] = (),
        canaries: tuple[PlacedFile, ...] = (),
    ) -> Plan:
        """The sandbox that the policy and the profile make together. `trust`: what makes the gateway trusted inside;
        `stand_ins`: what stands for programs of which some commands have a plan of their own."""
        staged = policy.workspace_mode is WorkspaceMode.STAGED
        folders = [each.folder if staged else None for each in self.stagings]
        return build_plan(
            policy,
            facts=self._facts(),
            workspace=self.workspace,
            binds=setup.binds,
            files=(
                *policy.environment.files,
                *setup.files,
                *(trust.files if trust else ()),
                *way_files(policy, self.places.home),
                *stand_ins,
                *canaries,
            ),
            overlays=(*(trust.overlays if trust else ()), *setup.overlays),
            variables=trust.variables if trust else (),
            programs=(self.argv[0], interpreter()),
            host_ports=setup.host_ports,
            staging=folders[0],
            staging_shared=folders[1] if len(folders) > 1 else None,
            image=self._image(setup),
            runtime=self._runtime(),
        )

    def _runtime(self) -> Runtime | None:
        name = self.options.oci_runtime
        return None if name is None else runtime(name, environ=self.environ, workspace=self.workspace)

    def _image(self, setup: AgentSetup) -> Image | None:
        name = self.options.image
        if name is None:
            return None
        if setup.name != "generic":
            raise UsageInvalid(
                f"`--image` is not available for {setup.name} yet: its hooks run with this machine's Python",
                remedy="leave `--image` out, or run the session in a container of that image",
            )
        wanted = name if os.path.isabs(name) or not name.startswith((".", "~")) else self._path(name)
        return image(os.path.expanduser(wanted), state=self.places.state, environ=self.outside)

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
        # Where nobody waits longer than the hooks do, the question itself may.
        if not setup.hooks or wanted <= most or 0 < policy.approvals.wait_seconds <= most:
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
            workspace_mode=policy.workspace_mode.value,
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
        profile = SessionGrants(
            allow_hosts=setup.destinations, host_ports=setup.host_ports, models=setup.models, source=source
        )
        person = SessionGrants(
            allow_hosts=self.options.allow_hosts,
            read=tuple(map(self._path, self.options.read)),
            write=tuple(map(self._path, self.options.write)),
            environment=self.options.environment,
            publish=self.options.publish,
            workspace_mode=self.options.workspace_mode,
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
            package=own_package(),
        )


def interpreter() -> str:
    """The real interpreter: a version manager's shim or a virtual environment's link need not be there inside."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
