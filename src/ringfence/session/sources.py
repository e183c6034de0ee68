"""Where things lie on this machine. The one module, with `cli`, that reads the environment and asks for the user."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import sys
from collections.abc import Mapping

import msgspec

from ringfence.model.situations import RingfenceError, UsageInvalid
from ringfence.policy.conditions import Situation
from ringfence.policy.context import Context
from ringfence.session.remotes import remotes

_PARTS = ("ringfence", "msgspec", "cryptography", "tomlkit", "tree_sitter", "tree_sitter_bash")
"""The packages that this program is made of."""

_PACKAGES = (
    "PATH",
    "PIP_",
    "UV_",
    "NPM_CONFIG_",
    "YARN_",
    "CARGO_",
    "GO",
    "MAVEN_",
    "M2_",
    "XDG_CONFIG_",
    "VIRTUAL_ENV",
)

MANAGED_FOLDER = "/etc/ringfence"
"""The administrator's policy. SECURITY: a constant, because a variable here would let users replace what binds them."""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """The folders and files of one user on one machine."""

    home: str
    state: str
    """Ledger, keys, approvals, the list of what we left on disk."""
    user_policy: str
    managed_folder: str = MANAGED_FOLDER
    shared_approvals: str = ""
    """The address of a database of approvals that several machines share; empty for the user's own file."""
    package_settings: dict[str, str] = {}
    """The variables that package managers read their settings from, and PATH."""

    @property
    def registries(self) -> str:
        """What was learnt about registries, so that no start has to ask again."""
        return os.path.join(self.state, "registries.json")

    @property
    def ledger(self) -> str:
        """The ledger's database."""
        return os.path.join(self.state, "ledger.db")

    @property
    def approvals(self) -> str:
        """The database of approval requests and grants: a file, or the address of one that machines share."""
        return self.shared_approvals or os.path.join(self.state, "approvals.db")

    @property
    def credentials(self) -> str:
        """The names of stored credentials, and the values of those that no keyring keeps."""
        return os.path.join(self.state, "credentials.json")

    @property
    def tool_lists(self) -> str:
        """The lists of tools that were taken of servers."""
        return os.path.join(self.state, "tool-lists")

    @property
    def trust(self) -> str:
        """The project policies that the user trusts, by content hash."""
        return os.path.join(self.state, "trust.json")

    @property
    def managed_policy(self) -> str:
        """The administrator's defaults."""
        return os.path.join(self.managed_folder, "policy.toml")

    @property
    def managed_profiles(self) -> str:
        """The administrator's named profiles."""
        return os.path.join(self.managed_folder, "profiles")

    @property
    def profile_folders(self) -> tuple[str, ...]:
        """Where a name in `extends` of the user's is looked up, first of all in their own folder."""
        return os.path.join(os.path.dirname(self.user_policy), "profiles"), self.managed_profiles

    @property
    def user_policy_shown(self) -> str:
        """The person's own policy as people read it, with `~` for their home."""
        inside = self.user_policy.startswith(f"{self.home}/")
        return f"~{self.user_policy.removeprefix(self.home)}" if inside else self.user_policy

    def context(self, workspace: str) -> Context:
        """What a policy means for this user, in one workspace."""
        return Context(home=self.home, workspace=workspace, user_policy=self.user_policy_shown)

    @property
    def requirements(self) -> str:
        """The administrator's requirements, which only tighten."""
        return os.path.join(self.managed_folder, "requirements.toml")


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs us."""

    name: str
    uid: int
    gid: int
    host: str


def places(environ: Mapping[str, str]) -> Places:
    """The user's folders, by the XDG base directory specification."""
    home = _absolute(environ.get("HOME")) or _home()
    state = _absolute(environ.get("XDG_STATE_HOME")) or os.path.join(home, ".local", "state")
    config = _absolute(environ.get("XDG_CONFIG_HOME")) or os.path.join(home, ".config")
    return Places(
        home=home,
        state=os.path.join(state, "ringfence"),
        user_policy=os.path.join(config, "ringfence", "policy.toml"),
        shared_approvals=environ.get("RINGFENCE_APPROVALS", ""),
        package_settings={name: value for name, value in environ.items() if name.upper().startswith(_PACKAGES)},
    )


def _absolute(path: str | None) -> str | None:
    # SECURITY: a relative folder would be one of the workspace, as the specification knows too.
    return path if path is not None and path.startswith("/") else None


def _home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise RingfenceError(
            f"your home folder is not known: user {os.getuid()} is in no list of users", remedy="set HOME"
        ) from None


def working_folder() -> str:
    """Where we were started; `UsageInvalid` where that is gone."""
    try:
        return os.getcwd()
    except OSError as error:
        raise UsageInvalid(
            f"the working directory cannot be used: {(error.strerror or str(error)).lower()}",
            remedy="change into a folder that exists",
        ) from error


def git_settings(environ: Mapping[str, str], home: str) -> tuple[str, ...]:
    """Where Git looks for the settings of the user and of the machine."""
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    own = environ.get("GIT_CONFIG_GLOBAL")
    personal = (
        (os.path.abspath(own),) if own else (os.path.join(home, ".gitconfig"), os.path.join(config, "git", "config"))
    )
    return (*personal, environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig")


def situation(workspace: str, *, agent: str = "") -> Situation:
    """What sections of a policy may ask about. Groups are those of the account, not those that a process gave up."""
    who = user()
    try:
        name = pwd.getpwuid(who.uid).pw_name
        numbers = os.getgrouplist(name, who.gid)
    except KeyError:
        numbers = [who.gid]
    groups = tuple(dict.fromkeys(_group(number) for number in numbers))
    return Situation(host=who.host, user=who.name, groups=groups, agent=agent, remotes=remotes(workspace))


def is_member(name: str, group: str) -> bool:
    """Whether a user of this machine is in a group, by its list of members or as the user's own group."""
    try:
        found = grp.getgrnam(group)
    except KeyError:
        return False
    if name in found.gr_mem:
        return True
    try:
        return pwd.getpwnam(name).pw_gid == found.gr_gid
    except KeyError:
        return False


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def user() -> User:
    """The user and the host."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return User(name=name, uid=uid, gid=os.getgid(), host=socket.gethostname())


def own_program() -> tuple[str, ...]:
    """The files and folders that this program is run from; whoever can change them runs what they like as the user."""
    folders = [os.path.abspath(folder) for folder in sys.path if folder]
    found = [os.path.join(folder, name) for folder in folders for name in _PARTS]
    environment = (sys.prefix,) if sys.prefix != sys.base_prefix else ()
    script = (os.path.abspath(sys.argv[0]),) if os.path.basename(sys.argv[0]) == "ringfence" else ()
    library = os.path.dirname(os.__file__)
    # A name that was given relative to another folder, or that a wrapper made up, leads nowhere: there is nothing to
    # protect.
    whole = (*environment, *script, library, sys.executable, *found)
    return tuple(dict.fromkeys(path for path in whole if path and os.path.exists(path)))
