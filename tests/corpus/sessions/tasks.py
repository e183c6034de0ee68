# ruff: noqa: E501 - commands are written as an agent types them
"""Nineteen everyday tasks, each as the files it starts from and the tool calls that an agent makes for it.

The calls are those that Codex and Claude Code make for such work, mistakes and second looks included. Whatever a task
needs from the network or from other machines is in it too, because that is where people are asked.
"""

from __future__ import annotations

import msgspec
from tests.scripted_model import Read, Shell, Write
from tests.scripted_model.script import Step

_CALC = """def add(a, b):
    return a + b


def mean(values):
    return sum(values) / len(values)
"""
_TEST_CALC = """import unittest

from app.calc import add, mean


class Calc(unittest.TestCase):
    def test_add(self):
        self.assertEqual(add(1, 2), 3)

    def test_mean_of_nothing(self):
        self.assertEqual(mean([]), 0)


if __name__ == "__main__":
    unittest.main()
"""
_PYTHON = {
    "app/__init__.py": "",
    "app/calc.py": _CALC,
    "app/report.py": "from app.calc import mean\n\n\ndef line(values):\n    return f'mean {mean(values)}'\n",
    "tests/__init__.py": "",
    "tests/test_calc.py": _TEST_CALC,
    "pyproject.toml": "[project]\nname = 'app'\nversion = '1.2.0'\n",
    "requirements.txt": "requests==2.31.0\n",
    "README.md": "# app\n\nAdds numbers.\n",
    ".gitignore": "__pycache__/\n.venv/\nbuild/\n",
}
_NODE = {
    "package.json": '{"name": "web", "version": "0.3.1", "scripts": {"test": "node --test", "lint": "node --check src/*.js"}}\n',
    "src/slug.js": "exports.slug = (text) => text.toLowerCase().replace(' ', '-');\n",
    "test/slug.test.js": (
        "const test = require('node:test');\nconst assert = require('node:assert');\nconst { slug } = require('../src/slug');\n"
        "test('every space', () => assert.equal(slug('A B C'), 'a-b-c'));\n"
    ),
    ".gitignore": "node_modules/\n",
}
_C = {
    "Makefile": (
        "CFLAGS = -Wall -O1\nall: build/app\nbuild/app: src/main.c src/list.c\n\tmkdir -p build\n\tcc $(CFLAGS) -o $@ $^\n"
        "test: all\n\t./build/app 3\nclean:\n\trm -rf build\n"
    ),
    "src/main.c": (
        '#include <stdio.h>\n#include <stdlib.h>\nint total(int);\nint main(int c, char **v) {\n  printf("%d\\n", total(c > 1 ? '
        "atoi(v[1]) : 0));\n  return 0;\n}\n"
    ),
    "src/list.c": "int total(int n) {\n  int s;\n  for (int i = 0; i <= n; i++) s += i;\n  return s;\n}\n",
    ".gitignore": "build/\n",
}
_GO = {
    "go.mod": "module example.test/tool\n\ngo 1.19\n",
    "main.go": 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(Double(4)) }\n',
    "double.go": "package main\n\nfunc Double(n int) int { return n + n + 1 }\n",
    "double_test.go": (
        'package main\n\nimport "testing"\n\nfunc TestDouble(t *testing.T) {\n\tif Double(2) != 4 {\n\t\tt.Fatal(Double(2))\n\t}\n}\n'
    ),
}
_SQL = {
    "schema.sql": "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT);\n",
    "migrate.py": (
        "import sqlite3\n\ndb = sqlite3.connect('app.db')\ndb.executescript(open('schema.sql').read())\n"
        "db.execute(\"INSERT INTO users (mail) VALUES ('a@x.test')\")\ndb.commit()\nprint(db.execute('SELECT * FROM users').fetchall())\n"
    ),
}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work."""

    name: str
    agent: str
    files: dict[str, str]
    steps: tuple[Step, ...]


def _run(*commands: str) -> tuple[Step, ...]:
    return tuple(Shell(command) for command in commands)


TASKS = (
    Task(
        name="fix-a-failing-test",
        agent="codex",
        files=_PYTHON,
        steps=(
            *_run(
                "pwd && ls -la",
                "git status --short && git log --oneline -5",
                "rg --files | head -50 || find . -name '*.py' -not -path './.git/*'",
                "cat app/calc.py tests/test_calc.py",
                "python3 -m unittest -v 2>&1 | tail -20",
                "grep -rn 'mean(' --include=*.py .",
            ),
            Write(
                "app/calc.py", _CALC.replace("    return sum", "    if not values:\n        return 0\n    return sum")
            ),
            *_run(
                "python3 -m unittest 2>&1 | tail -5",
                "git diff",
                "git diff --stat && git add app/calc.py && git commit -m 'Give the mean of nothing as 0'",
                "git show --stat HEAD",
            ),
        ),
    ),
    Task(
        name="write-more-tests",
        agent="claude",
        files=_PYTHON,
        steps=(
            *_run("ls -R . | head -40", "git log --oneline -3"),
            Read("app/report.py"),
            Read("tests/test_calc.py"),
            Write(
                "tests/test_report.py",
                "import unittest\n\nfrom app.report import line\n\n\nclass Report(unittest.TestCase):\n"
                "    def test_line(self):\n        self.assertEqual(line([1, 3]), 'mean 2.0')\n",
            ),
            *_run(
                "python3 -m unittest tests.test_report -v",
                "python3 - <<'EOF'\nfrom app.report import line\nprint(line([2, 4]))\nEOF",
                'for f in tests/test_*.py; do python3 -m py_compile "$f" && echo "ok $f"; done',
                "python3 -m unittest 2>&1 | grep -E 'Ran|FAILED|OK'",
                "git add -A && git status",
                "git commit -q -m 'Test the report' && git log -1 --stat",
            ),
        ),
    ),
    Task(
        name="rename-across-files",
        agent="codex",
        files=_PYTHON,
        steps=_run(
            "git checkout -b rename-mean",
            "grep -rln 'mean' . --include='*.py' --include='*.md'",
            "sed -n '1,40p' app/report.py",
            "sed -i 's/\\bmean\\b/average/g' $(grep -rl --include='*.py' mean app tests)",
            "git diff --word-diff | head -60",
            "python3 -m compileall -q app tests && python3 -m unittest 2>&1 | tail -3",
            "find . -name '__pycache__' -prune -exec rm -rf {} +",
            "sed -i 's/Adds numbers/Adds and averages numbers/' README.md && cat README.md",
            "git commit -am 'Call it an average'",
            "git log --graph --oneline --all | head",
        ),
    ),
    Task(
        name="raise-a-dependency",
        agent="claude",
        files=_PYTHON,
        steps=(
            Read("requirements.txt"),
            *_run(
                "grep -rn 'requests' . --include='*.py' --include='*.txt' --include='*.toml'",
                "python3 -m venv .venv && .venv/bin/python -V",
                ".venv/bin/pip --version; .venv/bin/pip list 2>/dev/null | head",
                "sed -i 's/requests==2.31.0/requests==2.32.3/' requirements.txt",
                ".venv/bin/pip install --timeout 3 --retries 0 -r requirements.txt",
                "git diff requirements.txt",
                "python3 -m unittest 2>&1 | tail -3",
                "git commit -qam 'Raise requests to 2.32.3' && git log -1 --oneline",
            ),
        ),
    ),
    Task(
        name="write-documentation",
        agent="claude",
        files=_PYTHON,
        steps=(
            Read("README.md"),
            *_run(
                "python3 -c 'import app.calc; help(app.calc)' | cat",
                "tree -L 2 2>/dev/null || find . -maxdepth 2 -not -path '*/.git*'",
            ),
            Write("docs/usage.md", "# Usage\n\n```python\nfrom app.calc import add\n```\n"),
            Write("README.md", "# app\n\nAdds numbers. See [usage](docs/usage.md).\n"),
            *_run(
                "test -e docs/usage.md && grep -o '(docs/[a-z.]*)' README.md",
                "wc -l README.md docs/*.md",
                "git add docs README.md && git commit -m 'Document the usage'",
                "date +%F; git log -1 --format='%h %s'",
            ),
        ),
    ),
    Task(
        name="tidy-a-branch",
        agent="codex",
        files=_PYTHON,
        steps=_run(
            "git status && git branch -a",
            "git switch -c topic",
            "echo 'VERSION = 1' > app/version.py && git add app/version.py && git commit -m wip",
            "echo 'VERSION = 2' > app/version.py && git commit -am 'wip 2'",
            "git log --oneline | head -5",
            "git stash list; echo x >> README.md; git stash && git stash pop",
            "git checkout -- README.md",
            "git reset --soft HEAD~2 && git commit -m 'Keep the version in the code'",
            "git switch - && git merge --no-ff topic -m 'Merge the version'",
            "git rebase --onto HEAD~1 HEAD~1 2>&1 | tail -2; git status | head -3",
            "git branch -d topic",
            "git tag v1.2.1 && git describe --tags",
            "git remote -v; git fetch --dry-run 2>&1 | head -2",
        ),
    ),
    Task(
        name="make-a-pull-request",
        agent="claude",
        files=_PYTHON,
        steps=_run(
            "git checkout -b fix/readme && printf '\\nLicense: MIT\\n' >> README.md",
            "git diff && git add -p README.md </dev/null; git add README.md",
            "git commit -m 'Name the license'",
            "git log origin/main..HEAD --oneline 2>/dev/null || git log --oneline -3",
            "git push -u origin fix/readme",
            "gh pr create --title 'Name the license' --body 'It was missing.'",
        ),
    ),
    Task(
        name="lint-and-format",
        agent="claude",
        files=_PYTHON,
        steps=_run(
            "ruff --version || python3 -m pyflakes --version || echo none",
            "ruff check . || true",
            "ruff format --check . || true",
            "python3 -m py_compile $(git ls-files '*.py')",
            "awk 'length > 100 { print FILENAME\":\"FNR }' $(git ls-files '*.py')",
            "grep -nE '\\s+$' -r app tests || echo clean",
            "python3 -m unittest -q 2>&1 | tail -3",
            "git diff --check && git status --short",
        ),
    ),
    Task(
        name="build-with-make",
        agent="codex",
        files=_C,
        steps=(
            *_run(
                "cat Makefile && ls src",
                "make -n",
                "make 2>&1 | tail -20",
                "./build/app 3; echo exit $?",
                "cc -Wall -Wextra -g -o build/debug src/main.c src/list.c && ./build/debug 3",
                "nl -ba src/list.c",
            ),
            Write(
                "src/list.c",
                "int total(int n) {\n  int s = 0;\n  for (int i = 0; i <= n; i++) s += i;\n  return s;\n}\n",
            ),
            *_run(
                "make clean && make -j2 && make test",
                "file build/app; size build/app 2>/dev/null",
                "rm -rf build && git status --short",
                "git commit -am 'Begin the sum at 0'",
            ),
        ),
    ),
    Task(
        name="debug-a-script",
        agent="claude",
        files={
            **_PYTHON,
            "job.py": "import os, sys\nprint('start', os.environ.get('JOB_LEVEL'))\nprint(1 / int(sys.argv[1]))\n",
            "logs/app.log": "INFO start\nERROR division by zero\nINFO end\n" * 40,
        },
        steps=_run(
            "tail -n 20 logs/app.log | grep -c ERROR",
            "grep -n ERROR logs/app.log | sort | uniq -c | sort -rn | head",
            "python3 job.py 0; echo $?",
            "JOB_LEVEL=debug python3 -X dev job.py 2",
            "env | sort | grep -v -i -E 'key|token' | head -20",
            "python3 -m pdb -c continue job.py 1 </dev/null | tail -5",
            "ps aux | head -5; df -h . | tail -1; uname -a",
            "timeout 5 python3 job.py 4 > /tmp/out.txt 2>&1; cat /tmp/out.txt; rm -f /tmp/out.txt",
            "python3 -c \"import json, pathlib; print(json.dumps({p.name: p.stat().st_size for p in pathlib.Path('.').iterdir()}))\"",
            "sed -i 's/int(sys.argv\\[1\\])/(int(sys.argv[1]) or 1)/' job.py && python3 job.py 0",
            "git diff job.py | cat",
        ),
    ),
    Task(
        name="fix-a-node-package",
        agent="codex",
        files=_NODE,
        steps=(
            *_run(
                "cat package.json && node --version && npm --version",
                "npm test 2>&1 | tail -25",
                "cat src/slug.js test/slug.test.js",
            ),
            Write("src/slug.js", "exports.slug = (text) => text.toLowerCase().replaceAll(' ', '-');\n"),
            *_run(
                "npm test --silent && npm run lint",
                "node -e \"console.log(require('./src/slug').slug('X Y Z'))\"",
                "npm ls --depth=0; npm pkg get version",
                "npm version patch --no-git-tag-version && git diff package.json",
                "git add -A && git commit -m 'Replace every space' && git log -1 --stat",
            ),
        ),
    ),
    Task(
        name="move-modules",
        agent="claude",
        files=_PYTHON,
        steps=_run(
            "mkdir -p app/core && git mv app/calc.py app/core/calc.py && touch app/core/__init__.py",
            "grep -rl 'app.calc' app tests | xargs sed -i 's/app\\.calc/app.core.calc/g'",
            "rg -n 'core.calc' || grep -rn 'core.calc' app tests",
            "python3 -m unittest 2>&1 | tail -3",
            "cp -r app /tmp/app-before && diff -r app /tmp/app-before && rm -rf /tmp/app-before",
            "find . -type d -empty -not -path './.git/*' -delete",
            "chmod 644 app/core/*.py && ls -l app/core",
            "git add -A && git commit -m 'Move the calculation to core' && git show --name-status --oneline",
        ),
    ),
    Task(
        name="read-and-explain",
        agent="codex",
        files=_PYTHON,
        steps=_run(
            "ls; cat README.md; head -50 pyproject.toml",
            "git log --stat -3; git blame -L 1,5 app/calc.py",
            "wc -l $(git ls-files '*.py') | sort -n | tail -5",
            "rg -n 'def ' app || grep -rn 'def ' app",
            "python3 -c \"import ast; print([n.name for n in ast.walk(ast.parse(open('app/calc.py').read())) if isinstance(n, ast.FunctionDef)])\"",
            "sed -n '1,20p' app/report.py; cat .gitignore; git check-ignore -v build || true",
            "git grep -n mean -- '*.py'; git rev-parse HEAD; git diff HEAD~1 --stat 2>/dev/null || true",
            "find . -name '*.py' -size +1k -mtime -30 -print0 | xargs -0 -r ls -l",
        ),
    ),
    Task(
        name="migrate-a-database",
        agent="claude",
        files=_SQL,
        steps=(
            Read("schema.sql"),
            Read("migrate.py"),
            *_run(
                "python3 migrate.py",
                "sqlite3 app.db '.schema' 2>/dev/null || python3 -c \"import sqlite3; print(sqlite3.connect('app.db').execute('select sql from sqlite_master').fetchall())\"",
                "cp app.db app.db.bak",
            ),
            Write("schema.sql", "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE, name TEXT);\n"),
            *_run(
                "rm app.db && python3 migrate.py",
                "rm -f app.db.bak && ls -l",
                "git add schema.sql migrate.py && git commit -m 'Give users a name'",
            ),
        ),
    ),
    Task(
        name="fix-a-go-tool",
        agent="codex",
        files=_GO,
        steps=(
            *_run("cat *.go && go version", "go vet ./... ; go test ./... 2>&1 | tail -12"),
            Write("double.go", "package main\n\nfunc Double(n int) int { return 2 * n }\n"),
            *_run(
                "gofmt -l . && go test -run TestDouble -count=1 ./... 2>&1 | tail -5",
                "go build -o /tmp/tool . && /tmp/tool && rm /tmp/tool",
                "go env GOPATH GOFLAGS; go list ./...",
                "git add -A && git commit -m 'Double without an offset'",
            ),
        ),
    ),
    Task(
        name="add-a-feature",
        agent="claude",
        files=_PYTHON,
        steps=(
            *_run("ls && cat pyproject.toml && git log --oneline | head -3", "grep -rn 'def ' app tests | sort"),
            Read("app/calc.py"),
            Read("app/report.py"),
            Read("tests/test_calc.py"),
            *_run("python3 -m unittest 2>&1 | tail -4", "git switch -c median"),
            Write("app/calc.py", _CALC + "\n\ndef median(values):\n    return sorted(values)[len(values) // 2]\n"),
            *_run(
                "python3 -c 'from app.calc import median; print(median([3, 1, 2]))'",
                "python3 -c 'from app.calc import median; print(median([4, 1, 2, 3]))'",
            ),
            Write(
                "app/calc.py",
                _CALC
                + "\n\ndef median(values):\n    ordered = sorted(values)\n    middle = len(ordered) // 2\n"
                + "    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2\n",
            ),
            Write(
                "tests/test_median.py",
                "import unittest\n\nfrom app.calc import median\n\n\nclass Median(unittest.TestCase):\n    def test_even(self):\n"
                "        self.assertEqual(median([4, 1, 2, 3]), 2.5)\n",
            ),
            *_run(
                "python3 -m unittest tests.test_median tests.test_calc 2>&1 | tail -12",
                "sed -i 's/    return sum(values)/    return sum(values) if values else 0\\n    return sum(values)/' app/calc.py && sed -n 5,9p app/calc.py",
                "cat app/calc.py",
                "sed -i '7d; s/return sum(values) if values else 0/return sum(values) \\/ len(values) if values else 0/' app/calc.py; cat app/calc.py",
                "python3 -m unittest 2>&1 | tail -4",
                "git status --short && git diff --stat",
                "git add app tests && git commit -q -m 'Add the median' && git log -2 --oneline",
            ),
        ),
    ),
    Task(
        name="review-a-change",
        agent="codex",
        files=_PYTHON,
        steps=_run(
            "git branch --show-current; git log --oneline --decorate -10",
            "git diff HEAD --stat; git diff --cached --stat",
            "git ls-files | head -100",
            "cat app/calc.py | head -60",
            "nl -ba app/report.py | sed -n '1,30p'",
            "cat tests/test_calc.py",
            "rg -n 'TODO|FIXME|XXX' || grep -rnE 'TODO|FIXME|XXX' --include=*.py . || echo none",
            "rg -n --hidden 'password|secret' -g '!.git' || grep -rnEi 'password|secret' app || echo none",
            "python3 -m unittest -q 2>&1 | tail -15",
            "python3 - <<'PY'\nimport app.calc\ntry:\n    app.calc.mean([])\nexcept ZeroDivisionError as error:\n    print('divides by zero:', error)\nPY",
            "git log -p -1 -- app/calc.py | head -40",
            "git shortlog -sn HEAD | cat",
            "stat -c '%n %s' app/*.py; du -sh .git",
        ),
    ),
    Task(
        name="find-what-is-slow",
        agent="claude",
        files={
            **_PYTHON,
            "slow.py": "def pairs(n):\n    found = []\n    for a in range(n):\n        for b in range(n):\n            if a * b == n:\n"
            "                found.append((a, b))\n    return found\n\n\nif __name__ == '__main__':\n    print(pairs(900))\n",
        },
        steps=(
            Read("slow.py"),
            *_run(
                "time python3 slow.py",
                "python3 -m cProfile -s cumtime slow.py | head -15",
                "python3 -m timeit -n 1 -r 3 'import slow; slow.pairs(300)'",
                "nproc; free -m | head -2; cat /proc/loadavg",
            ),
            Write(
                "slow.py",
                "def pairs(n):\n    return [(a, n // a) for a in range(1, n + 1) if n % a == 0]\n\n\nif __name__ == '__main__':\n    print(pairs(900))\n",
            ),
            *_run(
                "time python3 slow.py | tail -c 200",
                "python3 slow.py > /tmp/after.txt; git stash -q; python3 slow.py > /tmp/before.txt; git stash pop -q; diff /tmp/before.txt /tmp/after.txt && echo same",
                "git diff --stat; git status --short",
                'for n in 10 100 900; do python3 -c "import slow; print(len(slow.pairs($n)))"; done',
                "awk 'NR > 0 { total += length($0) } END { print total }' slow.py",
                "git commit -am 'Find the pairs by division' && git log -1 --format=%s",
            ),
        ),
    ),
    Task(
        name="write-a-small-tool",
        agent="codex",
        files={"README.md": "# notes\n", ".gitignore": "*.tmp\n"},
        steps=(
            *_run("ls -la; git status -sb", "python3 --version; bash --version | head -1"),
            Write(
                "notes.sh",
                '#!/bin/sh\nset -eu\nfile="${NOTES:-notes.txt}"\ncase "${1:-list}" in\n  add) shift; echo "$*" >> "$file" ;;\n'
                '  list) cat "$file" ;;\n  count) wc -l < "$file" ;;\n  *) echo "usage: notes [add|list|count]" >&2; exit 64 ;;\nesac\n',
            ),
            *_run(
                "chmod +x notes.sh && ./notes.sh add first note && ./notes.sh add second && ./notes.sh list",
                "./notes.sh count; ./notes.sh nonsense; echo $?",
                "sh -n notes.sh && bash -n notes.sh && (shellcheck notes.sh || true)",
                "NOTES=/tmp/n.txt sh -x ./notes.sh add x 2>&1 | head -5; rm -f /tmp/n.txt",
                "mkdir -p test && printf '%s\\n' '#!/bin/sh' 'set -e' 'NOTES=$(mktemp)' 'export NOTES' './notes.sh add a' 'test \"$(./notes.sh count)\" -eq 1' > test/run.sh && sh test/run.sh && echo passed",
                "cat >> README.md <<'EOF'\n\nUse: `./notes.sh add TEXT`, `list`, `count`.\nEOF",
                "tail -3 README.md; rm notes.txt; git add -A; git status --short",
                "git commit -m 'Keep notes' -q && git log --stat -1 | cat",
                "tar czf /tmp/notes.tgz --exclude=.git . && tar tzf /tmp/notes.tgz && rm /tmp/notes.tgz",
            ),
        ),
    ),
)
