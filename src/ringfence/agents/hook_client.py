"""The program that an agent runs before and after each tool call: it hands the call out and prints the answer.

Placed inside the sandbox and run as `python -I -S hook.py EVENT SECONDS [SOCKET]`. It decides nothing, except that any
trouble at all is a denial: every agent lets a tool call run when its hook crashes, is late or prints nonsense, so this
program may do none of these. It imports built-in modules only (`socket` alone would double its cost per tool call).
"""

import _signal  # type: ignore[import-not-found]  # built in, and not in the stubs
import _socket
import posix
import sys

_LARGEST = 16 * 1024 * 1024
_SOCKET = "/run/ringfence/hook.sock"


def main(arguments: list[str]) -> int:
    """Ask, print, and return the exit code; 2 with a denial where anything at all goes wrong."""
    event = "PreToolUse"
    try:
        event, seconds = arguments[0], int(arguments[1])
        code, stdout, stderr = _ask(event, seconds, arguments[2] if arguments[2:] else _SOCKET)
        _write(2, stderr)
        _write(1, stdout)
        return code
    except BaseException as trouble:  # noqa: BLE001
        # SECURITY: whoever is inside may kill the socket, fill the pipe or send nonsense: none of it may end in 0.
        return _deny(event, f"{type(trouble).__name__}: {trouble}")


def _ask(event: str, seconds: int, path: str) -> tuple[int, bytes, bytes]:
    # One deadline over everything that can block: standard input, the socket, and a person who thinks.
    _signal.signal(_signal.SIGALRM, _late)
    _signal.alarm(max(1, seconds))
    body = event.encode() + b"\n" + _drain()
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(path)
    connection.sendall(b"RFQ1" + len(body).to_bytes(4, "big") + body)
    header = _receive(connection, 8)
    length = int.from_bytes(header[4:], "big")
    if header[:4] != b"RFA1" or not 5 <= length <= _LARGEST:
        raise ValueError("the answer does not have the form that was agreed")
    answer = _receive(connection, length)
    cut = 5 + int.from_bytes(answer[1:5], "big")
    if answer[0] not in (0, 2) or cut > length:
        raise ValueError("the answer does not have the form that was agreed")
    return answer[0], answer[5:cut], answer[cut:]


def _drain() -> bytes:
    """Everything on standard input; what is over the limit is counted and dropped, so that the writer never blocks."""
    parts, size = [], 0
    while part := posix.read(0, 1 << 16):
        size += len(part)
        if size < _LARGEST - 100:
            parts.append(part)
    if size >= _LARGEST - 100:
        raise ValueError(f"the tool call has {size} bytes and the limit is 16 MiB")
    return b"".join(parts)


def _receive(connection: _socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise EOFError("the session went away before it answered")
        data += part
    return data


def _late(signum: int, frame: object) -> None:
    raise TimeoutError("nobody answered in time")


def _deny(event: str, trouble: str) -> int:
    reason = "ringfence could not be asked about this, so it is denied (hook.unavailable); do not retry"
    if event == "PreToolUse":
        stdout = '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny",'
        stdout += '"permissionDecisionReason":"' + reason + '"}}\n'
    else:
        stdout = '{"decision":"block","reason":"' + reason + '"}\n'
    cause = trouble.encode("ascii", "replace").decode().replace("\n", " ")
    # INVARIANT: the line on standard error is never empty. One agent runs the call after exit code 2 without it.
    for descriptor, text in ((2, f"{reason}: {cause[:300]}\n"), (1, stdout)):
        try:  # noqa: SIM105 (`contextlib` would cost a fifth of the whole run)
            _write(descriptor, text.encode())
        except OSError:
            pass  # a closed stream takes nothing; the exit code still denies
    return 2


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[posix.write(descriptor, data) :]


if __name__ == "__main__":
    # Without the interpreter's own ending: a flush of a closed stream there would change the exit code.
    posix._exit(main(sys.argv[1:]))
