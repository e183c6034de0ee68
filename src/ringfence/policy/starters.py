"""Programs that run what their arguments say: nothing that is said of one of them says anything of what happens."""

from __future__ import annotations

_STARTERS = """
    ash bash busybox csh dash elvish fish ksh mksh nu nushell pwsh sh tcsh xonsh yash zsh
    awk gawk mawk bun deno irb java lua node nodejs perl php python python2 python3 ruby sed tclsh
    at batch chroot chrt command coproc doas env eval exec find flock ionice nice nohup nsenter parallel pkexec run0
    runuser script setsid source stdbuf strace su sudo systemd-run taskset time timeout tmux screen unshare watch xargs
    mosh rsh ssh telnet
"""
STARTERS = frozenset(_STARTERS.split())
"""Programs that run what their arguments say: what is remembered of one is remembered of anything."""
