"""What is known of the options of programs that start other programs, and of options that stand before a sub-command.

Data only. An option that is not here makes the command opaque rather than being guessed.
"""

from __future__ import annotations

import msgspec


class Options(msgspec.Struct, frozen=True):
    """The options of one program, each with its dashes."""

    values: frozenset[str] = frozenset()
    """Those that take a value."""
    flags: frozenset[str] = frozenset()
    """Those that take none."""


class Wrapper(msgspec.Struct, frozen=True, kw_only=True):
    """A program that starts the program named in its arguments."""

    options: Options
    operands: int = 0
    """How many operands of its own stand before the program."""
    assignments: bool = False
    """`NAME=value` may stand before the program."""
    scripts: frozenset[str] = frozenset()
    """Options whose value is a shell string that it runs."""
    joins: bool = False
    """It joins its arguments to one shell string."""
    appends: bool = False
    """It adds words that are only known when it runs."""
    queries: frozenset[str] = frozenset()
    """Options with which it only looks something up."""


def _options(values: str = "", flags: str = "") -> Options:
    return Options(frozenset(values.split()), frozenset(flags.split()))


WRAPPERS = {
    "env": Wrapper(
        options=_options(
            "-u --unset -C --chdir -S --split-string -a --argv0 --block-signal --default-signal --ignore-signal",
            "- -i --ignore-environment -0 --null -v --debug --list-signal-handling --help --version",
        ),
        assignments=True,
        scripts=frozenset({"-S", "--split-string"}),
    ),
    "timeout": Wrapper(
        options=_options("-k --kill-after -s --signal", "-f --foreground -p --preserve-status -v --verbose"), operands=1
    ),
    "nice": Wrapper(options=_options("-n --adjustment")),
    "ionice": Wrapper(options=_options("-c --class -n --classdata", "-t --ignore")),
    "chrt": Wrapper(
        options=_options("-T -P -D", "-b -d -f -i -o -r -R --batch --fifo --idle --other --rr"), operands=1
    ),
    "taskset": Wrapper(options=_options("", "-c --cpu-list -a --all-tasks"), operands=1),
    "nohup": Wrapper(options=_options()),
    "setsid": Wrapper(options=_options("", "-c --ctty -f --fork -w --wait")),
    "stdbuf": Wrapper(options=_options("-i --input -o --output -e --error")),
    "unbuffer": Wrapper(options=_options("", "-p")),
    "command": Wrapper(options=_options("", "-p -v -V"), queries=frozenset({"-v", "-V"})),
    "builtin": Wrapper(options=_options()),
    "exec": Wrapper(options=_options("-a", "-c -l")),
    "coproc": Wrapper(options=_options()),
    "noglob": Wrapper(options=_options()),
    "time": Wrapper(
        options=_options("-f --format -o --output", "-p --portability -a --append -v --verbose -q --quiet")
    ),
    "xargs": Wrapper(
        options=_options(
            "-a --arg-file -d --delimiter -E -I -L --max-lines -n --max-args -P --max-procs -s --max-chars "
            "--process-slot-var",
            "-0 --null -e -i -l -o --open-tty -p --interactive -r --no-run-if-empty -t --verbose -x --exit "
            "--show-limits --replace --eof",
        ),
        appends=True,
    ),
    "flock": Wrapper(
        options=_options(
            "-w --wait --timeout -E --conflict-exit-code -c --command",
            "-s --shared -x -e --exclusive -u --unlock -n --nb --nonblock -o --close -F --no-fork --verbose",
        ),
        operands=1,
        scripts=frozenset({"-c", "--command"}),
    ),
    "watch": Wrapper(
        options=_options(
            "-n --interval",
            "-d --differences -t --no-title -b --beep -e --errexit -g --chgexit -c --color -p --precise",
        ),
        joins=True,
    ),
    "script": Wrapper(
        options=_options(
            "-c --command -O --log-out -I --log-in -B --log-io -T --log-timing -E --echo -o --output-limit",
            "-a --append -e --return -f --flush --force -q --quiet",
        ),
        operands=1,
        scripts=frozenset({"-c", "--command"}),
    ),
    "strace": Wrapper(
        options=_options(
            "-a -b -e -I -o -O -p -P -s -S -u -E -X",
            "-c -C -d -D -DD -DDD -f -ff -F -h -i -k -n -N -q -qq -r -t -tt -ttt -T -v -w -x -xx -y -yy -z -Z",
        )
    ),
    "chroot": Wrapper(options=_options("--groups --userspec", "--skip-chdir"), operands=1),
    "busybox": Wrapper(options=_options()),
    "toybox": Wrapper(options=_options()),
    "setarch": Wrapper(options=_options("", "-R --addr-no-randomize -v --verbose"), operands=1),
    "tini": Wrapper(options=_options("-p -e", "-s -w -g -v")),
    "dumb-init": Wrapper(options=_options("-r --rewrite", "-c --single-child -v --verbose")),
    "sudo": Wrapper(
        options=_options(
            "-u --user -g --group -C --close-from -D --chdir -h --host -p --prompt -r --role -t --type -T "
            "--command-timeout -U --other-user -R --chroot",
            "-A --askpass -b --background -E --preserve-env -H --set-home -i --login -k --reset-timestamp "
            "-n --non-interactive -P --preserve-groups -S --stdin -s --shell -v --validate -l --list",
        ),
        assignments=True,
    ),
    "doas": Wrapper(options=_options("-C -u", "-L -n -s")),
}
"""By the name of the program."""

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash"})
"""Programs that run the shell string behind `-c`."""

