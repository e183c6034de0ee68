"""`ringfence exec`, typed by root and by an ordinary user: the contract of streams, codes, denials and the record."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from tests.cli.conftest import KEY, Person

pytestmark = pytest.mark.slow


def test_streams_and_exit_code_pass_through_untouched(person: Person) -> None:
    done = person.types("exec", "-q", "--", "sh", "-c", "cat; echo err >&2; exit 7", given="in\x00put")

    assert (done.code, done.out, done.err) == (7, "in\x00put", "err\n")


def test_a_signal_that_ends_the_command_is_in_the_exit_code(person: Person) -> None:
    assert person.types("exec", "-q", "--", "sh", "-c", "kill -9 $$").code == 128 + 9


def test_a_signal_to_ringfence_reaches_the_command(person: Person) -> None:
    running = person.start(
        "exec", "-q", "--", "sh", "-c", "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.05; done",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"

    running.send_signal(signal.SIGTERM)

    out, _ = running.communicate(timeout=30)
    assert (running.returncode, out) == (3, "got it\n")


def test_a_program_that_does_not_exist_did_not_start(person: Person) -> None:
    done = person.types("exec", "-q", "--", "no-such-program")

    assert done.code == 125
    assert "no-such-program" in done.err
    assert "what to do" in done.err


def test_a_program_that_did_not_start_is_not_on_record_as_started(person: Person) -> None:
    person.types("exec", "-q", "--", "no-such-program")
    missing = [event["event"] for event in person.log()]
    person.types("exec", "-q", "--", "true")
    started = [event for event in person.log() if event["event"] == "command.started"]

    assert "command.started" not in missing
    assert len(started) == 1
    assert started[0]["body"]["pid"] > 1  # type: ignore[index]


def test_a_denied_command_does_not_run_and_says_why(person: Person) -> None:
    done = person.types("exec", "-q", "--", "sudo", "touch", "here")

    assert done.code == 126
    assert not (person.project / "here").exists()
    for part in ("denied", "sudo", "workspace.toml:", "next"):
        assert part in done.err


def test_a_question_without_anybody_to_answer_is_a_denial_that_says_so(person: Person) -> None:
    done = person.types("exec", "-q", "--", "git", "push")

    assert done.code == 126
    assert "publish" in done.err
    assert "no terminal to ask on" in done.err


def test_the_decision_is_on_record_and_the_record_verifies(person: Person) -> None:
    person.types("exec", "-q", "--", "sudo", "id")

    decisions = [event for event in person.log() if event["event"] == "decision"]
    assert [event["verdict"] for event in decisions] == ["deny"]
    assert person.types("log", "verify").code == 0


def test_the_result_is_one_json_line_in_the_named_file(person: Person) -> None:
    done = person.types("exec", "-q", "--result", "result.json", "--", "sh", "-c", "exit 4")

    result = json.loads((person.project / "result.json").read_text())
    assert done.code == 4
    assert {key: result[key] for key in ("schema", "exit_code", "allowed", "denied")} == {
        "schema": 1, "exit_code": 4, "allowed": 1, "denied": 0,
    }  # fmt: skip


def test_json_goes_to_descriptor_three(person: Person) -> None:
    line = f"exec {shlex.quote(sys.executable)} -m ringfence exec -q --json -- true 3>result.json"

    done = subprocess.run(
        ["sh", "-c", line], cwd=person.project, env=person.environment, user=person.uid, group=person.gid,
        extra_groups=[] if os.getuid() == 0 else None, check=False, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0
    assert json.loads((person.project / "result.json").read_text())["exit_code"] == 0


def test_the_private_key_cannot_be_read(person: Person) -> None:
    assert (person.home / ".ssh" / "id_ed25519").read_text() == KEY

    done = person.types("exec", "-q", "--", "cat", str(person.home / ".ssh" / "id_ed25519"))

    assert done.code != 0
    assert "secret" not in done.out


def test_nothing_is_written_outside_the_workspace(person: Person) -> None:
    target = person.home / "outside"

    person.types("exec", "-q", "--", "sh", "-c", f"echo x > {target}; echo y > inside")

    assert not target.exists()
    assert (person.project / "inside").read_text() == "y\n"


def test_git_commit_works_and_hooks_stay_as_they_were(person: Person) -> None:
    person.git("init", "-q")
    # In a file, so that the sandbox answers and not the policy, which would refuse to write the hook beforehand.
    (person.project / "try.sh").write_text(
        "echo a > a && git add a && git commit -qm one && git log --oneline | wc -l\n"
        "echo evil > .git/hooks/pre-commit; mv .git g\n"
    )

    done = person.types("exec", "-q", "--", "sh", "try.sh")

    assert done.out.strip() == "1"
    assert not (person.project / ".git" / "hooks" / "pre-commit").exists()
    assert sorted(path.name for path in person.project.iterdir()) == [".git", "a", "try.sh"]


def test_a_control_file_in_the_command_is_refused_before_it_runs(person: Person) -> None:
    person.git("init", "-q")

    done = person.types("exec", "-q", "--", "sh", "-c", "touch ran; echo evil > .git/hooks/pre-commit")

    assert done.code == 126
    assert "control-file:.git/hooks" in done.err
    assert not (person.project / "ran").exists()


def test_only_named_variables_reach_the_command(person: Person) -> None:
    given = {"SECRET_TOKEN": "hunter2", "WANTED": "yes"}

    done = person.types("exec", "-q", "--env", "WANTED", "--", "printenv", "SECRET_TOKEN", "WANTED", env=given)

    assert "hunter2" not in done.out
    assert done.out == "yes\n"


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello from the host")

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def port() -> int:
    server = HTTPServer(("127.0.0.1", 0), _Hello)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"
DIRECT = (
    "import sys, urllib.request as u; "
    "print(u.build_opener(u.ProxyHandler({})).open(sys.argv[1], timeout=20).read().decode())"
)


@pytest.mark.parametrize("program", [FETCH, DIRECT], ids=["through the proxy", "captured"])
def test_an_allowed_destination_is_reached(person: Person, port: int, program: str) -> None:
    host = f"host.ringfence.internal:{port}"

    done = person.types("exec", "-q", "--allow-host", host, "--", "/usr/bin/python3", "-c", program, f"http://{host}/")

    assert done.out == "hello from the host\n"


@pytest.mark.parametrize("program", [FETCH, DIRECT], ids=["through the proxy", "captured"])
def test_a_destination_without_a_rule_is_not_reached_and_explained(person: Person, port: int, program: str) -> None:
    done = person.types(
        "exec", "--ask", "deny", "--", "/usr/bin/python3", "-c", program, f"http://host.ringfence.internal:{port}/"
    )

    assert "hello" not in done.out
    assert f"host.ringfence.internal:{port}" in done.err
    assert "network.default" in done.err


def test_the_loopback_inside_is_not_the_loopback_of_the_host(person: Person, port: int) -> None:
    done = person.types("exec", "-q", "--", "/usr/bin/python3", "-c", DIRECT, f"http://127.0.0.1:{port}/")

    assert done.code != 0
    assert "hello" not in done.out


def test_a_workspace_that_is_home_is_refused(person: Person) -> None:
    done = person.types("exec", "-q", "--workspace", str(person.home), "--", "true")

    assert done.code == 125
    assert "home folder" in done.err


def test_a_workspace_elsewhere_is_where_the_command_runs(person: Person) -> None:
    done = person.types("exec", "-q", "--workspace", str(person.project), "--", "pwd", cwd="/")

    assert (done.code, done.out.strip()) == (0, str(person.project))


def test_an_invalid_policy_stops_everything_with_every_fault_located(person: Person) -> None:
    (person.project / "bad.toml").write_text('[network]\ndefalt = "deny"\n\n[filesystem]\nread = 5\n')

    done = person.types("exec", "--policy", "bad.toml", "--", "touch", "ran")

    assert done.code == 78
    assert "bad.toml:2:" in done.err
    assert "did you mean `default`" in done.err
    assert "bad.toml:5:" in done.err
    assert not (person.project / "ran").exists()


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_with_a_folder_as_a_standard_stream_nothing_runs(person: Person, stream: str) -> None:
    folder = os.open("/", os.O_RDONLY)
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, stream: folder}
    try:
        running = person.start("exec", "-q", "--", "touch", "ran", **streams)
        running.communicate(timeout=30)
    finally:
        os.close(folder)

    assert running.returncode != 0
    assert not (person.project / "ran").exists()


def test_two_sessions_in_one_workspace_do_not_disturb_each_other(person: Person) -> None:
    person.git("init", "-q")
    first = person.start(
        "exec", "-q", "--", "sh", "-c", "echo ready; read line; d=$(echo .claude/x); mkdir $d || echo protected",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert first.stdout is not None
    assert first.stdout.readline() == "ready\n"

    second = person.types("exec", "-q", "--", "sh", "-c", "d=$(echo .claude/x); mkdir $d || echo protected")
    out, _ = first.communicate("go\n", timeout=30)

    assert (second.out, out) == ("protected\n", "protected\n")
    assert sorted(path.name for path in person.project.iterdir()) == [".git"]


def test_the_result_is_not_written_through_a_link(person: Person) -> None:
    (person.home / "precious").write_text("precious")
    (person.project / "out.json").symlink_to(person.home / "precious")

    done = person.types("exec", "-q", "--result", "out.json", "--", "true")

    assert done.code == 64
    assert "symbolic link" in done.err
    assert (person.home / "precious").read_text() == "precious"


@pytest.mark.parametrize("name", [b"gone", b"not\xffutf8"])
def test_a_folder_that_cannot_be_worked_in_is_said(person: Person, name: bytes) -> None:
    folder = os.path.join(os.fsencode(person.project), name)
    os.mkdir(folder)
    os.chown(folder, person.uid, person.gid)
    script = 'cd "$1" && { rmdir ../gone 2>/dev/null; exec "$2" -m ringfence exec -q -- true; }'

    done = subprocess.run(
        ["sh", "-c", script, "sh", folder, sys.executable],
        env=person.environment,
        user=person.uid,
        group=person.gid,
        extra_groups=[] if os.getuid() == 0 else None,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode in {64, 125}
    assert "Traceback" not in done.stderr
    assert "what to do" in done.stderr


def test_relative_folders_of_ours_are_not_looked_for_in_the_workspace(person: Person) -> None:
    done = person.types("exec", "-q", "--", "true", env={"XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config"})

    assert done.code == 0
    assert not (person.project / "state").exists()
    assert (person.home / ".local" / "state" / "ringfence" / "ledger.db").exists()


def test_an_option_that_comes_to_nothing_says_so(person: Person) -> None:
    missing = person.types("exec", "--read", "not-there", "--", "true")
    unset = person.types("exec", "--env", "NOT_SET_ANYWHERE", "--", "true")

    assert (missing.code, missing.err.splitlines()[0]) == (
        64,
        "ringfence: `--read not-there`: there is no such file or folder",
    )
    assert (unset.code, unset.err) == (
        0,
        "ringfence: note: `--env NOT_SET_ANYWHERE`: your environment has no such variable\n",
    )


def test_a_whole_command_line_in_one_word_is_told_how_it_is_run(person: Person) -> None:
    done = person.types("exec", "-q", "--", "ls -la")

    assert done.code == 125
    assert "sh -c" in done.err
