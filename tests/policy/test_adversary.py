"""Commands that once passed although they read, lose or send what the policy guards, with their innocent kin.

Each class stands for a way around, not for a row: spellings differ on purpose.
"""

from __future__ import annotations

import pytest
from tests.policy.making import policy, shell

from ringfence.model.decision import Verdict

WORKSPACE = policy()

ATTACKS = {
    "a loop, an array or a parameter carries what a glob finds": (
        "for f in ~/.ssh/*; do cat $f; done",
        'for d in ~/.s*; do cat "$d"/x; done',
        "select f in ~/.ssh/*; do cat $f; done",
        'a=(~/.ssh/*); cat "${a[@]}"',
        'set -- ~/.ssh/*; cat "$@"',
        'for f in /etc/shado?; do cat "$f"; done',
    ),
    "a substitution or an expansion names what is denied": (
        "cat $(echo /etc/shadow)",
        'cat "$(echo ~/.ssh/x)"',
        "cat $(realpath ~)/.ssh/x",
        'cat "${HOME%/}/.ssh/x"',
        'cat "${HOME:-/root}/.ssh/x"',
        "H=HOME; cat ${!H}/.ssh/x",
    ),
    "the shell's own name for the folder it is in": (
        'echo x > "$PWD/../x"',
        "echo x > ~+/../x",
        'rm -rf "$PWD"',
        'rm -rf "$PWD/.."',
        'rm -rf -- "$(git rev-parse --show-toplevel)"',
    ),
    "the whole system seen through a process": (
        "cat /proc/self/root/etc/shadow",
        "cat /proc/1/root/etc/shadow",
        "cat /proc/$$/root/etc/shadow",
        "cat /proc/thread-self/root/etc/shadow",
        "cat /proc/self/task/1/root/etc/shadow",
        "cat /proc/self/cwd/.env",
        "cd /proc/self/root && cat etc/shadow",
        "cat /proc/../etc/shadow",
    ),
    "an option is taken back by its negation": (
        "git push --dry-run origin main --no-dry-run",
        "git push -n --no-dry-run",
        "npm publish --dry-run=false",
        "cargo publish --dry-run=false",
        "git clean --dry-run --no-dry-run -f",
        "git rm --dry-run --no-dry-run -r .",
    ),
    "code in a language names what is denied": (
        """python3 -c "import linecache; print(linecache.getlines('/etc/shadow'))\"""",
        """python3 -c "import os;print(open(os.environ['HOME']+'/.ssh/x').read())\"""",
        "perl -MFile::Slurp -e 'print read_file(\"/etc/shadow\")'",
        "ruby -e 'puts IO.read(Dir.home + \"/.ssh/x\")'",
        "deno eval 'Deno.readTextFileSync(\"/etc/shadow\")'",
        """lua -e 'print(io.open("/etc/shadow"):read("a"))'""",
        """awk 'BEGIN{while((getline l < "/etc/shadow")>0)print l}'""",
        "vi -c 'r ~/.ssh/x' x",
    ),
    "the whole workspace or its history is lost": (
        "rm -rf *",
        "rm -rf ./*",
        "find . -delete",
        "find . ! -name x -delete",
        "find . -type f -delete",
        "rm -rf .git/objects",
        "rm -rf .git/*",
        "rsync -a --delete /tmp/empty/ ./",
    ),
    "a wrapper of the build publishes": (
        "./gradlew publish",
        "./gradlew :lib:publishAllPublicationsToMavenRepository",
        "./mvnw -B clean deploy",
        "python setup.py upload",
    ),
    "something starts the program that it is given": (
        "parallel ::: 'git push'",
        "echo 'git push' | parallel",
        "sem git push",
        "mise exec -- git push",
        "asdf exec git push",
        "volta run git push",
        "pyenv exec git push",
        "fnm exec --using 18 git push",
        "pipenv run git push",
        "dotenvx run -- git push",
        "flox activate -- git push",
        "runcon x git push",
        "trickle -d 20 git push",
    ),
    "other version control publishes": (
        "hg push",
        "svn ci -m x",
        "jj git push",
        "p4 submit",
        "arc diff",
        "fossil push",
    ),
    "a filter shows the environment": ("jq -n env", "jq -n '$ENV'", "jq -n '[env]'"),
    "code is read from a text in a language that nobody reads here": ("tclsh <<< 'exec git push'",),
    "a database is emptied by a framework": (
        "rake db:drop",
        "mix ecto.drop",
        "php artisan migrate:fresh",
        "python manage.py flush --noinput",
    ),
}

EVERYDAY = {
    "loops and variables": (
        'for f in src/*.ts; do echo "$f"; npx tsc --noEmit "$f"; done',
        'for d in packages/*/*; do cat "$d/package.json"; done',
        'a=(src/*.py); cat "${a[@]}"',
        'cat "$PWD/README.md"',
        'echo x > "$PWD/build.log"',
        'cat "$HOME/.gitconfig" "$f"',
    ),
    "cleaning up": (
        "rm -rf dist/* build",
        "rm -rf ./dist/*",
        "rm .git/index.lock",
        "rm -f *.o",
        "find . -name '*.pyc' -delete",
        "find . -type d -name __pycache__ -exec rm -rf {} +",
        "find build -delete",
        "git clean --dry-run -d",
        'rm -rf -- "$BUILD_DIR"',
    ),
    "code": (
        """python3 -c "print('.env')\"""",
        """node -p "require('./package.json').version\"""",
        "node -e 'fetch(\"http://localhost/api/users\")'",
        "jq '.env' x.json",
        "jq -r '.jobs[].env | keys' x.json",
        "jq '.a | \"the env of it\"' x.json",
        "jq -n 'env.HOME'",
        "awk '$1 < 3 {print}' data",
        "bc <<< '1+2'",
    ),
    "wrappers": (
        "./gradlew test",
        "./mvnw -q -DskipTests package",
        "mise run test",
        "mise exec node@20 -- npm test",
        "mise exec -- npm test",
        "nvm exec 20 npm test",
        "pipenv run pytest",
        "parallel -j4 gzip ::: a b",
        "hg commit -m x",
        "svn status",
        "jj log",
        "p4 diff",
        "git commit --no-verify -m x",
        "git push --dry-run",
    ),
}


@pytest.mark.parametrize(("kind", "command"), [(kind, one) for kind, rows in ATTACKS.items() for one in rows])
def test_a_way_around_stops(kind: str, command: str) -> None:
    assert shell(WORKSPACE, command).verdict is not Verdict.ALLOW, kind


@pytest.mark.parametrize(("kind", "command"), [(kind, one) for kind, rows in EVERYDAY.items() for one in rows])
def test_everyday_work_passes(kind: str, command: str) -> None:
    decision = shell(WORKSPACE, command)
    assert decision.verdict is Verdict.ALLOW, (kind, decision.reasons)