SHELL_VALUES = frozenset({"-o", "+o", "-O", "+O", "--rcfile", "--init-file"})

INTERPRETERS = frozenset({"python", "python3", "perl", "ruby", "node", "php", "lua", "osascript", "fish", "pwsh"})
"""Programs that run what stands at their standard input, where nothing else is named."""

RUNNERS = {
    "npx": frozenset[str](),
    "bunx": frozenset[str](),
    "uvx": frozenset[str](),
    "pipx": frozenset({"run"}),
    "uv": frozenset({"run"}),
    "poetry": frozenset({"run"}),
    "pdm": frozenset({"run"}),
    "hatch": frozenset({"run"}),
    "rye": frozenset({"run"}),
    "pipenv": frozenset({"run"}),
    "bundle": frozenset({"exec"}),
    "npm": frozenset({"exec", "x"}),
    "pnpm": frozenset({"exec", "dlx"}),
    "yarn": frozenset({"exec", "dlx"}),
    "bun": frozenset({"x"}),
    "mise": frozenset({"exec", "x"}),
}
"""Programs that start a tool of the project by its name, and behind which sub-command; none: behind themselves."""

DYNAMIC_BUILTINS = {
    "complete": "-C",
    "compgen": "-C",
    "mapfile": "-C",
    "readarray": "-C",
    "hash": "-p",
    "enable": "-f",
    "bind": "-x",
    "fc": "",
}
"""Builtins that run, or plant, code that cannot be seen here, and the option with which they do; empty for always."""

BEFORE_SUBCOMMAND = {
    "git": _options(
        "-C -c --git-dir --work-tree --namespace --super-prefix --config-env --exec-path --attr-source --list-cmds",
        "-p --paginate -P --no-pager --bare --no-replace-objects --literal-pathspecs --glob-pathspecs "
        "--noglob-pathspecs --icase-pathspecs --no-optional-locks --no-lazy-fetch --no-advice",
    ),
    "docker": _options("--config -c --context -H --host -l --log-level --tlscacert --tlscert --tlskey", "-D --debug"),
    "podman": _options("--connection -c --identity --log-level --root --runroot --storage-driver --url", "-r --remote"),
    "kubectl": _options(
        "-n --namespace --context --cluster --kubeconfig -s --server --user --token --as --as-group "
        "--request-timeout --cache-dir -v",
        "--insecure-skip-tls-verify --match-server-version --warnings-as-errors",
    ),
    "helm": _options("-n --namespace --kube-context --kubeconfig --registry-config --repository-config", "--debug"),
    "npm": _options("--prefix --userconfig --registry --loglevel -w --workspace -C", "-g --global --silent -s"),
    "pnpm": _options("-C --dir --filter -F --registry", "-r --recursive -w --workspace-root"),
    "yarn": _options("--cwd --registry", "--silent -s"),
    "gh": _options("-R --repo"),
    "glab": _options("-R --repo"),
    "cargo": _options("--color --config -Z -C --manifest-path", "-v --verbose -q --quiet --frozen --locked --offline"),
    "pip": _options("--cache-dir --proxy --python", "-v -q --isolated --no-input --disable-pip-version-check"),
    "systemctl": _options("-H --host -M --machine -t --type", "--user --system --no-pager -q --quiet"),
    "terraform": _options("-chdir"),
    "aws": _options("--profile --region --output --endpoint-url --query --cli-read-timeout", "--debug --no-verify-ssl"),
    "gcloud": _options("--project --account --configuration --format --verbosity", "-q --quiet"),
}
"""Options that stand between a program and its sub-command."""
