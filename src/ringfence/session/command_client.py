"""Stands inside for a program of which some commands have a plan of their own: it asks the session, outside, where a
command runs, and hands its streams over.

Placed on PATH in the sandbox, under the program's name, and run by itself; without this package. It is no boundary:
who passes it by has the plan of every other command. Where nobody answers it starts the program that it stands for.
"""

import json
import os
import signal
import socket
import sys

_SOCKET = "/run/ringfence-ways/commands"
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main(arguments: list[str]) -> int:
    """Ask, and do what is answered; returns the exit code."""
    name = os.path.basename(arguments[0])
    words = [name, *arguments[1:]]
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(_SOCKET)
        question = json.dumps({"argv": words, "cwd": os.getcwd(), "env": dict(os.environ)}).encode()
        socket.send_fds(connection, [len(question).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(question)
        answers = connection.makefile("r", encoding="utf-8")
        answer = json.loads(answers.readline())
    except (OSError, ValueError):
        return _start_here(words)
    if "here" in answer:
        return _start_here(words)
    for number in _PASSED_ON:
        signal.signal(number, lambda number, _: connection.sendall(bytes((number,))))
    while "exit" not in answer:
        answer = json.loads(answers.readline() or '{"exit": 125, "text": "ringfence: the session went away"}')
    if answer.get("text"):
        sys.stderr.write(answer["text"] + "\n")
    return int(answer["exit"])


def _start_here(words: list[str]) -> int:
    own = os.path.dirname(os.path.realpath(sys.argv[0]))
    for folder in os.environ.get("PATH", "/usr/bin:/bin").split(":"):
        path = os.path.join(folder or ".", words[0])
        if os.path.realpath(folder or ".") != own and os.access(path, os.X_OK) and os.path.isfile(path):
            os.execv(path, words)  # noqa: S606 - the program that was asked for
    sys.stderr.write(f"{words[0]}: command not found\n")
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv))
